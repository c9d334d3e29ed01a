//! Whether a new container is ready: its checks, and watching that it does not end meanwhile.

mod http;
mod listening;
mod live;
mod waiting;

use std::net::IpAddr;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use sarsen_domain::{Check, CheckKind, ContainerId, Progress};
use sarsen_runtime::{ContainerInfo, ExecSpec, ImageHealth, Runtime, RuntimeError};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::error::seconds;
use crate::{AppSettings, Cause, CheckMode, PlannedInstance};

use waiting::{Limit, Waiting};

/// The first pause between two looks at a container; it grows to [`POLL_MAX`].
const POLL_MIN: Duration = Duration::from_millis(25);
const POLL_MAX: Duration = Duration::from_millis(100);

/// How long a process that nobody connects to must run to be taken for good.
const CONFIRMATION: Duration = Duration::from_secs(1);

/// No HEALTHCHECK is waited for longer than this; the engine itself decides long before.
const HEALTHCHECK_LIMIT: Duration = Duration::from_secs(1800);

/// Enough of a command's output to say what went wrong.
const OUTPUT_MAX: usize = 2000;

/// A container that was just started.
pub(crate) struct Subject<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) container: &'a ContainerId,
    pub(crate) instance: &'a PlannedInstance,
    pub(crate) settings: &'a AppSettings,
    pub(crate) progress: &'a dyn Progress,
}

/// One try of a check.
enum Outcome {
    Passed,
    /// The app is not up yet; worth another look soon.
    NotYet(Cause),
    /// The app answered, and not as it should.
    Failed(Cause),
}

