//! `docs/conformance.md`: Dokku's commands held against the command table and against the tests.

use std::collections::BTreeSet;

use crate::table::commands;

/// One line of `docs/dokku-commands.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Dokku's name for it.
    pub command: String,
    /// 1 everyday, 2 rare or hidden, 3 not part of a single-host installation with one router.
    pub tier: u8,
    /// Why it is not here, or `pending`.
    pub note: String,
}

/// Reads the list of facts; the error names the line.
pub fn facts(text: &str) -> Result<Vec<Fact>, String> {
    let rows = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#') && !line.is_empty());
    rows.map(|(number, line)| {
        let mut cells = line.split('\t');
        let command = cells.next().unwrap_or_default().to_owned();
        let tier = cells.next().and_then(|tier| tier.parse().ok());
        Ok(Fact {
            command,
            tier: tier.ok_or_else(|| format!("line {}: no tier", number + 1))?,
            note: cells.next().unwrap_or_default().to_owned(),
        })
    })
    .collect()
}

/// Whether the command table has it. Every family of the table has a `:help`.
fn is_here(command: &str) -> bool {
    if let Some(noun) = command.strip_suffix(":help") {
        return commands().any(|own| own.name.split(':').next() == Some(noun));
    }
    commands().any(|own| own.name == command)
}

/// Everyday commands that are neither here nor explained.
pub fn gaps(facts: &[Fact]) -> Vec<&str> {
    let missing = |fact: &&Fact| fact.tier == 1 && fact.note.is_empty() && !is_here(&fact.command);
    facts
        .iter()
        .filter(missing)
        .map(|fact| fact.command.as_str())
        .collect()
}

/// The page as Markdown. `tests` are names and texts of test files.
pub fn page(facts: &[Fact], tests: &[(String, String)]) -> String {
    let here = facts.iter().filter(|fact| is_here(&fact.command)).count();
    let mut page = format!(
        "# Conformance\n\n\
         Dokku's commands, from the list in [dokku-commands.tsv](dokku-commands.tsv), held against the command table: {here} of {} are\n\
         here. A test fails when a command of tier 1 is neither here nor explained. Tier 1 is everyday use, tier 2 is rare or hidden,\n\
         tier 3 belongs to other proxies, builders and schedulers.\n\n\
         This page is made: `cargo run -p sarsen-control --example conformance > docs/conformance.md`.\n\n\
         | command | tier | here | exercised by |\n|---|---|---|---|\n",
        facts.len()
    );
    for fact in facts {
        let is_here = is_here(&fact.command);
        let state = match (is_here, fact.note.as_str()) {
            (true, _) => "yes".to_owned(),
            (false, "") => "no".to_owned(),
            (false, note) => format!("no: {note}"),
        };
        let tests = if is_here {
            exercised(&fact.command, tests)
        } else {
            String::new()
        };
        page.push_str(&format!(
            "| `{}` | {} | {state} | {tests} |\n",
            fact.command, fact.tier
        ));
    }
    let own: BTreeSet<_> = commands()
        .map(|command| command.name)
        .filter(|name| !facts.iter().any(|fact| fact.command == *name))
        .collect();
    page.push_str("\n## Beyond Dokku\n\n");
    let own: Vec<_> = own.iter().map(|name| format!("`{name}`")).collect();
    page.push_str(&format!("{}\n", own.join(", ")));
    page
}

/// The files that say the command as a word, the first few of them.
fn exercised(command: &str, tests: &[(String, String)]) -> String {
    let says = |text: &str| {
        text.match_indices(command).any(|(at, _)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text
                .get(at + command.len()..)
                .and_then(|text| text.chars().next());
            let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_');
            !before.is_some_and(goes_on) && !after.is_some_and(goes_on)
        })
    };
    let names: Vec<_> = tests
        .iter()
        .filter(|(_, text)| says(text))
        .map(|(name, _)| name.as_str())
        .collect();
    match names.as_slice() {
        [] => "–".to_owned(),
        [first, second, third, _, ..] => format!("{first}, {second}, {third}, …"),
        few => few.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_everyday_command_is_here_or_explained() {
        let facts = facts(include_str!("../../../docs/dokku-commands.tsv")).unwrap();
        let names: BTreeSet<_> = facts.iter().map(|fact| &fact.command).collect();
        assert_eq!(names.len(), facts.len(), "a command is in the list twice");
        assert!(facts.len() > 250);
        assert_eq!(gaps(&facts), Vec::<&str>::new());
    }

    #[test]
    fn a_gap_shows() {
        let found = facts("apps:create\t1\napps:nope\t1\napps:none\t1\tpending\nx:y\t3\n").unwrap();
        assert_eq!(gaps(&found), ["apps:nope"]);
        assert!(facts("apps:create\tx").is_err());
    }

    #[test]
    fn a_longer_name_is_another_command() {
        let tests = [
            ("a".to_owned(), "$ ssh apps:listing".to_owned()),
            ("b".to_owned(), "$ ssh apps:list x".to_owned()),
        ];
        assert_eq!(exercised("apps:list", &tests), "b");
        assert_eq!(exercised("apps:lock", &tests), "–");
    }
}
