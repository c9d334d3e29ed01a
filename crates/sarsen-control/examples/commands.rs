//! Prints `docs/commands.md`.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

fn main() {
    print!("{}", sarsen_control::commands_page());
}
