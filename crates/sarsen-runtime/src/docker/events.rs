//! The engine's events about containers.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions};
use futures_util::{StreamExt, stream};
use sarsen_domain::ContainerId;

use super::DockerRuntime;
use super::error::engine_error;
use crate::{ContainerEvent, ContainerEventKind, EngineStream, ImageHealth, Result, RuntimeError};

/// Commands run in containers and the like are left to the engine.
const ACTIONS: [&str; 11] = [
    "start",
    "die",
    "kill",
    "pause",
    "unpause",
    "rename",
    "health_status",
    "destroy",
    "oom",
    "connect",
    "disconnect",
];

const SIGTERM: u8 = 15;
const SIGKILL: u8 = 9;

/// Names that a STOPSIGNAL may have, by number on every Linux that runs containers.
const SIGNALS: [(&str, u8); 12] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", SIGKILL),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", SIGTERM),
    ("TSTP", 20),
    ("WINCH", 28),
    ("PWR", 30),
];

/// What an event says, before it is known whether a signal was the container's stop signal.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Event(ContainerEventKind),
    Signal(u8),
    Nothing,
}

impl DockerRuntime {
    /// The engine remembers the last few hundred events, until it is restarted.
    pub(super) async fn event_stream(
        &self,
        since: Option<i64>,
    ) -> Result<EngineStream<ContainerEvent>> {
        let client = self.client().await?;
        // The request goes out with the first look at the stream, so events from now on are asked for by time; and
        // an engine that is not there is told at once.
        let after = since.unwrap_or_else(now);
        client.ping().await.map_err(engine_error)?;
        let actions = ACTIONS.map(str::to_owned).to_vec();
        let filters = HashMap::from([
            (
                "type".to_owned(),
                ["container", "network"].map(str::to_owned).to_vec(),
            ),
            ("event".to_owned(), actions),
        ]);
        let options = EventsOptionsBuilder::new()
            .since(&engine_time(after))
            .filters(&filters)
            .build();
        let messages = Box::pin(client.events(Some(options)));
        let follower = Some((client, messages));
        let events = stream::unfold(follower, move |follower| async move {
            let (client, mut messages) = follower?;
            loop {
                let message = match messages.next().await {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => return Some((Err(engine_error(error)), None)),
                    None => return Some((Err(ended()), None)),
                };
                // The engine's `since` takes in the event of that very time.
                if message.time_nano.is_some_and(|at| at <= after) {
                    continue;
                }
                if let Some(event) = event(&client, &message).await {
                    return Some((Ok(event), Some((client, messages))));
                }
            }
        });
        Ok(Box::pin(events))
    }
}

async fn event(client: &Docker, message: &EventMessage) -> Option<ContainerEvent> {
    let actor = message.actor.as_ref()?;
    let attributes = actor.attributes.as_ref();
    let attribute = |key: &str| attributes.and_then(|all| all.get(key)).map(String::as_str);
    let at = message.time_nano?;
    if message.typ == Some(EventMessageTypeEnum::NETWORK) {
        // The actor is the network. One that was removed has no container to tell of.
        let id = ContainerId::parse(attribute("container")?).ok()?;
        let kind = ContainerEventKind::Network;
        return Some(ContainerEvent { id, kind, at });
    }
    let id = ContainerId::parse(actor.id.as_deref()?).ok()?;
    let kind = match said(message.action.as_deref()?, attribute) {
        Said::Event(kind) => kind,
        Said::Signal(signal) if stops(client, &id, signal).await => ContainerEventKind::Stopping,
        Said::Signal(_) | Said::Nothing => return None,
    };
    Some(ContainerEvent { id, kind, at })
}

fn said<'a>(action: &str, attribute: impl Fn(&str) -> Option<&'a str>) -> Said {
    let number = |key: &str| attribute(key).and_then(|text| text.parse().ok());
    let kind = match action {
        "start" => ContainerEventKind::Start,
        "die" => ContainerEventKind::Die {
            exit_code: number("exitCode").unwrap_or(-1),
        },
        "kill" => {
            let signal = attribute("signal").and_then(signal_number);
            return signal.map_or(Said::Nothing, Said::Signal);
        }
        "pause" => ContainerEventKind::Pause,
        "unpause" => ContainerEventKind::Unpause,
        "rename" => ContainerEventKind::Rename,
        "destroy" => ContainerEventKind::Destroy,
        "oom" => ContainerEventKind::Oom,
        "health_status: starting" => ContainerEventKind::Health(ImageHealth::Starting),
        "health_status: healthy" => ContainerEventKind::Health(ImageHealth::Healthy),
        "health_status: unhealthy" => ContainerEventKind::Health(ImageHealth::Unhealthy),
        _ => return Said::Nothing,
    };
    Said::Event(kind)
}

/// Whether this signal asks the container to end. Others (SIGHUP to reload, SIGUSR1 to rotate logs) do not, unless
/// its image says so, as nginx's does of SIGQUIT.
async fn stops(client: &Docker, id: &ContainerId, signal: u8) -> bool {
    if signal == SIGTERM || signal == SIGKILL {
        return true;
    }
    let answer = client.inspect_container(id.as_str(), None::<InspectContainerOptions>);
    // Gone already: its `die` and `destroy` follow.
    let Ok(answer) = answer.await else {
        return false;
    };
    let stop_signal = answer.config.and_then(|config| config.stop_signal);
    stop_signal.and_then(|name| signal_number(&name)) == Some(signal)
}

/// `SIGQUIT`, `quit` or `3`.
fn signal_number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let mut signals = SIGNALS.iter();
    signals
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

/// `seconds.nanoseconds`, as the engine takes times.
fn engine_time(nanoseconds: i64) -> String {
    let second = 1_000_000_000;
    let (seconds, rest) = (
        nanoseconds.div_euclid(second),
        nanoseconds.rem_euclid(second),
    );
    format!("{seconds}.{rest:09}")
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}

fn ended() -> RuntimeError {
    RuntimeError::Unreachable("its event stream ended".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(action: &str, attributes: &[(&str, &'static str)]) -> Said {
        said(action, |wanted| {
            let mut attributes = attributes.iter();
            attributes.find(|(key, _)| *key == wanted).map(|(_, v)| *v)
        })
    }

    #[test]
    fn actions_become_kinds() {
        let die = ContainerEventKind::Die { exit_code: 7 };
        assert_eq!(of("die", &[("exitCode", "7")]), Said::Event(die));
        let healthy = ContainerEventKind::Health(ImageHealth::Healthy);
        assert_eq!(of("health_status: healthy", &[]), Said::Event(healthy));
        assert_eq!(of("kill", &[("signal", "3")]), Said::Signal(3));
        assert_eq!(of("exec_start: sh", &[]), Said::Nothing);
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [("SIGQUIT", 3), ("quit", 3), ("15", 15), ("SIGTERM", 15)] {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
        assert_eq!(signal_number("SIGNONE"), None);
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        assert_eq!(
            engine_time(1_700_000_000_000_000_042),
            "1700000000.000000042"
        );
    }
}
