//! Registrator's flags, read as Go programs read them: one dash or two, before the URI, values tied or behind.

use std::net::IpAddr;
use std::time::Duration;

use sarsen_registry::{BackendUri, Deregister, Lifetime, Reach, Whose};

pub(super) const USAGE: &str = "\
Usage: sarsen registrator [options] REGISTRY-URI

  consul://HOST:PORT, consul-tls://, consul-unix://PATH   services of a Consul agent
  consulkv://HOST:PORT/PREFIX, consulkv-unix://           Consul's key-value store
  etcd://HOST:PORT[,HOST:PORT]/PREFIX, etcd-tls://        etcd, version 3
  skydns2://HOST:PORT/DOMAIN                              etcd in the form of SkyDNS and CoreDNS

  -cleanup                 also removes what another Registrator of this host left behind
  -deregister WHEN         always, or on-success: what failed by itself stays (always)
  -explicit                only registers what is given a name with SERVICE_NAME
  -internal                registers the containers' own addresses and ports instead of published ones
  -ip ADDRESS              the address of every published port
  -resync SECONDS          compares with the engine and the registry at least so often
  -retry-attempts NUMBER   attempts to reach the registry at the start, -1 for ever (0)
  -retry-interval MILLIS   between two attempts (2000)
  -tags LIST               tags for every service; may be a Go template
  -ttl SECONDS             how long a service stays when we are gone (0: for ever)
  -ttl-refresh SECONDS     how often it is renewed
  -useIpFromLabel LABEL    the label that gives a container's address
  --version                prints the version
";

/// What the command line asks for.
pub(super) enum Asked {
    Run(Box<Flags>),
    Help,
    Version,
}

/// The flags.
#[derive(Debug)]
pub(super) struct Flags {
    pub(super) uri: BackendUri,
    pub(super) ip: Option<IpAddr>,
    pub(super) reach: Reach,
    pub(super) whose: Whose,
    pub(super) use_ip_from_label: Option<String>,
    pub(super) tags: Option<String>,
    pub(super) resync: Option<Duration>,
    pub(super) lifetime: Option<Lifetime>,
    pub(super) cleanup: bool,
    pub(super) deregister: Deregister,
    /// `None` is for ever.
    pub(super) retry_attempts: Option<u64>,
    pub(super) retry_interval: Duration,
}

/// The words behind the flags' names.
#[derive(Default)]
struct Given<'a> {
    values: Vec<(&'a str, String)>,
}

const SWITCHES: [&str; 3] = ["cleanup", "explicit", "internal"];
const VALUES: [&str; 9] = [
    "deregister",
    "ip",
    "resync",
    "retry-attempts",
    "retry-interval",
    "tags",
    "ttl",
    "ttl-refresh",
    "useIpFromLabel",
];

impl Flags {
    pub(super) fn parse(words: &[String]) -> Result<Asked, String> {
        if let [word] = words
            && matches!(word.as_str(), "--version" | "-version")
        {
            return Ok(Asked::Version);
        }
        let (given, rest) = Given::read(words)?;
        let Some(given) = given else {
            return Ok(Asked::Help);
        };
        let uri = match rest {
            [uri] => BackendUri::parse(uri)?,
            [] => return Err("name the registry".to_owned()),
            [_, next, ..] if next.starts_with('-') => {
                return Err(format!(
                    "{next} comes too late: options stand before the registry"
                ));
            }
            [_, next, ..] => return Err(format!("one registry only: {next} is too much")),
        };
        given.flags(uri).map(|flags| Asked::Run(Box::new(flags)))
    }
}

