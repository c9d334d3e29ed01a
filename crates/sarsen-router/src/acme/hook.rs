//! DNS-01: a file on the host sets and removes the TXT record.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// More of a hook's complaint than this nobody reads.
const MAX_COMPLAINT: u64 = 4096;

/// A file that is started as `FILE present|cleanup _acme-challenge.NAME. VALUE`, as lego's `exec` provider does it.
/// When it ends with success the record can be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHook {
    /// The file.
    pub path: PathBuf,
    /// The longest that one call may take.
    pub time_limit: Duration,
}

impl DnsHook {
    pub(crate) async fn present(&self, name: &str, value: &str) -> Result<(), String> {
        self.call("present", name, value).await
    }

    pub(crate) async fn clean_up(&self, name: &str, value: &str) -> Result<(), String> {
        self.call("cleanup", name, value).await
    }

    async fn call(&self, action: &str, name: &str, value: &str) -> Result<(), String> {
        let shown = self.path.display();
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let mut child = Command::new(&self.path)
            .args([action, &format!("_acme-challenge.{name}."), value])
            .current_dir(folder)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("The DNS hook {shown} cannot be started: {error}"))?;
        let ended = tokio::time::timeout(self.time_limit, finish(&mut child)).await;
        match ended {
            Ok(Ok((true, _))) => Ok(()),
            Ok(Ok((false, complaint))) => Err(format!(
                "The DNS hook {shown} failed to {action} the record of {name}: {}",
                complaint.trim()
            )),
            Ok(Err(error)) => Err(format!("The DNS hook {shown} is lost: {error}")),
            Err(_) => {
                end(&child);
                let seconds = self.time_limit.as_secs();
                Err(format!(
                    "The DNS hook {shown} took longer than {seconds} s and was stopped"
                ))
            }
        }
    }
}

async fn finish(child: &mut Child) -> std::io::Result<(bool, String)> {
    let mut complaint = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut stderr = stderr.take(MAX_COMPLAINT);
        stderr.read_to_end(&mut complaint).await?;
        // The rest is drained, so that a talkative hook does not end by a broken pipe.
        tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await?;
    }
    let status = child.wait().await?;
    let text: String = String::from_utf8_lossy(&complaint)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    Ok((status.success(), text))
}

// The hook and what it started.
fn end(child: &Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group
        && let Err(error) = killpg(Pid::from_raw(group), Signal::SIGKILL)
    {
        tracing::debug!(%error, "a DNS hook was gone before it was stopped");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hook(folder: &tempfile::TempDir, text: &str) -> DnsHook {
        let path = folder.path().join("hook");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        DnsHook {
            path,
            time_limit: Duration::from_millis(500),
        }
    }

    #[tokio::test]
    async fn the_hook_gets_words_and_its_complaint_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let good = hook(&folder, "#!/bin/sh\nprintf '%s|' \"$@\" > called\n");
        good.present("a.test", "$(x) 1").await.unwrap();
        let called = std::fs::read_to_string(folder.path().join("called")).unwrap();
        assert_eq!(called, "present|_acme-challenge.a.test.|$(x) 1|");
        let bad = hook(&folder, "#!/bin/sh\necho no zone >&2; exit 3\n");
        let error = bad.clean_up("a.test", "v").await.unwrap_err();
        assert!(
            error.ends_with("failed to cleanup the record of a.test: no zone"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let slow = hook(&folder, "#!/bin/sh\nsleep 60\n");
        let error = slow.present("a.test", "v").await.unwrap_err();
        assert!(error.contains("was stopped"), "{error}");
        let missing = DnsHook {
            path: folder.path().join("none"),
            ..slow
        };
        let error = missing.present("a.test", "v").await.unwrap_err();
        assert!(error.contains("cannot be started"), "{error}");
    }
}
