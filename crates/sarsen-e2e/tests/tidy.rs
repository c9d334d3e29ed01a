//! Rules of the code base that no compiler keeps.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    reason = "tests fail by panicking, and drive programs one after the other"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The levels of the workspace, lowest first: a crate depends only on crates of levels below its own.
const LEVELS: &[&[&str]] = &[
    &["sarsen-domain"],
    &[
        "sarsen-store",
        "sarsen-git",
        "sarsen-runtime",
        "sarsen-plugins",
        "sarsen-router",
    ],
    &[
        "sarsen-registry",
        "sarsen-build",
        "sarsen-deploy",
        "sarsen-addons",
    ],
    &["sarsen-control"],
    &["sarsen-ssh", "sarsen-web", "sarsen-consul"],
    &["sarsen-daemon"],
    &["sarsen-e2e"],
];

/// All that the crate without I/O may use.
const DOMAIN_MAY_USE: &[&str] = &[
    "indexmap",
    "jsonc-parser",
    "serde",
    "serde_json",
    "shlex",
    "thiserror",
];

const LINES_MAX: usize = 600;
const PUSH_LINES_MAX: usize = 100;

/// The crates of the workspace with what they depend on, tests aside.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let used = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let real = dependencies.filter(|dependency| dependency["kind"].is_null());
        real.map(|dependency| text(&dependency["name"])).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (text(&package["name"]), used(package)))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every source file of ours with its text, tests included.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&root().join("crates"), &mut found);
    assert!(found.len() > 100, "these are not all");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
        }
    }
}

fn is_test(path: &Path) -> bool {
    let is_test =
        |part: &std::ffi::OsStr| part == "tests" || part == "benches" || part == "examples";
    path.iter().any(is_test) || path.ends_with("tests.rs") || path.starts_with("crates/sarsen-e2e")
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn arrows_go_down_only() {
    let level = |name: &str| LEVELS.iter().position(|names| names.contains(&name));
    let mut complaints = Vec::new();
    for (name, used) in crates() {
        let Some(own) = level(&name) else {
            complaints.push(format!("{name} has no level: give it one in tests/tidy.rs"));
            continue;
        };
        for other in used.iter().filter(|other| other.starts_with("sarsen-")) {
            let goes_down = level(other).is_some_and(|level| level < own);
            if !goes_down {
                complaints.push(format!(
                    "{name} must not use {other}: an arrow goes down only, never sideways"
                ));
            }
        }
    }
    none(&complaints);
}

#[test]
fn the_domain_touches_nothing() {
    let crates = crates();
    let used = &crates["sarsen-domain"];
    let allowed: BTreeSet<String> = DOMAIN_MAY_USE
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let more: Vec<_> = used.difference(&allowed).collect();
    assert!(more.is_empty(), "sarsen-domain must do without {more:?}");
    for (path, text) in sources() {
        if path.starts_with("crates/sarsen-domain/src") && !is_test(&path) {
            for word in [
                "std::fs",
                "std::net::Tcp",
                "std::process",
                "std::thread",
                "async fn",
            ] {
                assert!(
                    !text.contains(word),
                    "{}: {word} has no place here",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut complaints = Vec::new();
    let mut lengths = Vec::new();
    for (path, text) in sources() {
        let (path, lines) = (path.display().to_string(), text.lines().count());
        lengths.push(lines);
        if lines > LINES_MAX {
            complaints.push(format!(
                "{path} has {lines} lines, and {LINES_MAX} are the most"
            ));
        }
        if !text.starts_with("//! ") {
            complaints.push(format!("{path} does not open with a `//!` sentence"));
        }
        if path.contains("/src/") && path.ends_with("/mod.rs") {
            complaints.push(format!("{path}: name it after its folder, beside it"));
        }
    }
    lengths.sort_unstable();
    println!(
        "{} files, median {} lines",
        lengths.len(),
        lengths[lengths.len() / 2]
    );
    none(&complaints);
}

#[test]
fn the_straight_line_is_short() {
    let lines = fs::read_to_string(root().join("crates/sarsen-control/src/push.rs"))
        .unwrap()
        .lines()
        .count();
    assert!(
        lines <= PUSH_LINES_MAX,
        "push.rs has {lines} lines, and {PUSH_LINES_MAX} are the most"
    );
}

#[test]
fn every_crate_says_in_a_sentence_what_it_is() {
    for name in crates().keys() {
        let folder = root().join("crates").join(name).join("src");
        let file = ["lib.rs", "main.rs"]
            .iter()
            .map(|file| folder.join(file))
            .find(|file| file.exists());
        let text = fs::read_to_string(file.unwrap()).unwrap();
        let first = text.lines().take_while(|line| line.starts_with("//!"));
        let words: Vec<&str> = first
            .map(|line| line.trim_start_matches("//!").trim())
            .collect();
        let paragraph = words
            .split(|line| line.is_empty())
            .next()
            .unwrap()
            .join(" ");
        assert!(
            paragraph.ends_with('.') && paragraph.len() < 400,
            "{name}: {paragraph}"
        );
    }
}

/// Text that a shell of the host would read is how peers of ours were broken into.
#[test]
fn no_shell_is_given_text_on_the_host() {
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let spawns = [
                "new(\"sh\"",
                "new(\"bash\"",
                "new(\"/bin/sh\"",
                "new(\"/bin/bash\"",
                "\"sh -c",
                "\"bash -c",
            ];
            if spawns.iter().any(|word| line.contains(word)) && !line.trim_start().starts_with("//")
            {
                complaints.push(format!(
                    "{}:{}: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    none(&complaints);
}

/// A slip of a shell leaves files without content behind, and they get committed.
#[test]
fn no_file_is_empty() {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let files: Vec<&str> = listed.split_terminator('\0').collect();
    assert!(files.len() > 100, "these are not all");
    let is_empty = |file: &&str| fs::metadata(root().join(file)).is_ok_and(|file| file.len() == 0);
    let empty: Vec<String> = files
        .into_iter()
        .filter(is_empty)
        .map(str::to_owned)
        .collect();
    none(&empty);
}
