//! Transcripts: every command of a file is run, and what it prints must be what the file says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scrub::scrub;
use crate::world::World;

#[tokio::test]
async fn transcripts_are_what_commands_print() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for path in files("golden") {
        let expected = fs::read_to_string(&path).unwrap();
        let actual = replay(&expected).await;
        if actual == expected {
            continue;
        }
        if update {
            fs::write(&path, actual).unwrap();
        } else {
            wrong.push(format!(
                "{}:\n{}",
                path.display(),
                difference(&expected, &actual)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nif this is meant: UPDATE_GOLDEN=1 cargo nextest run -p sarsen-control --test commands",
        wrong.join("\n")
    );
}

/// `ports-get-available` is left out: nobody knows the port.
#[test]
fn every_answered_trigger_is_in_a_transcript() {
    let transcript = include_str!("../golden/triggers.txt");
    let is_missing = |trigger: &&&str| {
        let start = format!("$ plugin:trigger {trigger}");
        let of_it = |line: &str| {
            line.strip_prefix(&start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        !transcript.lines().any(of_it)
    };
    let missing: Vec<_> = sarsen_plugins::ANSWERED.iter().filter(is_missing).collect();
    assert_eq!(missing, [&"ports-get-available"]);
}

/// The files of one of the folders beside this one.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}

/// The transcript once more, with what the commands print now.
async fn replay(transcript: &str) -> String {
    let world = World::new().await;
    let mut replayed = String::new();
    let mut lines = transcript.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# ") || (line.is_empty() && replayed.is_empty()) {
            replayed.push_str(&format!("{line}\n"));
        }
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        replayed.push_str(&format!("{line}\n"));
        let mut stdin = String::new();
        while let Some(input) = lines.next_if(|line| line.starts_with("< ")) {
            replayed.push_str(&format!("{input}\n"));
            stdin.push_str(&format!("{}\n", &input[2..]));
        }
        let words = shlex::split(command).unwrap();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ended = world.run(&words, &stdin).await;
        let stderr: String = ended
            .stderr
            .lines()
            .map(|line| format!("2> {line}\n"))
            .collect();
        let mut output = scrub(&format!("{}{stderr}", ended.stdout), world.folder.path());
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        replayed.push_str(&output);
        if ended.code != 0 {
            replayed.push_str(&format!("[{}]\n", ended.code));
        }
    }
    replayed
}

fn difference(expected: &str, actual: &str) -> String {
    let (mut old, mut new) = (expected.lines(), actual.lines());
    loop {
        match (old.next(), new.next()) {
            (Some(old), Some(new)) if old == new => {}
            (old, new) => {
                let line = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return format!("  expected: {}\n  printed:  {}", line(old), line(new));
            }
        }
    }
}
