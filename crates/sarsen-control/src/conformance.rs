//! `docs/conformance.md`: Dokku's commands held against the command table and against the tests.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::table::commands;

/// Where commands are exercised: end-to-end scripts and tests, transcripts, and lists of bad input.
const FOLDERS: [&str; 5] = [
    "crates/sarsen-e2e/tests/scripts",
    "crates/sarsen-e2e/tests/e2e",
    "crates/sarsen-control/tests/commands",
    "crates/sarsen-control/tests/golden",
    "crates/sarsen-control/tests/bad",
];

/// The test that asks every family for its help.
const HELP: &str = "commands/help";

/// One line of `docs/dokku-commands.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Dokku's name for it.
    pub command: String,
    /// 1 everyday, 2 rare or hidden, 3 not part of a single-host installation with one router.
    pub tier: u8,
    /// Why it is not here, or why no test can call it; `pending` when it is on its way.
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

/// Everyday commands that are here and that neither a test calls nor a note explains.
pub fn untested<'a>(facts: &'a [Fact], tests: &[(String, String)]) -> Vec<&'a str> {
    let untested = |fact: &&Fact| {
        fact.tier == 1
            && fact.note.is_empty()
            && is_here(&fact.command)
            && exercising(&fact.command, tests).is_empty()
    };
    facts
        .iter()
        .filter(untested)
        .map(|fact| fact.command.as_str())
        .collect()
}

/// Names of test files below the repository's root, and the lines in them that call commands.
pub fn tests(root: &Path) -> io::Result<Vec<(String, String)>> {
    let mut tests = Vec::new();
    for folder in FOLDERS {
        let entries = fs::read_dir(root.join(folder))?;
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.sort();
        let is_test = |path: &PathBuf| {
            let extension = path.extension().unwrap_or_default();
            path.is_file() && (extension == "txt" || extension == "rs")
        };
        let kind = folder.rsplit('/').next().unwrap_or(folder);
        for path in paths.into_iter().filter(is_test) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path)?;
            tests.push((format!("{kind}/{name}"), calls(kind, &text)));
        }
    }
    Ok(tests)
}

/// Without remarks, and of a transcript the commands only.
fn calls(kind: &str, text: &str) -> String {
    let is_call = |line: &&str| match kind {
        "golden" => line.starts_with("$ "),
        _ => !line.trim_start().starts_with(['#', '/']),
    };
    let lines = text.lines().filter(is_call);
    lines.map(|line| format!("{line}\n")).collect()
}

/// The page as Markdown. `tests` are names and texts of test files.
pub fn page(facts: &[Fact], tests: &[(String, String)]) -> String {
    let here = facts.iter().filter(|fact| is_here(&fact.command)).count();
    let mut page = format!(
        "# Conformance\n\n\
         Dokku's commands, from the list in [dokku-commands.tsv](dokku-commands.tsv), held against the command table: {here} of {} are\n\
         here. A test fails when a command of tier 1 is neither here nor explained, and when no test calls it. Tier 1 is everyday\n\
         use, tier 2 is rare or hidden, tier 3 belongs to other proxies, builders and schedulers.\n\n\
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
            exercised(fact, tests)
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

/// The first few files that call the command, or why none does.
fn exercised(fact: &Fact, tests: &[(String, String)]) -> String {
    match exercising(&fact.command, tests).as_slice() {
        [] if fact.note.is_empty() => "–".to_owned(),
        [] => fact.note.clone(),
        [first, second, third, _, ..] => format!("{first}, {second}, {third}, …"),
        few => few.join(", "),
    }
}

/// The files that say the command as a word.
fn exercising<'a>(command: &str, tests: &'a [(String, String)]) -> Vec<&'a str> {
    if command.ends_with(":help") {
        return vec![HELP];
    }
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
    let calling = tests.iter().filter(|(_, text)| says(text));
    calling.map(|(name, _)| name.as_str()).collect()
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
    fn every_everyday_command_is_called_by_a_test() {
        let facts = facts(include_str!("../../../docs/dokku-commands.tsv")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tests = tests(&root).unwrap();
        assert!(tests.len() > 80, "{}", tests.len());
        assert_eq!(
            untested(&facts, &tests),
            Vec::<&str>::new(),
            "call it in a transcript or a script, or say in docs/dokku-commands.tsv why not"
        );
    }

    #[test]
    fn remarks_and_outputs_are_no_calls() {
        let text = "# apps:list\n$ apps:lock x\n-----> apps:unlock\n";
        assert_eq!(calls("golden", text), "$ apps:lock x\n");
        assert_eq!(calls("scripts", "# a\n$ ssh b\n"), "$ ssh b\n");
        let found = facts("apps:list\t1\napps:lock\t1\napps:exists\t1\twhy\n").unwrap();
        let tests = [("golden/x".to_owned(), calls("golden", text))];
        assert_eq!(untested(&found, &tests), ["apps:list"]);
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
        assert_eq!(exercising("apps:list", &tests), ["b"]);
        assert!(exercising("apps:lock", &tests).is_empty());
        assert_eq!(exercising("apps:help", &tests), [HELP]);
    }
}
