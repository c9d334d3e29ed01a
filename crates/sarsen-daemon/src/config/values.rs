//! The kinds of values that settings have: how they are read, written, and explained.

mod discovery;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Component, PathBuf};
use std::time::Duration;

use sarsen_domain::Domain;
use sarsen_registry::BackendUri;
use sarsen_router::{TrustedProxies, UnknownName};
use sarsen_runtime::BuildEngine;
use tracing_subscriber::EnvFilter;

pub use discovery::{NodeId, NodeMeta};

/// A value before anybody knows what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    One(String),
    Many(Vec<String>),
}

/// A kind of value.
pub(super) trait Setting: Sized {
    /// The value, or a sentence about what would be right.
    fn read(raw: &Raw) -> Result<Self, String>;
    /// As TOML.
    fn show(&self) -> String;
}

/// A kind of value that is one word.
trait Word: Sized {
    /// What would be right.
    const ALLOWED: &'static str;
    fn parse(text: &str) -> Option<Self>;
    fn show(&self) -> String;
}

/// A number of bytes: `512m`, `2g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// Shares of a CPU: `1.5`; in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(pub i64);

/// A file's mode: `0660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// A file to write; without a leading slash it lies in the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile(pub PathBuf);

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

/// Which log lines are written: `info`, or directives such as `info,sarsen_router=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(pub String);

/// Addresses and ranges of proxies in front.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    text: Vec<String>,
    parsed: TrustedProxies,
}

/// Registries outside: `consul://127.0.0.1:8500`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backends(pub Vec<BackendUri>);

/// Where names are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsPlace {
    /// The host's address on Docker's default network.
    Bridge(u16),
    Address(SocketAddr),
}

impl Raw {
    pub(super) fn text(text: &str) -> Self {
        Self::One(text.to_owned())
    }

    /// A list; one text can hold several items between commas.
    fn items(&self) -> Vec<&str> {
        match self {
            Self::Many(items) => items.iter().map(String::as_str).collect(),
            Self::One(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .collect(),
        }
    }

    fn one(&self) -> Option<&str> {
        match self {
            Self::One(text) => Some(text),
            Self::Many(_) => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => write!(f, "{}", quoted(text)),
            Self::Many(items) => write!(f, "{}", list(items.iter().map(|item| quoted(item)))),
        }
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl Proxies {
    pub fn trusted(&self) -> TrustedProxies {
        self.parsed.clone()
    }
}

impl<T: Word> Setting for T {
    fn read(raw: &Raw) -> Result<Self, String> {
        raw.one()
            .and_then(T::parse)
            .ok_or_else(|| T::ALLOWED.to_owned())
    }

    fn show(&self) -> String {
        Word::show(self)
    }
}

impl<T: Word> Setting for Option<T> {
    fn read(raw: &Raw) -> Result<Self, String> {
        if raw.one() == Some("") {
            return Ok(None);
        }
        T::read(raw)
            .map(Some)
            .map_err(|allowed| format!("{allowed}, or \"\" for none"))
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "\"\"".to_owned(), Word::show)
    }
}

impl<T: Word> Setting for Vec<T> {
    fn read(raw: &Raw) -> Result<Self, String> {
        let parse = |item: &str| {
            T::parse(item).ok_or_else(|| format!("a list, each of them {}", T::ALLOWED))
        };
        raw.items().into_iter().map(parse).collect()
    }

    fn show(&self) -> String {
        list(self.iter().map(Word::show))
    }
}

impl Setting for Proxies {
    fn read(raw: &Raw) -> Result<Self, String> {
        let items = raw.items();
        let parsed = TrustedProxies::parse(items.iter().copied()).map_err(|error| error.0)?;
        let text = items.into_iter().map(str::to_owned).collect();
        Ok(Self { text, parsed })
    }

    fn show(&self) -> String {
        list(self.text.iter().map(|item| quoted(item)))
    }
}

impl Setting for Backends {
    fn read(raw: &Raw) -> Result<Self, String> {
        // One address can hold commas.
        let items: Vec<&str> = match raw {
            Raw::Many(items) => items.iter().map(String::as_str).collect(),
            Raw::One(text) => text.split_whitespace().collect(),
        };
        let parsed = items.into_iter().map(BackendUri::parse);
        parsed.collect::<Result<_, _>>().map(Self)
    }

    fn show(&self) -> String {
        list(self.0.iter().map(|uri| quoted(&uri.to_string())))
    }
}

impl Word for DnsPlace {
    const ALLOWED: &'static str =
        "an address and a port, such as \"10.0.0.5:53\", or \"bridge:53\" for Docker's own network";

    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("bridge:") {
            Some(port) => <u16 as Word>::parse(port).map(Self::Bridge),
            None => text.parse().ok().map(Self::Address),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Bridge(port) => quoted(&format!("bridge:{port}")),
            Self::Address(address) => quoted(&address.to_string()),
        }
    }
}

impl Word for bool {
    const ALLOWED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Word for u16 {
    const ALLOWED: &'static str = "a port from 1 to 65535";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|port| *port > 0)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Word for usize {
    const ALLOWED: &'static str = "a number of at least 1";

    fn parse(text: &str) -> Option<Self> {
        text.replace('_', "")
            .parse()
            .ok()
            .filter(|number| *number > 0)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Word for String {
    const ALLOWED: &'static str = "a word without spaces";

    fn parse(text: &str) -> Option<Self> {
        let legal = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        legal.then(|| text.to_owned())
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Word for PathBuf {
    const ALLOWED: &'static str = "an absolute path";

    fn parse(text: &str) -> Option<Self> {
        let path = Self::from(text);
        (path.is_absolute() && !text.contains('\0')).then_some(path)
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Word for LogFile {
    const ALLOWED: &'static str = "a path, in the data directory unless it begins with a slash";

    fn parse(text: &str) -> Option<Self> {
        let path = PathBuf::from(text);
        let climbs = path.components().any(|part| part == Component::ParentDir);
        let legal = !text.is_empty() && !climbs && !text.contains('\0');
        legal.then_some(Self(path))
    }

    fn show(&self) -> String {
        quoted(&self.0.to_string_lossy())
    }
}

impl Word for SocketAddr {
    const ALLOWED: &'static str = "an address and a port, such as \"0.0.0.0:80\" or \"[::]:80\"";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Word for Duration {
    const ALLOWED: &'static str = "a time such as \"30s\", \"15m\" or \"1h\"";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let seconds = number.checked_mul(match unit {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            _ => return None,
        })?;
        // Beyond a century clocks overflow.
        (1..=3_000_000_000)
            .contains(&seconds)
            .then(|| Self::from_secs(seconds))
    }

    fn show(&self) -> String {
        let seconds = self.as_secs();
        quoted(&match seconds {
            _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
            // A minute and a half reads better in seconds.
            _ if seconds.is_multiple_of(60) && seconds > 60 => format!("{}m", seconds / 60),
            _ => format!("{seconds}s"),
        })
    }
}

impl Word for Bytes {
    const ALLOWED: &'static str = "a size such as \"512m\" or \"2g\"";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let shift = match unit.to_ascii_lowercase().as_str() {
            "k" => 10,
            "m" => 20,
            "g" => 30,
            _ => return None,
        };
        let bytes = number.checked_mul(1 << shift)?;
        // The engine counts with a sign.
        (number > 0 && i64::try_from(bytes).is_ok()).then_some(Self(bytes))
    }

    fn show(&self) -> String {
        let (number, unit) = [(30, "g"), (20, "m")]
            .into_iter()
            .find(|(shift, _)| self.0.is_multiple_of(1 << shift))
            .map_or((self.0 >> 10, "k"), |(shift, unit)| (self.0 >> shift, unit));
        quoted(&format!("{number}{unit}"))
    }
}

impl Word for Cpus {
    const ALLOWED: &'static str = "a number of CPUs such as 0.5 or 2";

    fn parse(text: &str) -> Option<Self> {
        let cpus: f64 = text.parse().ok()?;
        let sensible = (0.01..=10_000.0).contains(&cpus);
        #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
        sensible.then_some(Self((cpus * 1e9).round() as i64))
    }

    fn show(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let cpus = self.0 as f64 / 1e9;
        cpus.to_string()
    }
}

impl Word for Mode {
    const ALLOWED: &'static str = "a mode in octal digits, such as \"0660\"";

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .map(Self)
    }

    fn show(&self) -> String {
        quoted(&format!("{:04o}", self.0))
    }
}

impl Word for BuildEngine {
    const ALLOWED: &'static str = "\"auto\", \"buildkit\" or \"classic\"";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "buildkit" => Some(Self::BuildKit),
            "classic" => Some(Self::Classic),
            _ => None,
        }
    }

