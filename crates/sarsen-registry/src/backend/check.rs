//! Which check a container asks for with `SERVICE_CHECK_…`, in Consul's words. Pure.

use serde_json::{Map, Value, json};

use super::entry::host_and_port;
use crate::{Instance, Source};

/// How often Consul looks when nobody says.
const INTERVAL: &str = "10s";

/// A check that the other registry makes: the body of Consul's `Check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckDefinition(Map<String, Value>);

impl CheckDefinition {
    /// Of several the first of http, https, cmd, script, ttl, tcp, grpc.
    pub(super) fn of(instance: &Instance) -> Option<Self> {
        let said = |key: &str| {
            let value = instance.attributes.get(&format!("check_{key}"));
            value.map(String::as_str).filter(|value| !value.is_empty())
        };
        let mut check = kind(instance, &said)?;
        for (key, word) in [
            ("initial_status", "Status"),
            ("deregister_after", "DeregisterCriticalServiceAfter"),
        ] {
            if let Some(value) = said(key) {
                check.insert(word.to_owned(), value.into());
            }
        }
        if !check.contains_key("TTL") {
            let interval = said("interval").unwrap_or(INTERVAL);
            check.insert("Interval".to_owned(), interval.into());
        }
        let has_timeout = ["HTTP", "TCP", "GRPC"]
            .iter()
            .any(|word| check.contains_key(*word));
        if let Some(timeout) = said("timeout").filter(|_| has_timeout) {
            check.insert("Timeout".to_owned(), timeout.into());
        }
        Some(Self(check))
    }

    pub(super) fn body(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

fn kind<'a>(
    instance: &Instance,
    said: &impl Fn(&str) -> Option<&'a str>,
) -> Option<Map<String, Value>> {
    let address = host_and_port(&instance.address, instance.port);
    let mut check = Map::new();
    let mut put = |word: &str, value: Value| check.insert(word.to_owned(), value);
    if let Some(path) = said("http") {
        put("HTTP", format!("http://{address}{path}").into());
        said("http_method").map(|method| put("Method", method.into()));
    } else if let Some(path) = said("https") {
        put("HTTP", format!("https://{address}{path}").into());
        said("https_method").map(|method| put("Method", method.into()));
        said("tls_skip_verify").map(|_| put("TLSSkipVerify", true.into()));
    } else if let Some(command) = said("cmd") {
        put(
            "Args",
            json!(["check-cmd", container(instance), exposed(instance), command]),
        );
    } else if let Some(script) = said("script") {
        put("Args", script_words(instance, script).into());
    } else if let Some(ttl) = said("ttl") {
        put("TTL", ttl.into());
    } else if said("tcp").is_some() {
        put("TCP", address.into());
    } else {
        said("grpc")?;
        put("GRPC", address.into());
        if said("grpc_use_tls").is_some() {
            put("GRPCUseTLS", true.into());
            said("tls_skip_verify").map(|_| put("TLSSkipVerify", true.into()));
        }
    }
    Some(check)
}

/// The engine's short id.
fn container(instance: &Instance) -> &str {
    match &instance.source {
        Source::Container { id, .. } => id.as_str().get(..12).unwrap_or(id.as_str()),
        Source::External { .. } => "",
    }
}

/// The container's own port: the id says it unless somebody chose the id.
fn exposed(instance: &Instance) -> String {
    let id = instance.id.strip_suffix(":udp").unwrap_or(&instance.id);
    let last = id.rsplit(':').next().and_then(|port| port.parse().ok());
    last.unwrap_or(instance.port).to_string()
}

/// A script is a command line: taken apart into words, for Consul runs no shell.
fn script_words(instance: &Instance, script: &str) -> Vec<String> {
    let script = script
        .replace("$SERVICE_IP", &instance.address)
        .replace("$SERVICE_PORT", &instance.port.to_string());
    shlex::split(&script).unwrap_or_else(|| vec![script])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::tests::instance;

    fn check(pairs: &[(&str, &str)]) -> Option<Value> {
        let mut instance = instance("h:c:5000", "web", 28001);
        for (key, value) in pairs {
            let key = format!("check_{key}");
            instance.attributes.insert(key, (*value).to_owned());
        }
        CheckDefinition::of(&instance).map(|check| check.body())
    }

    #[test]
    fn one_check_of_the_kinds_that_consul_makes() {
        let id = "abcdefabcdef";
        for (pairs, expected) in [
            (
                vec![("http", "/up"), ("timeout", "2s"), ("http_method", "HEAD")],
                json!({"HTTP": "http://10.0.0.9:28001/up", "Method": "HEAD", "Interval": "10s", "Timeout": "2s"}),
            ),
            (
                vec![("https", "/"), ("interval", "1s"), ("tcp", "true")],
                json!({"HTTP": "https://10.0.0.9:28001/", "Interval": "1s"}),
            ),
            (
                vec![("cmd", "/ok.sh"), ("timeout", "2s")],
                json!({"Args": ["check-cmd", id, "5000", "/ok.sh"], "Interval": "10s"}),
            ),
            (
                vec![("script", "nc -z $SERVICE_IP $SERVICE_PORT")],
                json!({"Args": ["nc", "-z", "10.0.0.9", "28001"], "Interval": "10s"}),
            ),
            (
                vec![("ttl", "30s"), ("initial_status", "passing")],
                json!({"TTL": "30s", "Status": "passing"}),
            ),
            (
                vec![("tcp", "true"), ("deregister_after", "10m")],
                json!({"TCP": "10.0.0.9:28001", "Interval": "10s", "DeregisterCriticalServiceAfter": "10m"}),
            ),
            (
                vec![
                    ("grpc", "true"),
                    ("grpc_use_tls", "true"),
                    ("tls_skip_verify", "true"),
                ],
                json!({"GRPC": "10.0.0.9:28001", "GRPCUseTLS": true, "TLSSkipVerify": true, "Interval": "10s"}),
            ),
        ] {
            assert_eq!(check(&pairs), Some(expected), "{pairs:?}");
        }
        assert_eq!(check(&[("interval", "1s")]), None);
        assert_eq!(check(&[("http", "")]), None);
    }
}