impl<'a> Given<'a> {
    /// The flags, and the words from the first that is none. No flags at all when help is asked for.
    fn read(words: &'a [String]) -> Result<(Option<Self>, &'a [String]), String> {
        let mut given = Self::default();
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            if word == "--" {
                return Ok((Some(given), after));
            }
            let Some(flag) = word.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
                break;
            };
            rest = after;
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, tied) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if name == "help" || name == "h" {
                return Ok((None, rest));
            }
            let value = if SWITCHES.contains(&name) {
                tied.unwrap_or_else(|| "true".to_owned())
            } else if !VALUES.contains(&name) {
                return Err(format!("there is no option -{name}"));
            } else if let Some(value) = tied {
                value
            } else {
                let (value, after) = rest
                    .split_first()
                    .ok_or_else(|| format!("-{name} needs a value"))?;
                rest = after;
                value.clone()
            };
            given.values.push((name, value));
        }
        Ok((Some(given), rest))
    }

    fn flags(&self, uri: BackendUri) -> Result<Flags, String> {
        Ok(Flags {
            uri,
            ip: self.ip()?,
            reach: match self.switch("internal")? {
                true => Reach::Internal,
                false => Reach::Published,
            },
            whose: match self.switch("explicit")? {
                true => Whose::Named,
                false => Whose::Everybodys,
            },
            use_ip_from_label: self.text("useIpFromLabel"),
            tags: self.text("tags"),
            resync: self.seconds("resync")?,
            lifetime: self.lifetime()?,
            cleanup: self.switch("cleanup")?,
            deregister: self.deregister()?,
            retry_attempts: self.attempts()?,
            retry_interval: self.interval()?,
        })
    }

    /// The last one counts; an empty one is none.
    fn text(&self, name: &str) -> Option<String> {
        let given = self.values.iter().rev().find(|(given, _)| *given == name);
        given
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    }

    fn switch(&self, name: &str) -> Result<bool, String> {
        match self.text(name).as_deref() {
            None | Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some(other) => Err(format!("-{name} is true or false, not {other}")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<i64>, String> {
        let parse = |text: String| {
            text.parse()
                .map_err(|_| format!("-{name} is a number, not {text}"))
        };
        self.text(name).map(parse).transpose()
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, String> {
        let Some(number) = self.number(name)?.filter(|number| *number != 0) else {
            return Ok(None);
        };
        let seconds =
            u64::try_from(number).map_err(|_| format!("-{name} cannot be less than 0"))?;
        Ok(Some(Duration::from_secs(seconds)))
    }

    fn ip(&self) -> Result<Option<IpAddr>, String> {
        let parse = |text: String| {
            text.parse()
                .map_err(|_| format!("-ip {text} is no address"))
        };
        self.text("ip").map(parse).transpose()
    }

    fn lifetime(&self) -> Result<Option<Lifetime>, String> {
        match (self.seconds("ttl")?, self.seconds("ttl-refresh")?) {
            (None, None) => Ok(None),
            (Some(ttl), Some(refresh)) if ttl > refresh => Ok(Some(Lifetime { ttl, refresh })),
            (Some(_), Some(_)) => Err("-ttl must be greater than -ttl-refresh".to_owned()),
            _ => Err("-ttl and -ttl-refresh must be specified together or not at all".to_owned()),
        }
    }

    fn deregister(&self) -> Result<Deregister, String> {
        match self.text("deregister").as_deref() {
            None | Some("always") => Ok(Deregister::Always),
            Some("on-success") => Ok(Deregister::OnSuccess),
            Some(other) => Err(format!(
                "-deregister must be \"always\" or \"on-success\", not {other}"
            )),
        }
    }

    fn attempts(&self) -> Result<Option<u64>, String> {
        match self.number("retry-attempts")?.unwrap_or(0) {
            -1 => Ok(None),
            number => match u64::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err("-retry-attempts is -1 or more".to_owned()),
            },
        }
    }

    fn interval(&self) -> Result<Duration, String> {
        let millis = self.number("retry-interval")?.unwrap_or(2000);
        match u64::try_from(millis) {
            Ok(millis @ 1..) => Ok(Duration::from_millis(millis)),
            _ => Err("-retry-interval must be greater than 0".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        match Flags::parse(&words)? {
            Asked::Run(flags) => Ok(*flags),
            Asked::Help => Err("help".to_owned()),
            Asked::Version => Err("version".to_owned()),
        }
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let flags = parse(
            "-internal --ip=10.0.0.1 -tags a,b -ttl 60 -ttl-refresh=30 -resync 600 -cleanup -explicit=false \
             -deregister on-success -retry-attempts -1 -retry-interval 100 -useIpFromLabel x etcd://h/p",
        )
        .unwrap();
        assert_eq!(
            (flags.reach, flags.whose),
            (Reach::Internal, Whose::Everybodys)
        );
        assert_eq!(flags.ip, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(flags.tags.as_deref(), Some("a,b"));
        assert_eq!(flags.lifetime.unwrap().refresh, Duration::from_secs(30));
        assert_eq!((flags.retry_attempts, flags.cleanup), (None, true));
        assert_eq!(flags.resync, Some(Duration::from_secs(600)));
        assert_eq!(flags.deregister, Deregister::OnSuccess);
        let plain = parse("consul://").unwrap();
        assert_eq!(
            (plain.retry_attempts, plain.lifetime, plain.resync),
            (Some(0), None, None)
        );
        assert_eq!(plain.retry_interval, Duration::from_secs(2));
        assert_eq!(parse("--version").unwrap_err(), "version");
        assert_eq!(parse("-internal -h").unwrap_err(), "help");
    }

    #[test]
    fn mistakes_are_told() {
        for (line, expected) in [
            ("", "name the registry"),
            ("consul:// -internal", "comes too late"),
            ("consul:// etcd://", "too much"),
            ("-nonsense consul://", "no option -nonsense"),
            ("-ip", "needs a value"),
            ("-ip here consul://", "no address"),
            ("-internal=maybe consul://", "true or false"),
            ("-ttl 5 etcd://", "together or not at all"),
            ("-ttl 5 -ttl-refresh 5 etcd://", "must be greater"),
            ("-deregister never consul://", "on-success"),
            ("-retry-interval 0 consul://", "greater than 0"),
            ("-resync x consul://", "is a number"),
            ("-resync -1 consul://", "less than 0"),
            ("zookeeper://h/p", "no registry zookeeper://"),
        ] {
            let complaint = parse(line).unwrap_err();
            assert!(complaint.contains(expected), "{line}: {complaint}");
        }
    }
}