    fn show(&self) -> String {
        quoted(match self {
            Self::Auto => "auto",
            Self::BuildKit => "buildkit",
            Self::Classic => "classic",
        })
    }
}

impl Word for UnknownName {
    const ALLOWED: &'static str = "\"refuse\" or \"self-signed\"";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "refuse" => Some(Self::Refused),
            "self-signed" => Some(Self::SelfSigned),
            _ => None,
        }
    }

    fn show(&self) -> String {
        quoted(match self {
            Self::Refused => "refuse",
            Self::SelfSigned => "self-signed",
        })
    }
}

impl Word for LogFormat {
    const ALLOWED: &'static str = "\"human\" or \"json\"";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "human" => Some(Self::Human),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn show(&self) -> String {
        quoted(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

impl Word for LogLevel {
    const ALLOWED: &'static str =
        "error, warn, info, debug, trace, or such as \"info,sarsen_router=debug\"";

    fn parse(text: &str) -> Option<Self> {
        // A bare word that is no level would be taken for the name of a module.
        let is_level =
            |word: &str| ["error", "warn", "info", "debug", "trace", "off"].contains(&word);
        let sensible = text
            .split(',')
            .all(|part| part.contains('=') || is_level(part));
        (sensible && EnvFilter::try_new(text).is_ok()).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

impl Word for Domain {
    const ALLOWED: &'static str = "a host name such as \"apps.example.com\"";

    fn parse(text: &str) -> Option<Self> {
        let domain = Self::parse(text).ok()?;
        (!domain.is_catch_all() && domain.wildcard_suffix().is_none()).then_some(domain)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

/// `localhost`: `*.localhost` leads to this machine without any DNS.
#[expect(clippy::expect_used, reason = "a constant that a test reads")]
pub(super) fn known_domain() -> Domain {
    Domain::parse("localhost").expect("localhost is a host name")
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