impl Subject<'_> {
    /// Waits until the container is ready, and gives what is known of it then.
    pub(crate) async fn ready(&self) -> Result<ContainerInfo, Cause> {
        let info = self.inspect().await?;
        let probes = async {
            tokio::select! {
                // An end counts even when a probe passed in the same moment.
                biased;
                cause = self.ended() => Err(cause),
                outcome = self.probe(&info) => outcome,
            }
        };
        if info.is_running() {
            probes.await?;
        }
        let info = self.inspect().await?;
        if !info.is_running() {
            return Err(Cause::of_end(&info, self.memory()));
        }
        if info.restart_count > 0 {
            return Err(Cause::Restarted);
        }
        Ok(info)
    }

    /// Whether a container that is to serve does; how often it was restarted does not matter.
    pub(crate) async fn serves(&self) -> Result<(), Cause> {
        let info = self.inspect().await?;
        if !info.is_running() {
            return Err(Cause::of_end(&info, self.memory()));
        }
        self.probe(&info).await
    }

    async fn probe(&self, info: &ContainerInfo) -> Result<(), Cause> {
        let process = &self.instance.process;
        let dyno = self.instance.dyno();
        if self.settings.check_mode(process) != CheckMode::Enabled {
            let text = format!("Zero downtime checks have been skipped ({dyno})");
            self.progress.header2(&text);
            // One that ends at once is found all the same.
            sleep(CONFIRMATION).await;
            return Ok(());
        }
        let checks = self
            .settings
            .checks
            .get(process)
            .map_or(&[][..], Vec::as_slice);
        if !checks.is_empty() {
            let all = checks.iter().map(|check| self.check(check, info));
            futures_util::future::try_join_all(all).await?;
        } else if info.health != ImageHealth::None {
            self.healthcheck().await?;
        } else if process.is_web() {
            let check = Check::default_listening(self.settings.health_window);
            self.check(&check, info).await?;
        } else {
            sleep(CONFIRMATION).await;
        }
        Ok(())
    }

    /// One check with all its tries.
    async fn check(&self, check: &Check, info: &ContainerInfo) -> Result<(), Cause> {
        sleep(check.initial_delay).await;
        let mut waiting = self.waiting(Limit::Time(check.patience()));
        let mut cause = None;
        for _ in 0..check.attempts {
            match self.attempt(check, info, &mut waiting).await {
                Ok(()) => return Ok(()),
                Err(problem) => cause = Some(problem),
            }
        }
        let cause = cause.unwrap_or(Cause::TimedOut(waiting.begun.elapsed()));
        if !check.warn_only {
            return Err(cause);
        }
        let dyno = self.instance.dyno();
        self.progress.warn(&format!(
            "{dyno}: {cause}; only a warning, as app.json says"
        ));
        Ok(())
    }

    /// One try. While the app is not up it looks again and again until the pause before the next try is over, so
    /// that a check passes as soon as it can.
    async fn attempt(
        &self,
        check: &Check,
        info: &ContainerInfo,
        waiting: &mut Waiting<'_>,
    ) -> Result<(), Cause> {
        let next = Instant::now() + check.wait;
        let mut pause = POLL_MIN;
        loop {
            let look = timeout(check.timeout, self.look(check, info, waiting.begun)).await;
            let cause = match look {
                Ok(Outcome::Passed) => return Ok(()),
                Ok(Outcome::NotYet(cause)) => {
                    if Instant::now() >= next {
                        return Err(cause);
                    }
                    waiting.tell(&cause.so_far());
                    sleep_until(next.min(Instant::now() + pause)).await;
                    pause = (pause * 2).min(POLL_MAX);
                    continue;
                }
                Ok(Outcome::Failed(cause)) => cause,
                Err(_) => failed(
                    check,
                    format!("no answer within {}", seconds(check.timeout)),
                ),
            };
            waiting.tell(&cause.so_far());
            sleep_until(next).await;
            return Err(cause);
        }
    }

    async fn look(&self, check: &Check, info: &ContainerInfo, begun: Instant) -> Outcome {
        match &check.kind {
            CheckKind::Http { .. } => self.http(check, info).await,
            CheckKind::Command(argv) => self.command(check, argv).await,
            CheckKind::Listening { port } => {
                let port = port.unwrap_or_else(|| self.port());
                match listening::look(info, port).await {
                    Ok(()) => Outcome::Passed,
                    Err(found) => Outcome::NotYet(Cause::NotListening {
                        port,
                        within: begun.elapsed(),
                        found,
                    }),
                }
            }
            CheckKind::Uptime(time) => {
                // An end or a restart meanwhile is noticed outside.
                sleep_until(begun + *time).await;
                Outcome::Passed
            }
        }
    }

    async fn http(&self, check: &Check, info: &ContainerInfo) -> Outcome {
        let CheckKind::Http {
            path,
            port,
            https,
            content,
            headers,
        } = &check.kind
        else {
            return Outcome::Passed;
        };
        let Some(address) = self.address(info) else {
            return Outcome::Failed(failed(check, "the container has no network".to_owned()));
        };
        let probe = http::Probe {
            address: (address, port.unwrap_or_else(|| self.port())).into(),
            host: self.settings.app_host.as_ref(),
            path,
            https: *https,
            forwarded_https: self.settings.https,
            headers,
            content: content.as_deref(),
        };
        match probe.send().await {
            Ok(()) => Outcome::Passed,
            Err(http::Problem::Unreachable(text)) => Outcome::NotYet(failed(check, text)),
            Err(http::Problem::Answer(text)) => Outcome::Failed(failed(check, text)),
        }
    }

    async fn command(&self, check: &Check, argv: &[String]) -> Outcome {
        match self.exec(argv).await {
            Ok((0, _)) => Outcome::Passed,
            Ok((code, output)) => {
                let output = output.trim();
                let text = if output.is_empty() {
                    format!("exit code {code}")
                } else {
                    format!("exit code {code}: {output}")
                };
                Outcome::Failed(failed(check, text))
            }
            Err(error) => Outcome::Failed(failed(check, error.to_string())),
        }
    }

    async fn exec(&self, argv: &[String]) -> Result<(i64, String), RuntimeError> {
        let spec = ExecSpec {
            command: argv.to_vec(),
            ..ExecSpec::default()
        };
        let exec = self.runtime.exec(self.container, &spec).await?;
        let mut chunks = exec.streams.output;
        let mut output = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            let room = OUTPUT_MAX.saturating_sub(output.len());
            output.extend(chunk.bytes.iter().take(room));
        }
        let code = self.runtime.exec_exit_code(&exec.id).await?;
        Ok((code, String::from_utf8_lossy(&output).into_owned()))
    }

    /// Waits for the image's HEALTHCHECK to decide.
    async fn healthcheck(&self) -> Result<(), Cause> {
        let mut waiting = self.waiting(Limit::Engine);
        let mut pause = POLL_MIN;
        while waiting.begun.elapsed() < HEALTHCHECK_LIMIT {
            let info = self.inspect().await?;
            match info.health {
                ImageHealth::Healthy | ImageHealth::None => return Ok(()),
                ImageHealth::Unhealthy => return Err(Cause::Unhealthy(info.health_output)),
                ImageHealth::Starting => {
                    waiting.tell("the HEALTHCHECK of its image has not passed");
                    sleep(pause).await;
                }
            }
            pause = (pause * 2).min(POLL_MAX);
        }
        Err(Cause::TimedOut(HEALTHCHECK_LIMIT))
    }

    /// Comes back when the container has ended, with the reason.
    async fn ended(&self) -> Cause {
        if let Err(error) = self.runtime.wait(self.container).await {
            return Cause::Engine(error.to_string());
        }
        match self.inspect().await {
            Ok(info) => Cause::of_end(&info, self.memory()),
            Err(cause) => cause,
        }
    }

    async fn inspect(&self) -> Result<ContainerInfo, Cause> {
        let info = self.runtime.inspect(self.container).await;
        info.map_err(|error| Cause::Engine(error.to_string()))
    }

    fn waiting(&self, limit: Limit) -> Waiting<'_> {
        Waiting::begin(self.progress, self.instance.dyno(), limit)
    }

    fn memory(&self) -> Option<i64> {
        self.settings
            .flags_of(&self.instance.process, self.instance.index)
            .memory
    }

    fn port(&self) -> u16 {
        sarsen_domain::health::web_port(&self.settings.ports)
    }

    fn address(&self, info: &ContainerInfo) -> Option<IpAddr> {
        if info.host_network {
            return Some(IpAddr::from([127, 0, 0, 1]));
        }
        info.address()
    }
}

/// The last lines of a container's output, for people.
pub(crate) async fn last_lines(runtime: &Runtime, container: &ContainerId, count: u32) -> String {
    let options = sarsen_runtime::LogOptions {
        tail: Some(count),
        ..Default::default()
    };
    let mut text = Vec::new();
    let read = async {
        if let Ok(mut chunks) = runtime.logs(container, options).await {
            while let Some(Ok(chunk)) = chunks.next().await {
                text.extend_from_slice(&chunk.bytes);
            }
        }
    };
    // A failing deploy must not hang on its own explanation.
    timeout(Duration::from_secs(5), read).await.ok();
    String::from_utf8_lossy(&text).into_owned()
}

fn failed(check: &Check, problem: String) -> Cause {
    Cause::CheckFailed {
        check: check.name.clone(),
        problem,
    }
}
