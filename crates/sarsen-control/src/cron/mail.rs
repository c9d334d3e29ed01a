//! Mail about runs of scheduled tasks, handed to the host's own `sendmail`, as cron does.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sarsen_domain::Invalid;
use sarsen_store::{CronRun, CronRunState};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Where mail programs put it, whichever is installed.
pub(crate) const SENDMAIL: &str = "/usr/sbin/sendmail";

const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Who gets mail, and from whom it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub from: String,
    pub to: String,
}

/// Whether this host can send mail.
pub(crate) fn sendmail_is_there() -> Result<(), Invalid> {
    if Path::new(SENDMAIL).exists() {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "This host cannot send mail: {SENDMAIL} is not there. Install a mail program such as msmtp-mta or postfix first"
    )))
}

/// The mail about a run that has ended, headers and all; none when there is nothing to tell.
pub(super) fn compose(envelope: &Envelope, run: &CronRun, output: &str) -> Option<String> {
    if output.trim().is_empty() && run.state == CronRunState::Succeeded {
        return None;
    }
    let (app, state) = (&run.app, run.state.as_str());
    // A header is one line.
    let command: String = run.command.chars().filter(|c| !c.is_control()).collect();
    let mut text = String::new();
    if !envelope.from.is_empty() {
        text.push_str(&format!("From: {}\n", envelope.from));
    }
    text.push_str(&format!("To: {}\n", envelope.to));
    let subject: String = format!("Cron <{app}> {command} ({state})")
        .chars()
        .map(|c| if c.is_ascii() { c } else { '?' })
        .take(200)
        .collect();
    text.push_str(&format!("Subject: {subject}\n"));
    text.push_str("MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nAuto-Submitted: auto-generated\n\n");
    if let Some(message) = &run.message {
        text.push_str(&format!("{message}\n\n"));
    }
    text.push_str(output);
    Some(text)
}

/// Hands a mail to a program that takes it on standard input and finds the receivers in its headers.
pub(super) async fn send(program: &Path, text: &str) -> Result<(), String> {
    let spawned = Command::new(program)
        .args(["-t", "-i"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| format!("{}: {error}", program.display()))?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text.as_bytes()).await?;
            stdin.shutdown().await?;
        }
        child.wait().await
    };
    match tokio::time::timeout(TIME_LIMIT, work).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{} ended with {status}", program.display())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{} takes too long", program.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn run(state: CronRunState) -> CronRun {
        CronRun {
            id: 1,
            app: "shop".parse().unwrap(),
            task: "t1".parse().unwrap(),
            command: "echo hi".to_owned(),
            due_at: None,
            missed: 0,
            ttl: 60,
            state,
            created_at: 0,
            finished_at: Some(1),
            exit_code: Some(0),
            container: None,
            message: None,
        }
    }

    #[tokio::test]
    async fn mail_goes_to_the_program() {
        let envelope = Envelope {
            from: String::new(),
            to: "ops@example.com".to_owned(),
        };
        assert_eq!(
            compose(&envelope, &run(CronRunState::Succeeded), " \n"),
            None
        );
        assert!(compose(&envelope, &run(CronRunState::Failed), "").is_some());
        let text = compose(&envelope, &run(CronRunState::Succeeded), "hi\n").unwrap();
        assert!(
            text.starts_with("To: ops@example.com\nSubject: Cron <shop> echo hi (succeeded)\n")
        );
        let folder = tempfile::tempdir().unwrap();
        let (program, out) = (folder.path().join("sendmail"), folder.path().join("out"));
        let script = format!(
            "#!/bin/sh\n{{ echo \"$@\"; /bin/cat; }} > {}\n",
            out.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        send(&program, &text).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(&out).unwrap(),
            format!("-t -i\n{text}")
        );
        assert!(send(&folder.path().join("no"), &text).await.is_err());
    }
}
