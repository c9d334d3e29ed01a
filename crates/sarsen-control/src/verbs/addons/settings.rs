//! What people choose for a service: by flags when it is made, and by `set` later.

use sarsen_addons::{Addon, Secrets};
use sarsen_deploy::cron::Schedule;
use sarsen_domain::EnvKey;
use sarsen_store::ServiceSettings;

use super::subject;
use crate::args::Args;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::Call;

/// Docker refuses less memory.
const MEMORY_MIN: i64 = 6;
const MEGABYTE: i64 = 1 << 20;
const KEYS: [&str; 5] = [
    "backup-keep",
    "backup-verify-schedule",
    "initial-network",
    "post-create-network",
    "post-start-network",
];

/// What the flags ask for, laid over what was chosen before.
pub(super) async fn chosen(
    control: &Control,
    args: &Args,
    before: &ServiceSettings,
) -> Outcome<ServiceSettings> {
    let mut settings = before.clone();
    let flag = |name: &str| args.value(name);
    if let Some(options) = flag("--config-options") {
        let words = shlex::split(options);
        settings.options = words.ok_or_else(|| {
            Failure::new("--config-options has a quotation mark without its partner")
        })?;
    }
    if let Some(env) = flag("--custom-env") {
        settings.env = env_of(env)?.into_iter().map(Into::into).collect();
    }
    if let Some(memory) = flag("--memory") {
        settings.memory = Some(megabytes(memory)?);
    }
    if let Some(size) = flag("--shm-size") {
        settings.shm_size = Some(bytes(size)?);
    }
    for (name, networks) in [
        ("--initial-network", &mut settings.initial_networks),
        ("--post-create-network", &mut settings.post_create_networks),
        ("--post-start-network", &mut settings.post_start_networks),
    ] {
        if let Some(text) = flag(name) {
            *networks = networks_of(control, text).await?;
        }
    }
    Ok(settings)
}

/// Passwords that were given.
pub(super) fn passwords(args: &Args, addon: &Addon) -> Outcome<Secrets> {
    let mut secrets = Secrets::new();
    for name in ["password", "root-password"] {
        let Some(value) = args.value(&format!("--{name}")) else {
            continue;
        };
        if !addon.has_secret(name) {
            let title = &addon.title;
            return Err(Failure::new(format!("{title} services have no {name}")));
        }
        // They stand in URLs and in files of servers as they are.
        let legal = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
        if value.is_empty() || !value.chars().all(legal) {
            return Err(Failure::new(format!(
                "The {name} may hold letters, digits and any of . _ ~ -"
            )));
        }
        secrets.insert(name.to_owned(), value.to_owned().into());
    }
    Ok(secrets)
}

/// `SERVICE:set SERVICE KEY [VALUE]`
pub(super) async fn set(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let key = call.args.get(1).unwrap_or_default().to_owned();
    let value = call.args.get(2).unwrap_or_default().to_owned();
    let _busy = control.addons.take(&addon.name, &record.name)?;
    let services = control.store.services();
    // As they are now: somebody may have been faster.
    let mut settings = services.get(&addon.name, &record.name).await?.settings;
    let backup = &mut settings.backup;
    let given = Some(value.as_str()).filter(|value| !value.is_empty());
    match key.as_str() {
        "backup-keep" => backup.keep = given.map(count).transpose()?,
        "backup-verify-schedule" => {
            given.map(Schedule::parse).transpose()?;
            backup.verify_schedule = given.map(str::to_owned);
        }
        "initial-network" => settings.initial_networks = networks_of(control, &value).await?,
        "post-create-network" => {
            settings.post_create_networks = networks_of(control, &value).await?
        }
        "post-start-network" => settings.post_start_networks = networks_of(control, &value).await?,
        _ => {
            return Err(Failure::new(format!(
                "Invalid key specified, valid keys include: {}",
                KEYS.join(", ")
            )));
        }
    }
    services.set_settings(record.id, &settings).await?;
    let said = match given {
        Some(value) => format!("Setting {key} to {value}"),
        None => format!("Unsetting {key}"),
    };
    call.out.title(&said).await?;
    if key.ends_with("-network") {
        let (addon, name) = (&addon.name, &record.name);
        let hint = format!("       It holds from the next '{addon}:restart {name}' on");
        call.out.line(&hint).await?;
    }
    Ok(())
}

/// `ALPHA=1;BETA=2`
fn env_of(text: &str) -> Outcome<Vec<String>> {
    let pairs = text.split(';').filter(|pair| !pair.trim().is_empty());
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::new("--custom-env takes KEY=value pairs with semicolons between them")
        })?;
        Ok(format!("{}={value}", EnvKey::parse(key.trim())?))
    };
    pairs.map(pair).collect()
}

fn megabytes(text: &str) -> Outcome<i64> {
    let megabytes: Option<i64> = text.parse().ok();
    let megabytes = megabytes.filter(|size| (MEMORY_MIN..=1 << 24).contains(size));
    let megabytes = megabytes.ok_or_else(|| {
        Failure::new(format!(
            "--memory takes megabytes, {MEMORY_MIN} at least: '{}' is no such number",
            text.escape_debug()
        ))
    })?;
    Ok(megabytes * MEGABYTE)
}

/// `64m`, `1g`, `67108864`
fn bytes(text: &str) -> Outcome<i64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.trim_end_matches('b');
    let (digits, shift) = match lower.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if lower.ends_with('k') => (digits, 10),
        Some(digits) if lower.ends_with('m') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (lower, 0),
    };
    let number: Option<i64> = digits.parse().ok();
    let number = number.filter(|number| (1..1 << 32).contains(number));
    let size = number.map(|number| number << shift);
    size.ok_or_else(|| {
        Failure::new(format!(
            "'{}' is no size: give a number of bytes, or one with k, m or g behind it",
            text.escape_debug()
        ))
    })
}

fn count(text: &str) -> Outcome<u32> {
    let count: Option<u32> = text.parse().ok();
    count.filter(|count| *count > 0).ok_or_else(|| {
        Failure::new(format!(
            "'{}' is no number of backups to keep: give 1 or more",
            text.escape_debug()
        ))
    })
}

/// Networks with commas between them, each of which is there.
async fn networks_of(control: &Control, text: &str) -> Outcome<Vec<String>> {
    let names: Vec<_> = text.split(',').map(str::trim).collect();
    let names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let there = control.runtime.networks().await?;
    for name in &names {
        let own = matches!(*name, "host" | "none" | "bridge");
        if own || !there.iter().any(|network| network.name == **name) {
            let name = name.escape_debug();
            return Err(Failure::new(format!(
                "Network {name} does not exist, or is one that services cannot join"
            )));
        }
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_environments_are_read() {
        assert_eq!(bytes("64m").unwrap(), 64 << 20);
        assert_eq!(bytes("1GB").unwrap(), 1 << 30);
        assert_eq!(bytes("2k").unwrap(), 2048);
        assert_eq!(bytes("100").unwrap(), 100);
        for bad in ["", "m", "-1", "1t", "0", "1 m"] {
            assert!(bytes(bad).is_err(), "{bad:?}");
        }
        assert_eq!(megabytes("512").unwrap(), 512 << 20);
        assert!(megabytes("5").is_err() && megabytes("512m").is_err());
        assert_eq!(env_of("A=1; B=x=y;").unwrap(), ["A=1", "B=x=y"]);
        assert!(env_of("A").is_err() && env_of("A B=1").is_err());
        assert!(count("0").is_err() && count("3").is_ok());
    }
}
