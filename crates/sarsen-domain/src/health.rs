//! Health checks: what must be true of a new container before it gets traffic.

use std::time::Duration;

use serde::Deserialize;

use crate::{Invalid, PortMapping, Scheme};

/// One check of one process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// How it is called in messages.
    pub name: String,
    /// What is looked at.
    pub kind: CheckKind,
    /// How often it is tried.
    pub attempts: u32,
    /// The time one try may take.
    pub timeout: Duration,
    /// The pause between tries.
    pub wait: Duration,
    /// The pause before the first try.
    pub initial_delay: Duration,
    /// Whether a failure only warns.
    pub warn_only: bool,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// GET of a path answers 2xx after redirects, and holds `content`.
    Http {
        path: String,
        port: Option<u16>,
        https: bool,
        content: Option<String>,
        headers: Vec<(String, String)>,
    },
    /// A command in the container exits with 0.
    Command(Vec<String>),
    /// Something listens on the port (PORT when none is given).
    Listening { port: Option<u16> },
    /// The container has run that long without a restart.
    Uptime(Duration),
}

/// The form of a check in app.json.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCheck {
    #[serde(rename = "type", default = "startup")]
    phase: String,
    name: Option<String>,
    command: Option<Vec<String>>,
    path: Option<String>,
    listening: Option<bool>,
    uptime: Option<u64>,
    content: Option<String>,
    #[serde(default)]
    http_headers: Vec<RawHeader>,
    attempts: Option<u32>,
    timeout: Option<u64>,
    wait: Option<u64>,
    initial_delay: Option<u64>,
    port: Option<u16>,
    scheme: Option<String>,
    #[serde(default)]
    warn: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct RawHeader {
    name: String,
    value: String,
}

fn startup() -> String {
    "startup".to_owned()
}

impl Check {
    /// The check for a process without any of its own: it listens on PORT. `window` is the time it has.
    pub fn default_listening(window: Duration) -> Self {
        Self {
            name: "port listening check".to_owned(),
            kind: CheckKind::Listening { port: None },
            // One try that goes on all the time: what each look takes would add up between many short ones.
            attempts: 1,
            timeout: window.max(Duration::from_secs(5)),
            wait: window,
            initial_delay: Duration::ZERO,
            warn_only: false,
        }
    }

    /// How long it is tried at the most, once it has begun.
    pub fn patience(&self) -> Duration {
        // Only these may keep us waiting for an answer.
        let asks = matches!(self.kind, CheckKind::Http { .. } | CheckKind::Command(_));
        let answer = if asks { self.timeout } else { Duration::ZERO };
        self.wait.max(answer) * self.attempts
    }

    /// Reads one entry of app.json's `healthchecks`. `None` for a liveness or readiness check, which belong to
    /// schedulers that we are not.
    pub fn from_json(value: serde_json::Value) -> Result<Option<Self>, Invalid> {
        let raw: RawCheck = serde_json::from_value(value)
            .map_err(|error| Invalid::new(format!("Invalid healthcheck in app.json: {error}")))?;
        if raw.phase != "startup" {
            return Ok(None);
        }
        let kind = raw.kind()?;
        Ok(Some(Self {
            name: raw.name.unwrap_or_else(|| kind.describe()),
            kind,
            attempts: raw.attempts.unwrap_or(3).clamp(1, 1000),
            timeout: Duration::from_secs(raw.timeout.unwrap_or(5).clamp(1, 3600)),
            wait: Duration::from_secs(raw.wait.unwrap_or(5).min(3600)),
            initial_delay: Duration::from_secs(raw.initial_delay.unwrap_or(0).min(3600)),
            warn_only: raw.warn,
        }))
    }
}

impl RawCheck {
    fn kind(&self) -> Result<CheckKind, Invalid> {
        let given = [
            self.command.is_some(),
            self.path.is_some(),
            self.listening.unwrap_or(false),
            self.uptime.is_some(),
        ];
        if given.iter().filter(|is_given| **is_given).count() != 1 {
            return Err(Invalid::new(
                "Invalid healthcheck in app.json: give exactly one of command, path, listening and uptime",
            ));
        }
        if let Some(command) = &self.command {
            if command.is_empty() {
                return Err(Invalid::new(
                    "Invalid healthcheck in app.json: the command is empty",
                ));
            }
            return Ok(CheckKind::Command(command.clone()));
        }
        if let Some(path) = &self.path {
            return self.http(path);
        }
        if let Some(seconds) = self.uptime {
            return Ok(CheckKind::Uptime(Duration::from_secs(seconds.min(3600))));
        }
        Ok(CheckKind::Listening { port: self.port })
    }

