//! What the container engine has of one daemon's making, and its removal.

use std::process::Command;

use crate::program::{Ended, run};

/// The label that says whose something is.
const OWNER: &str = "com.sarsen.owner";

/// An engine, reached by Docker's own client.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) socket: String,
}

impl Engine {
    pub(crate) fn shared() -> Self {
        Self {
            socket: "/var/run/docker.sock".to_owned(),
        }
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        let mut docker = Command::new("docker");
        docker
            .arg("--host")
            .arg(format!("unix://{}", self.socket))
            .args(words);
        run(docker, b"")
    }

    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str]) -> Vec<String> {
        let ended = self.run(words);
        assert_eq!(
            ended.code,
            0,
            "docker {}: {}",
            words.join(" "),
            ended.stderr
        );
        ended.stdout.lines().map(str::to_owned).collect()
    }

    /// The names of an owner's containers, running or not, that carry all these labels.
    pub(crate) fn containers(&self, owner: &str, labels: &[String]) -> Vec<String> {
        let mut filters = vec![format!("label={OWNER}={owner}")];
        filters.extend(labels.iter().map(|label| format!("label={label}")));
        let mut words = vec!["ps", "--all", "--no-trunc", "--format", "{{.Names}}"];
        for filter in &filters {
            words.extend(["--filter", filter]);
        }
        let mut names = self.ask(&words);
        names.sort();
        names
    }

    /// Removes all that an owner has.
    pub(crate) fn remove_all_of(&self, owner: &str) {
        let filter = format!("label={OWNER}={owner}");
        let filter = ["--filter", filter.as_str()];
        self.remove(
            &["ps", "--all", "--quiet"],
            filter,
            &["rm", "--force", "--volumes"],
        );
        self.remove(
            &["images", "--quiet", "--no-trunc"],
            filter,
            &["rmi", "--force"],
        );
        self.remove(
            &["volume", "ls", "--quiet"],
            filter,
            &["volume", "rm", "--force"],
        );
        self.remove(&["network", "ls", "--quiet"], filter, &["network", "rm"]);
    }

    fn remove(&self, list: &[&str], filter: [&str; 2], remove: &[&str]) {
        let found = self.run(&[list, filter.as_slice()].concat()).stdout;
        let mut found: Vec<&str> = found.lines().collect();
        found.dedup();
        if !found.is_empty() {
            let ended = self.run(&[remove, found.as_slice()].concat());
            if ended.code != 0 {
                println!(
                    "docker {} left something: {}",
                    remove.join(" "),
                    ended.stderr
                );
            }
        }
    }
}
