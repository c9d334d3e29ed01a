//! The engine, the images that builds need, and git.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sarsen_domain::ImageRef;
use sarsen_runtime::{ContainerRuntime, DockerRuntime, RuntimeError};
use tokio::process::Command;
use tokio::time::timeout;

use super::Finding;
use crate::config::Config;

/// A healthy engine answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pushes rely on the quarantine of hooks and on `--object-format`.
const OLDEST_GIT: (u32, u32) = (2, 29);

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = docker(config).await;
    findings.push(git().await);
    findings.extend(host_key(&config.state("ssh_host_ed25519_key")).await);
    findings
}

async fn docker(config: &Config) -> Vec<Finding> {
    let place = config.docker.socket.display();
    let down = |error: &dyn std::fmt::Display| {
        let advice = "start it: systemctl start docker; apps keep running meanwhile, but none can be deployed";
        vec![Finding::fail(
            format!("docker: no answer at {place}: {error}"),
            advice,
        )]
    };
    let runtime = match DockerRuntime::connect(&config.docker.socket) {
        Ok(runtime) => runtime,
        Err(error) => return down(&error),
    };
    let engine = match timeout(PATIENCE, runtime.info()).await {
        Ok(Ok(engine)) => engine,
        Ok(Err(error)) => return down(&error),
        Err(_) => return down(&"it does not answer in time"),
    };
    let buildkit = if engine.buildkit {
        "with BuildKit"
    } else {
        "without BuildKit"
    };
    let what = format!(
        "docker: {} answers (API {}, {buildkit})",
        engine.version, engine.api_version
    );
    vec![
        Finding::ok(what),
        stack(&runtime, &config.build.stack_image).await,
    ]
}

async fn stack(runtime: &DockerRuntime, name: &str) -> Finding {
    let image = match ImageRef::parse(name) {
        Ok(image) => image,
        Err(error) => {
            return Finding::fail(
                format!("stack: {error} (build.stack_image)"),
                "name an image",
            );
        }
    };
    match runtime.image(&image).await {
        Ok(_) => Finding::ok(format!("stack: {name} is there")),
        Err(RuntimeError::NotFound(_)) => Finding::warn(
            format!("stack: {name} is not there, so only apps with a Dockerfile can be built"),
            "make it with deploy/stack/build",
        ),
        Err(error) => Finding::fail(
            format!("stack: cannot look for {name}: {error}"),
            "look into Docker's log",
        ),
    }
}

async fn git() -> Finding {
    let mut command = Command::new("git");
    command.arg("--version");
    let version = match output_of(command).await {
        Ok(version) => version,
        Err(why) => {
            let advice = "install it: apt-get install git";
            return Finding::fail(format!("git: {why}"), advice);
        }
    };
    if is_recent(&version) {
        return Finding::ok(format!("git: {version}"));
    }
    let (major, minor) = OLDEST_GIT;
    Finding::fail(
        format!("git: {version} is too old"),
        format!("install {major}.{minor} or later"),
    )
}

/// What ssh asks about at the first connection. Says nothing without a key, or without ssh.
async fn host_key(path: &Path) -> Option<Finding> {
    if !path.exists() {
        return None;
    }
    let mut command = Command::new("ssh-keygen");
    command.arg("-lf").arg(path);
    let line = output_of(command).await.ok()?;
    let fingerprint = line.split(' ').nth(1)?;
    Some(Finding::ok(format!("ssh: the host key is {fingerprint}")))
}

async fn output_of(mut command: Command) -> Result<String, &'static str> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(Ok(_)) => Err("fails"),
        Ok(Err(_)) => Err("cannot be started"),
        Err(_) => Err("does not end"),
    }
}

/// `git version 2.39.5 (Debian)`
fn is_recent(version: &str) -> bool {
    let number = version.strip_prefix("git version ").unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    found >= OLDEST_GIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn versions_of_git() {
        for (version, expected) in [
            ("git version 2.47.3", true),
            ("git version 2.29.0 (Debian)", true),
            ("git version 2.28.9", false),
            ("git version 3.0.rc1", true),
            ("", false),
        ] {
            assert_eq!(is_recent(version), expected, "{version}");
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_down_is_a_failure() {
        let mut config = Config::default();
        config.docker.socket = "/nonexistent/docker.sock".into();
        let findings = docker(&config).await;
        assert_eq!(
            findings.first().map(|finding| finding.grade),
            Some(Grade::Fail)
        );
    }
}
