//! Values of docker's flags: sizes, CPUs, durations, ports, names.

use std::net::IpAddr;

use super::mounts::absolute_path;
use super::settings::{Device, Gpus, Link, NetworkMode, PublishedPort, RestartFlag, Ulimit};

/// Bytes: `512m`, `1.5g`, `2GiB`; bare numbers are bytes.
pub fn size(text: &str) -> Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = lower.get(number.len()..).unwrap_or_default();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if unit.contains('i') => return Err(bad_size()),
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(bad_size()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return Err(bad_size());
    }
    let factor = 1_i64 << shift;
    let whole: i64 = whole.parse().map_err(|_| bad_size())?;
    let scale = 10_i64.pow(u32::try_from(fraction.len()).map_err(|_| bad_size())?);
    let fraction: i64 = fraction.parse().map_err(|_| bad_size())?;
    let part = i128::from(fraction) * i128::from(factor) / i128::from(scale);
    whole
        .checked_mul(factor)
        .and_then(|bytes| bytes.checked_add(i64::try_from(part).ok()?))
        .ok_or_else(bad_size)
}

fn bad_size() -> String {
    "use a size such as 512m or 2g".to_owned()
}

/// Billionths of a CPU: `0.5`, `2`.
pub fn cpus(text: &str) -> Result<i64, String> {
    let bad = || "use a number of CPUs such as 0.5 or 2".to_owned();
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let count: f64 = text.parse().map_err(|_| bad())?;
    if !plain || !(0.01..=1024.0).contains(&count) {
        return Err(bad());
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 1024 × 10⁹")]
    let nanos = (count * 1e9).round() as i64;
    Ok(nanos)
}

/// A number in a range.
pub(super) fn number(text: &str, least: i64, most: i64) -> Result<i64, String> {
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("use a number from {least} to {most}"))
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err("use true or false".to_owned()),
    }
}

/// Nanoseconds: `30s`, `1m30s`, `500ms`.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let bad = || "use a time such as 30s or 1m30s".to_owned();
    let mut total = 0_i64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, tail) = rest.split_at(digits);
        let letters = tail.len()
            - tail
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let (unit, tail) = tail.split_at(letters);
        let nanos = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(bad()),
        };
        let count: i64 = count.parse().map_err(|_| bad())?;
        let step = count.checked_mul(nanos).ok_or_else(bad)?;
        total = total.checked_add(step).ok_or_else(bad)?;
        rest = tail;
    }
    // The engine takes less for its default.
    if total < 1_000_000 {
        Err(bad())
    } else {
        Ok(total)
    }
}

/// `key=value`; the key alone has an empty value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() || key.chars().any(char::is_whitespace) {
        return Err("write it as key=value".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A name as the engine gives to containers and networks.
pub(super) fn object_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || text.len() > 128 || !text.chars().all(legal) {
        return Err("use letters, digits, dots, underscores and hyphens".to_owned());
    }
    Ok(text.to_owned())
}

/// A name of a host: letters, digits, dots and hyphens.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.is_empty() || text.len() > 253 || text.starts_with('-') || !text.chars().all(legal) {
        return Err("use a host name".to_owned());
    }
    Ok(text.to_owned())
}

