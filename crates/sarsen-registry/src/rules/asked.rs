//! The check that a container asks for with `SERVICE_CHECK_…`: one, and the first of Registrator's order.

use std::time::Duration;

use sarsen_domain::Service;

use crate::check::{CheckSpec, CheckStatus, HttpProbe, Probe};
use crate::metadata::Metadata;

/// Nothing is looked at more often.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The check of one service, if its container asks for one.
pub(super) fn check_of(service: &Service, metadata: &Metadata, port: u16) -> Option<CheckSpec> {
    let mut asked = Asked {
        service,
        metadata,
        port,
        notes: Vec::new(),
    };
    let probe = asked.probe()?;
    let id = format!("service:{}", service.id);
    let name = format!("Service '{}' check", service.name);
    let mut spec = CheckSpec::new(id, name, probe);
    spec.interval = asked.duration("check_interval", CheckSpec::INTERVAL);
    spec.interval = spec.interval.max(INTERVAL_MIN);
    spec.timeout = asked.duration("check_timeout", CheckSpec::TIMEOUT);
    spec.initial = asked.initial();
    spec.passes_needed = asked.count("check_success_before_passing");
    spec.failures_needed = asked.count("check_failures_before_critical");
    let forget = asked.duration("check_deregister_after", Duration::ZERO);
    spec.deregister_after = Some(forget).filter(|after| !after.is_zero());
    spec.notes = asked.notes.join("; ");
    Some(spec)
}

struct Asked<'a> {
    service: &'a Service,
    metadata: &'a Metadata,
    port: u16,
    /// What could not be read.
    notes: Vec<String>,
}

impl Asked<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.metadata.get(self.port, key)
    }

    fn is_true(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    fn probe(&mut self) -> Option<Probe> {
        if let Some(path) = self.get("check_http") {
            return Some(self.http("http", path, "check_http_method"));
        }
        if let Some(path) = self.get("check_https") {
            return Some(self.http("https", path, "check_https_method"));
        }
        let command = self.get("check_cmd").or_else(|| self.get("check_script"));
        if let Some(command) = command {
            return Some(self.command(command));
        }
        if let Some(ttl) = self.get("check_ttl").map(str::to_owned) {
            return match duration(&ttl).filter(|ttl| !ttl.is_zero()) {
                Some(ttl) => Some(Probe::Ttl(ttl)),
                None => {
                    self.misread("check_ttl", &ttl, "there is no check");
                    None
                }
            };
        }
        if self.is_true("check_tcp") {
            return Some(Probe::Tcp(self.service.address.to_string()));
        }
        if self.is_true("check_grpc") {
            let note = "SERVICE_CHECK_GRPC is carried out as a TCP check";
            self.notes.push(note.to_owned());
            return Some(Probe::Tcp(self.service.address.to_string()));
        }
        None
    }

    fn http(&self, scheme: &str, path: &str, method: &str) -> Probe {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let method = self.get(method).unwrap_or("GET");
        Probe::Http(HttpProbe {
            url: format!("{scheme}://{}{slash}{path}", self.service.address),
            method: method.to_ascii_uppercase(),
            headers: Vec::new(),
            body: String::new(),
            skip_verify: self.is_true("check_tls_skip_verify"),
        })
    }

    /// In the container, by its own shell: the text is the container's, and nothing of it is read on the host.
    fn command(&self, command: &str) -> Probe {
        let address = self.service.address;
        Probe::Command {
            container: self.service.container.as_str().to_owned(),
            argv: ["/bin/sh", "-c", command].map(str::to_owned).into(),
            env: vec![
                format!("SERVICE_IP={}", address.ip()),
                format!("SERVICE_PORT={}", address.port()),
            ],
        }
    }

    fn duration(&mut self, key: &str, usual: Duration) -> Duration {
        let Some(text) = self.get(key).map(str::to_owned) else {
            return usual;
        };
        duration(&text).unwrap_or_else(|| {
            self.misread(key, &text, &format!("{usual:?} counts"));
            usual
        })
    }

    fn count(&mut self, key: &str) -> u32 {
        let Some(text) = self.get(key).map(str::to_owned) else {
            return 1;
        };
        text.parse::<u32>().map_or_else(
            |_| {
                self.misread(key, &text, "1 counts");
                1
            },
            |count| count.max(1),
        )
    }

    /// The deployer has checked our own containers before they come here; others begin as Consul has it.
    fn initial(&mut self) -> CheckStatus {
        let usual = if self.service.owner.is_some() {
            CheckStatus::Passing
        } else {
            CheckStatus::Critical
        };
        let Some(text) = self.get("check_initial_status").map(str::to_owned) else {
            return usual;
        };
        CheckStatus::parse(&text).unwrap_or_else(|| {
            let counts = format!("{} counts", usual.as_str());
            self.misread("check_initial_status", &text, &counts);
            usual
        })
    }

    fn misread(&mut self, key: &str, text: &str, instead: &str) {
        let key = key.to_ascii_uppercase();
        let note = format!(
            "SERVICE_{key}={} cannot be read: {instead}",
            text.escape_debug()
        );
        self.notes.push(note);
    }
}

/// A time as Go writes it: `10s`, `1m30s`, `500ms`, `1.5h`.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail.split_at(unit.unwrap_or(tail.len()));
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests;
