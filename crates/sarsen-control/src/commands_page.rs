//! `docs/commands.md`, made from the command table.

use crate::table::{Command, commands};

/// The page as Markdown.
pub fn commands_page() -> String {
    let mut page = String::from(
        "# Commands\n\n\
         Every command works over ssh (`ssh -p PORT dokku@HOST COMMAND`) and on the host itself (`sarsen COMMAND`, or\n\
         `dokku COMMAND` where it is installed under that name). Before the command may stand `--app APP`, `--quiet` (no\n\
         headings), `--force` (no questions), `--trace`, and flags of the command itself with their value in one word\n\
         (`--env=A=1 run …`); any other flag there is refused. `help`, `NOUN:help` and `COMMAND --help` show what is here.\n\n\
         This page is made from the command table: `cargo run -p sarsen-control --example commands > docs/commands.md`.\n",
    );
    let mut noun = "";
    for command in commands() {
        let own = command.name.split(':').next().unwrap_or(command.name);
        if own != noun {
            noun = own;
            page.push_str(&format!(
                "\n## {noun}\n\n| command | what it does |\n|---|---|\n"
            ));
        }
        page.push_str(&row(command));
    }
    page
}

fn row(command: &Command) -> String {
    let usage = format!("{} {}", command.name, command.usage);
    format!(
        "| `{}` | {} |\n",
        usage.trim_end().replace('|', "\\|"),
        command.help
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_docs_is_this_one() {
        let page = include_str!("../../../docs/commands.md");
        assert!(
            page == super::commands_page(),
            "docs/commands.md is old: cargo run -p sarsen-control --example commands > docs/commands.md"
        );
    }
}
