//! `help`, `NOUN:help` and `version`.

use std::collections::BTreeSet;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::{Out, columns};
use crate::table::{self, Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "help",
        "[--all] [<command>]",
        List,
        "Shows the commands, or one of them",
        help
    ),
    verb!("version", "", List, "Prints the version", version),
];

/// What a request for help is about.
pub(crate) struct Topic {
    noun: Option<String>,
    all: bool,
}

/// Whether these words ask for help: `help`, `apps:help`, `help apps`, `apps:create --help`.
pub(crate) fn topic(name: &str, arguments: &[String]) -> Option<Topic> {
    let asks = |word: &String| word == "--help";
    if name == "help" {
        let noun = arguments
            .iter()
            .find(|word| !word.starts_with('-'))
            .cloned();
        return Some(Topic {
            noun,
            all: arguments.iter().any(|word| word == "--all"),
        });
    }
    if let Some(noun) = name.strip_suffix(":help") {
        return Some(Topic {
            noun: Some(noun.to_owned()),
            all: false,
        });
    }
    // What follows `run APP` belongs to the command that is run.
    let first_only = arguments.first().is_some_and(asks);
    first_only.then(|| Topic {
        noun: Some(name.to_owned()),
        all: false,
    })
}

/// Prints the help asked for. Families that are hidden are somebody else's to tell of.
pub(crate) async fn show(out: &mut Out, topic: &Topic, hidden: &BTreeSet<String>) -> Outcome {
    let Some(noun) = &topic.noun else {
        return if topic.all {
            everything(out, hidden).await
        } else {
            overview(out, hidden).await
        };
    };
    let exact = table::find(noun).filter(|_| noun.contains(':'));
    let commands: Vec<&Command> = match exact {
        Some(command) => vec![command],
        None => table::commands()
            .filter(|command| noun_of(command.name) == noun)
            .collect(),
    };
    if commands.is_empty() {
        return Err(Failure::new(format!(
            "`{}` is not a dokku command.\nSee `dokku help` for a list of available commands.",
            noun.escape_debug()
        )));
    }
    let first = commands
        .first()
        .map_or(noun.as_str(), |command| command.name);
    let usage = if let [only] = commands.as_slice() {
        let usage = format!("{} {}", only.name, only.usage);
        format!("Usage: dokku {}\n\n{}\n", usage.trim_end(), only.help)
    } else {
        let noun = noun_of(first);
        let rows = rows(&commands);
        format!(
            "Usage: dokku {noun}[:COMMAND]\n\n{}\n\nAdditional commands:\n{rows}",
            about(noun)
        )
    };
    out.bytes(usage.as_bytes()).await
}

/// One line for each noun.
async fn overview(out: &mut Out, hidden: &BTreeSet<String>) -> Outcome {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for command in table::commands() {
        let noun = noun_of(command.name);
        let known = rows
            .iter()
            .any(|row| row.first().is_some_and(|cell| cell.trim() == noun));
        // What git says over ssh is nothing to type.
        if !known && !noun.starts_with("git-") && !hidden.contains(noun) {
            rows.push(vec![format!("    {noun}"), about(noun)]);
        }
    }
    let text = format!(
        "Usage: dokku [--quiet|--trace|--force] [--app APP] COMMAND <app> [command-specific-options]\n\n\
         Type \"dokku COMMAND:help\" for the commands of one family, \"dokku help --all\" for every command.\n\n\
         Commands:\n\n{}",
        columns(&rows)
    );
    out.bytes(text.as_bytes()).await
}

async fn everything(out: &mut Out, hidden: &BTreeSet<String>) -> Outcome {
    let all: Vec<&Command> = table::commands()
        .filter(|command| !hidden.contains(noun_of(command.name)))
        .collect();
    out.bytes(
        format!(
            "Usage: dokku COMMAND [command-specific-options]\n\nCommands:\n\n{}",
            rows(&all)
        )
        .as_bytes(),
    )
    .await
}

fn rows(commands: &[&Command]) -> String {
    let row = |command: &&Command| {
        vec![
            format!("    {} {}", command.name, command.usage)
                .trim_end()
                .to_owned(),
            command.help.to_owned(),
        ]
    };
    columns(&commands.iter().map(row).collect::<Vec<_>>())
}

fn noun_of(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// What a family is for.
const FAMILIES: &[(&str, &str)] = &[
    ("apps", "Manage apps"),
    ("builder", "Manage how apps are built"),
    ("builder-dockerfile", "Manage builds from a Dockerfile"),
    ("builder-herokuish", "Manage builds with buildpacks"),
    ("builder-pack", "Manage what project.toml asks for"),
    ("buildpacks", "Manage the buildpacks of apps"),
    ("builds", "Look at builds, follow and cancel them"),
    ("config", "Manage config vars, global and per app"),
    ("domains", "Manage domains, global and per app"),
    (
        "git",
        "Deploy by git, and from archives, images and other repositories",
    ),
    ("ports", "Manage port mappings"),
    ("proxy", "Manage whether and where the router leads to apps"),
    ("repo", "Manage repositories and build caches"),
    ("ssh-keys", "Manage the keys that may log in"),
    ("trace", "Manage the tracing of commands"),
];

fn about(noun: &str) -> String {
    let family = FAMILIES.iter().find(|(name, _)| *name == noun);
    match (family, table::find(noun)) {
        (Some((_, about)), _) => (*about).to_owned(),
        (None, Some(bare)) => bare.help.to_owned(),
        (None, None) => siblings(noun),
    }
}

fn siblings(noun: &str) -> String {
    let verbs: Vec<_> = table::commands()
        .filter(|command| noun_of(command.name) == noun)
        .filter_map(|command| command.name.split_once(':').map(|(_, verb)| verb))
        .collect();
    verbs.join(", ")
}

async fn help(control: &Control, call: &mut Call) -> Outcome {
    overview(&mut call.out, &control.replaced()).await
}

async fn version(_: &Control, call: &mut Call) -> Outcome {
    call.out
        .line(&format!(
            "dokku version {} (sarsen {})",
            DOKKU_LEVEL,
            env!("CARGO_PKG_VERSION")
        ))
        .await
}

/// The release of Dokku whose interface this is.
const DOKKU_LEVEL: &str = "0.38.27";
