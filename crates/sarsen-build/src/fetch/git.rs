//! Buildpacks in git repositories: a bare shallow copy of each is kept, and refreshed before each use.

use std::path::{Path, PathBuf};

use sarsen_domain::{CommitId, Progress};
use sarsen_git::SourceTree;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::Fetcher;
use super::child::{output, program};

impl Fetcher {
    /// The files of a branch, tag or commit; of the default branch when none is named.
    pub(super) async fn git(
        &self,
        url: &str,
        reference: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<SourceTree, String> {
        let endpoint = self.guard.check(url).await?;
        let copy = self.cache.join(format!("{}.git", fingerprint(url)));
        let _turn = self.turn(url).await;
        if !copy.join("HEAD").is_file() {
            self.init(&copy).await?;
        }
        let reference = reference.unwrap_or("HEAD");
        let kept = format!("refs/sarsen/{}", fingerprint(reference));
        let mut fetch = self.command(&copy);
        if !self.guard.is_open() {
            // A redirect could lead to where the guard would not let us go.
            fetch.args(["-c", "http.followRedirects=false"]);
        }
        fetch
            .arg("-c")
            .arg(format!("http.curloptResolve={}", endpoint.pin()))
            .args([
                "fetch",
                "--quiet",
                "--depth",
                "1",
                "--no-tags",
                "--no-write-fetch-head",
                "--",
            ])
            .arg(url)
            .arg(format!("+{reference}:{kept}"));
        let fetched = output(fetch, "git").await;
        let mut commit = self.command(&copy);
        commit
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(format!("{kept}^{{commit}}"));
        let commit = output(commit, "git").await;
        let commit = match (fetched, commit) {
            (Ok(_), commit) => commit.map_err(|_| format!("'{reference}' is no commit"))?,
            (Err(why), Ok(commit)) => {
                progress.warn(&format!("{why}\nUsing the copy fetched earlier"));
                commit
            }
            (Err(why), Err(_)) => return Err(why),
        };
        let commit = CommitId::parse(&commit).map_err(|error| error.to_string())?;
        SourceTree::open(&copy, None, &commit, None).map_err(|error| error.to_string())
    }

    async fn init(&self, copy: &Path) -> Result<(), String> {
        tokio::fs::create_dir_all(&self.cache)
            .await
            .map_err(|error| format!("{} cannot be made: {error}", self.cache.display()))?;
        let mut init = program("git", &self.cache);
        init.args(["init", "--quiet", "--bare", "--"]).arg(copy);
        output(init, "git").await.map(drop)
    }

    fn command(&self, copy: &PathBuf) -> Command {
        let mut command = program("git", &self.cache);
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ALLOW_PROTOCOL", "https:http:ssh")
            .arg("--git-dir")
            .arg(copy)
            .args(["-c", "gc.auto=0", "-c", "transfer.fsckObjects=true"])
            .args([
                "-c",
                "http.lowSpeedLimit=1000",
                "-c",
                "http.lowSpeedTime=30",
            ]);
        command
    }
}

/// A file name for anything.
fn fingerprint(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