/// A word without anything that could be mistaken for more than one.
pub(super) fn word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_whitespace) {
        return Err("use one word".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn link(text: &str) -> Result<Link, String> {
    let (container, alias) = text.split_once(':').unwrap_or((text, text));
    Ok(Link {
        container: object_name(container)?,
        alias: object_name(alias)?,
    })
}

pub(super) fn network(text: &str) -> Result<NetworkMode, String> {
    match text {
        "host" => Ok(NetworkMode::Host),
        "none" => Ok(NetworkMode::None),
        _ => match text.strip_prefix("container:") {
            Some(name) => Ok(NetworkMode::Container(object_name(name)?)),
            None => Ok(NetworkMode::Named(object_name(text)?)),
        },
    }
}

/// `name:address`, `name=address`; `host-gateway` is the host's own address.
pub(super) fn add_host(text: &str) -> Result<String, String> {
    let bad = || "write it as name:address".to_owned();
    let (name, address) = text.split_once([':', '=']).ok_or_else(bad)?;
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if address != "host-gateway" && bare.parse::<IpAddr>().is_err() {
        return Err(bad());
    }
    Ok(format!("{}:{bare}", host_name(name)?))
}

/// `[[address:]host:]container[/udp]`
pub(super) fn port(text: &str) -> Result<PublishedPort, String> {
    let bad =
        || "write it as [[address:]host-port:]container-port[/udp], one port at a time".to_owned();
    let (rest, udp) = match text.split_once('/') {
        None => (text, false),
        Some((rest, "tcp")) => (rest, false),
        Some((rest, "udp")) => (rest, true),
        Some(_) => return Err(bad()),
    };
    let one = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(bad)
    };
    let (front, container) = match rest.rsplit_once(':') {
        Some((front, container)) => (Some(front), one(container)?),
        None => (None, one(rest)?),
    };
    let (address, host) = match front.map(|front| front.rsplit_once(':').unwrap_or(("", front))) {
        None => (None, None),
        Some((address, host)) => {
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            let address = Some(bare).filter(|bare| !bare.is_empty());
            let address = address
                .map(|bare| bare.parse().map_err(|_| bad()))
                .transpose()?;
            let host = Some(host)
                .filter(|host| !host.is_empty())
                .map(one)
                .transpose()?;
            (address, host)
        }
    };
    Ok(PublishedPort {
        address,
        host,
        container,
        udp,
    })
}

pub(super) fn capability(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
        return Err("use a capability's name such as NET_ADMIN".to_owned());
    }
    Ok(name.to_owned())
}

pub(super) fn device(text: &str) -> Result<Device, String> {
    let mut parts = text.split(':');
    let host = absolute_path(parts.next().unwrap_or_default())?;
    let (container, permissions) = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => (host.clone(), "rwm"),
        (Some(inside), None, _) if inside.starts_with('/') => (absolute_path(inside)?, "rwm"),
        (Some(permissions), None, _) => (host.clone(), permissions),
        (Some(inside), Some(permissions), None) => (absolute_path(inside)?, permissions),
        _ => return Err("write it as /dev/x[:/dev/y][:rwm]".to_owned()),
    };
    if permissions.is_empty() || !permissions.chars().all(|c| "rwm".contains(c)) {
        return Err("permissions are made of r, w and m".to_owned());
    }
    Ok(Device {
        permissions: permissions.to_owned(),
        host,
        container,
    })
}

pub(super) fn gpus(text: &str) -> Result<Gpus, String> {
    let bare = text.trim_matches('"');
    if bare == "all" {
        return Ok(Gpus::All);
    }
    if let Some(devices) = bare.strip_prefix("device=") {
        let devices: Result<Vec<_>, _> = devices.split(',').map(object_name).collect();
        return Ok(Gpus::Devices(devices?));
    }
    number(bare.strip_prefix("count=").unwrap_or(bare), 1, 64)
        .map(Gpus::Count)
        .map_err(|_| "use all, a number, or device=0,1".to_owned())
}

pub(super) fn ulimit(text: &str) -> Result<Ulimit, String> {
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let bad = || "write it as name=soft[:hard], such as nofile=1024:4096".to_owned();
    let (name, limits) = text.split_once('=').ok_or_else(bad)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let limit = |text: &str| {
        text.parse::<i64>()
            .ok()
            .filter(|limit| *limit >= -1)
            .ok_or_else(bad)
    };
    let (soft, hard) = (limit(soft)?, limit(hard)?);
    if !NAMES.contains(&name) || (hard != -1 && (soft > hard || soft == -1)) {
        return Err(bad());
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

pub(super) fn restart(text: &str) -> Result<RestartFlag, String> {
    match text.split_once(':') {
        Some(("on-failure", most)) => most
            .parse()
            .map(RestartFlag::OnFailure)
            .map_err(|_| "on-failure is followed by a number".to_owned()),
        None if text == "no" => Ok(RestartFlag::No),
        None if text == "on-failure" => Ok(RestartFlag::OnFailure(0)),
        None if text == "always" => Ok(RestartFlag::Always),
        None if text == "unless-stopped" => Ok(RestartFlag::UnlessStopped),
        _ => Err("use no, on-failure[:N], always or unless-stopped".to_owned()),
    }
}