    fn http(&self, path: &str) -> Result<CheckKind, Invalid> {
        let scheme = self
            .scheme
            .as_deref()
            .unwrap_or("http")
            .to_ascii_lowercase();
        if !path.starts_with('/') || path.chars().any(|c| c.is_control() || c == ' ') {
            return Err(Invalid::new(
                "Invalid healthcheck in app.json: the path must begin with '/'",
            ));
        }
        if scheme != "http" && scheme != "https" {
            return Err(Invalid::new(
                "Invalid healthcheck in app.json: the scheme must be http or https",
            ));
        }
        Ok(CheckKind::Http {
            path: path.to_owned(),
            port: self.port,
            https: scheme == "https",
            content: self.content.clone(),
            headers: self
                .http_headers
                .iter()
                .map(|h| (h.name.clone(), h.value.clone()))
                .collect(),
        })
    }
}

impl CheckKind {
    /// A name for a check that was given none.
    pub fn describe(&self) -> String {
        match self {
            Self::Http { path, .. } => format!("http check of {path}"),
            Self::Command(argv) => format!("command check '{}'", argv.join(" ")),
            Self::Listening { port: Some(port) } => format!("port {port} listening check"),
            Self::Listening { port: None } => "port listening check".to_owned(),
            Self::Uptime(time) => format!("uptime check of {} s", time.as_secs()),
        }
    }
}

/// The container port that `PORT` names: that of the first mapping that is not UDP.
pub fn web_port(mappings: &[PortMapping]) -> u16 {
    mappings
        .iter()
        .find(|mapping| mapping.scheme != Scheme::Udp)
        .map_or(5000, |mapping| mapping.container)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_app_json_checks() {
        let check = Check::from_json(
            json!({"path": "/up", "attempts": 2, "timeout": 1, "wait": 0, "content": "ok"}),
        );
        let check = check.unwrap().unwrap();
        assert_eq!(
            (
                check.attempts,
                check.timeout.as_secs(),
                check.wait.as_secs()
            ),
            (2, 1, 0)
        );
        assert!(
            matches!(check.kind, CheckKind::Http { ref path, ref content, .. } if path == "/up" && content.as_deref() == Some("ok"))
        );
        let uptime = Check::from_json(json!({"type": "startup", "uptime": 3}))
            .unwrap()
            .unwrap();
        assert_eq!(uptime.kind, CheckKind::Uptime(Duration::from_secs(3)));
        assert_eq!(
            Check::from_json(json!({"type": "liveness", "path": "/"})).unwrap(),
            None
        );
    }

    #[test]
    fn a_check_looks_at_one_thing() {
        for bad in [
            json!({}),
            json!({"path": "/", "uptime": 1}),
            json!({"path": "up"}),
            json!({"path": "/ HTTP/1.1\r\nX: y"}),
            json!({"command": []}),
            json!({"path": "/", "scheme": "ftp"}),
            json!({"listening": false}),
        ] {
            assert!(Check::from_json(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_window_is_as_long_as_it_says() {
        let window = Duration::from_secs(60);
        let check = Check::default_listening(window);
        assert_eq!((check.attempts, check.wait), (1, window));
        assert_eq!(check.patience(), window);
        let raw = json!({"path": "/", "attempts": 3, "wait": 5, "timeout": 2});
        let check = Check::from_json(raw).unwrap().unwrap();
        assert_eq!(check.patience(), Duration::from_secs(15));
        let raw = json!({"path": "/", "attempts": 3, "wait": 0, "timeout": 2});
        let check = Check::from_json(raw).unwrap().unwrap();
        assert_eq!(check.patience(), Duration::from_secs(6));
    }

    #[test]
    fn port_is_the_first_that_is_not_udp() {
        let parse = |list: &[&str]| list.iter().map(|m| m.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(web_port(&parse(&["udp:53:53", "http:80:8080"])), 8080);
        assert_eq!(web_port(&[]), 5000);
    }
}
