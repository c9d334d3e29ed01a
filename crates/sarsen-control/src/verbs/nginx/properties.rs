//! nginx's properties one by one: what they mean here, which ones mean nothing, which ones are refused.

use sarsen_domain::Invalid;

use crate::policies::{parse_number, parse_size, parse_time};
use crate::property::{Property, boolean};

/// The settings, by name.
pub(super) const ALL: &[Property] = &[
    Property::shared("access-log-format", "heroku", log_format),
    Property::shared("access-log-path", "", log_path),
    Property::shared("bind-address-ipv4", "", listens),
    Property::shared("bind-address-ipv6", "", listens),
    Property::shared("client-body-timeout", "", time),
    Property::shared("client-header-timeout", "", head_timeout),
    Property::shared("client-max-body-size", "0", size),
    Property::shared("disable-custom-config", "false", boolean),
    Property::shared("error-log-path", "", error_log),
    Property::shared("hsts", "true", boolean),
    Property::shared("hsts-include-subdomains", "true", boolean),
    Property::shared("hsts-max-age", "15724800", number),
    Property::shared("hsts-preload", "false", boolean),
    Property::shared("keepalive-timeout", "", keep_alive),
    Property::shared("lingering-timeout", "", time),
    Property::shared("nginx-conf-sigil-path", "", template),
    Property::shared("nginx-service-command", "", service),
    Property::shared("proxy-buffer-size", "", buffer_size),
    Property::shared("proxy-buffering", "", on_off),
    Property::shared("proxy-buffers", "", buffers),
    Property::shared("proxy-busy-buffers-size", "", buffer_size),
    Property::shared("proxy-connect-timeout", "", time),
    Property::shared("proxy-keepalive", "", number),
    Property::shared("proxy-read-timeout", "", time),
    Property::shared("proxy-send-timeout", "", time),
    Property::shared("send-timeout", "", time),
    Property::shared("underscore-in-headers", "off", underscores),
    Property::shared("x-forwarded-for-value", "$remote_addr", forwarded),
    Property::shared("x-forwarded-port-value", "$server_port", forwarded),
    Property::shared("x-forwarded-proto-value", "$scheme", forwarded),
    Property::shared("x-forwarded-ssl", "", forwarded_ssl),
];

/// Said to who sets something that scripts commonly set and that changes nothing here.
pub(super) fn note(key: &str) -> Option<&'static str> {
    match key {
        "proxy-buffering" | "proxy-buffers" | "proxy-buffer-size" | "proxy-busy-buffers-size" => {
            Some("Noted, without effect: the router streams and never buffers")
        }
        "disable-custom-config" => {
            Some("Noted, without effect: the router reads no nginx configuration of apps")
        }
        "lingering-timeout" | "proxy-keepalive" => {
            Some("Noted, without effect: the router looks after its connections itself")
        }
        "x-forwarded-for-value" | "x-forwarded-port-value" | "x-forwarded-proto-value" => Some(
            "Noted, without effect: headers of the proxies named in http.trusted_proxies are kept, others are not",
        ),
        _ => None,
    }
}

fn time(value: &str) -> Result<(), Invalid> {
    parse_time(value).map(drop)
}

fn size(value: &str) -> Result<(), Invalid> {
    parse_size(value).map(drop)
}

fn number(value: &str) -> Result<(), Invalid> {
    parse_number(value).map(drop)
}

fn buffer_size(value: &str) -> Result<(), Invalid> {
    parse_size(value).map(drop)
}

// `8 16k`
fn buffers(value: &str) -> Result<(), Invalid> {
    let (count, each) = value.split_once(' ').unwrap_or((value, ""));
    number(count)?;
    size(each.trim())
}

fn on_off(value: &str) -> Result<(), Invalid> {
    match value {
        "on" | "off" => Ok(()),
        other => Err(Invalid::new(format!(
            "Invalid value '{}': use on or off",
            other.escape_debug()
        ))),
    }
}

fn log_format(value: &str) -> Result<(), Invalid> {
    match value {
        "heroku" | "json" | "off" => Ok(()),
        other => Err(Invalid::new(format!(
            "Invalid access log format '{}': use heroku, json or off",
            other.escape_debug()
        ))),
    }
}

fn log_path(value: &str) -> Result<(), Invalid> {
    if value == "off" {
        return Ok(());
    }
    Err(Invalid::new(
        "access-log-path takes only 'off': there is one access log for all apps, at http.access_log",
    ))
}

fn refuse(why: &str) -> Result<(), Invalid> {
    Err(Invalid::new(why))
}

fn listens(_: &str) -> Result<(), Invalid> {
    refuse("The router listens for all apps at the addresses in http.listen: set them there")
}

fn head_timeout(_: &str) -> Result<(), Invalid> {
    refuse("Before the head of a request its app is not known: set http.head_timeout")
}

fn keep_alive(_: &str) -> Result<(), Invalid> {
    refuse("Connections are not an app's: set http.keep_alive_timeout")
}

fn error_log(_: &str) -> Result<(), Invalid> {
    refuse("Failed requests are in the access log: see 'nginx:error-logs'")
}

fn template(_: &str) -> Result<(), Invalid> {
    refuse("There is no nginx here, so its templates are not read: see 'router:set'")
}

fn service(_: &str) -> Result<(), Invalid> {
    refuse("There is no nginx here, so there is no command to run it")
}

fn underscores(value: &str) -> Result<(), Invalid> {
    if value == "off" {
        return Ok(());
    }
    refuse(
        "Headers with an underscore are always dropped: many servers cannot tell them from those with a hyphen",
    )
}

fn forwarded(value: &str) -> Result<(), Invalid> {
    let known = [
        "$remote_addr",
        "$proxy_add_x_forwarded_for",
        "$http_x_forwarded_for",
        "$server_port",
        "$http_x_forwarded_port",
        "$scheme",
        "$http_x_forwarded_proto",
    ];
    if known.contains(&value) {
        return Ok(());
    }
    refuse(
        "Use one of nginx's own values, such as $scheme or $http_x_forwarded_proto; for others there is 'router:set APP request-headers'",
    )
}

fn forwarded_ssl(_: &str) -> Result<(), Invalid> {
    refuse("Set it with 'router:set APP request-headers \"X-Forwarded-Ssl:on\"'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, value: &str) -> bool {
        let property = ALL.iter().find(|p| p.key == key).unwrap();
        (property.check)(value).is_ok()
    }

    #[test]
    fn every_property_of_dokku_is_known_in_order() {
        assert_eq!(ALL.len(), 31);
        assert!(ALL.is_sorted_by_key(|p| p.key));
        for property in ALL.iter().filter(|p| !p.default.is_empty()) {
            assert!(check(property.key, property.default), "{}", property.key);
        }
    }

    #[test]
    fn values_that_cannot_be_honoured_are_refused() {
        for (key, good, bad) in [
            ("client-max-body-size", "50m", "50x"),
            ("proxy-read-timeout", "120s", "forever"),
            ("access-log-path", "off", "/var/log/x"),
            ("access-log-format", "json", "combined"),
            ("underscore-in-headers", "off", "on"),
            ("proxy-buffers", "8 16k", "many"),
            (
                "x-forwarded-proto-value",
                "$http_x_forwarded_proto",
                "https",
            ),
            ("hsts", "false", "no"),
        ] {
            assert!(check(key, good), "{key} {good}");
            assert!(!check(key, bad), "{key} {bad}");
        }
        for key in [
            "bind-address-ipv4",
            "nginx-conf-sigil-path",
            "keepalive-timeout",
        ] {
            assert!(!check(key, "x"), "{key}");
        }
    }
}
