//! Programs of this host that fetch: started with argv and nothing of our own environment.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest a single fetch may take.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(5 * 60);

/// A program, which dies with the future that waits for it.
pub(super) fn program(name: &str, home: &Path) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Runs it and gives what it printed; else the last line of its complaint.
pub(super) async fn output(mut command: Command, what: &str) -> Result<String, String> {
    let running = tokio::time::timeout(FETCH_LIMIT, command.output());
    let output = running
        .await
        .map_err(|_| format!("{what} took longer than {} seconds", FETCH_LIMIT.as_secs()))?
        .map_err(|error| format!("{what} could not be started: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(complaint(&output.stderr, what))
}

/// The last line of what a program said when it failed.
pub(super) fn complaint(stderr: &[u8], what: &str) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    format!("{what} failed: {}", line.unwrap_or("it did not say why"))
}
