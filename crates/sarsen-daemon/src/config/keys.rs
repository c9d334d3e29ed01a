//! The table of settings: the one place that ties a name to a field.

use super::Config;
use super::values::{Raw, Setting};

/// A setting.
pub(super) struct Key {
    /// `http.listen`
    pub(super) name: &'static str,
    /// Reads it, or says what would be right.
    pub(super) set: fn(&mut Config, &Raw) -> Result<(), String>,
    /// Its value as TOML.
    pub(super) show: fn(&Config) -> String,
}

macro_rules! keys {
    ($([$first:ident $(. $rest:ident)*])*) => {
        pub(super) const KEYS: &[Key] = &[$(Key {
            name: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            set: |config, raw| {
                config.$first$(.$rest)* = Setting::read(raw)?;
                Ok(())
            },
            show: |config| Setting::show(&config.$first$(.$rest)*),
        }),*];
    };
}

keys! {
    [data_dir]
    [domain]
    [dokku.prefix]
    [control.socket]
    [control.mode]
    [control.group]
    [ssh.listen]
    [ssh.users]
    [ssh.public_host]
    [ssh.public_port]
    [ssh.max_connections]
    [ssh.max_connections_per_ip]
    [ssh.max_channels]
    [ssh.auth_timeout]
    [ssh.max_push]
    [http.listen]
    [http.public_port]
    [http.head_timeout]
    [http.keep_alive_timeout]
    [http.connect_timeout]
    [http.first_byte_timeout]
    [http.idle_timeout]
    [http.tunnel_idle_timeout]
    [http.max_head]
    [http.max_connections]
    [http.max_connections_per_ip]
    [http.trusted_proxies]
    [http.proxy_protocol]
    [http.tcp_idle_timeout]
    [http.udp_idle_timeout]
    [http.access_log]
    [http.access_log_max]
    [https.listen]
    [https.public_port]
    [https.handshake_timeout]
    [https.unknown_host]
    [acme.directory]
    [acme.email]
    [acme.ca_root]
    [web.listen]
    [web.host]
    [web.certificate]
    [web.certificate_key]
    [consul.listen]
    [consul.token_file]
    [consul.node_id]
    [consul.node_meta]
    [docker.socket]
    [docker.build_engine]
    [registry.backends]
    [registry.ip]
    [registry.internal]
    [registry.explicit]
    [registry.use_ip_from_label]
    [registry.tags]
    [registry.deregister]
    [registry.cleanup]
    [registry.resync]
    [dns.listen]
    [dns.domain]
    [dns.ttl]
    [dns.forward]
    [dns.upstream]
    [dns.apps]
    [build.stack_image]
    [build.memory]
    [build.cpus]
    [build.time_limit]
    [build.silence_limit]
    [build.allow_private_hosts]
    [deploy.keep_releases]
    [log.format]
    [log.level]
    [shutdown.deadline]
}

/// The setting of this name and its place in the table.
pub(super) fn find(name: &str) -> Option<(usize, &'static Key)> {
    KEYS.iter().enumerate().find(|(_, key)| key.name == name)
}

/// The setting whose variable this is.
pub(super) fn find_variable(variable: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|key| key.name)
        .find(|name| variable_of(name) == variable)
}

/// `SARSEN_HTTP_LISTEN` for `http.listen`
pub(super) fn variable_of(name: &str) -> String {
    format!("SARSEN_{}", name.replace('.', "_").to_uppercase())
}

/// The name that was probably meant. Of names with the same last word the one that is written most alike.
pub(super) fn nearest(wrong: &str) -> Option<&'static str> {
    let likeness = |key: &Key| {
        let last = key.name.rsplit('.').next().unwrap_or(key.name);
        let whole = distance(wrong, key.name);
        (whole.min(distance_of_last(wrong, last)), whole, key.name)
    };
    let likely = KEYS.iter().map(likeness);
    let likely = likely.filter(|(distance, ..)| *distance <= 2);
    likely.min().map(|(.., name)| name)
}

/// A right name in the wrong section is as near as one wrong letter.
fn distance_of_last(wrong: &str, last: &str) -> usize {
    let wrong = wrong.rsplit('.').next().unwrap_or(wrong);
    if wrong == last { 1 } else { usize::MAX }
}

/// How many letters have to be changed, added or taken away.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (count, a) in left.chars().enumerate() {
        let mut next = vec![count + 1];
        for ((above, diagonal), b) in row.iter().skip(1).zip(&row).zip(&right) {
            let left = next.last().copied().unwrap_or_default();
            next.push(
                (diagonal + usize::from(a != *b))
                    .min(above + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found() {
        assert_eq!(nearest("http.lisen"), Some("http.listen"));
        assert_eq!(nearest("htpp.listen"), Some("http.listen"));
        assert_eq!(nearest("datadir"), Some("data_dir"));
        assert_eq!(nearest("http.keep_releases"), Some("deploy.keep_releases"));
        assert_eq!(nearest("colour"), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
