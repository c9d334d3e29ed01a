//! What `letsencrypt:set` sets, and what follows from it for an app.

use std::path::PathBuf;
use std::time::Duration;

use sarsen_domain::{AppName, Invalid};
use sarsen_router::{Authority, DnsHook, Proof};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, boolean};
use crate::report::ReportKind;

const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// For one call of a hook: DNS can be slow.
const HOOK_LIMIT: Duration = Duration::from_secs(4 * 60);

/// The daemon's own settings.
#[derive(Debug, Clone, Default)]
pub struct AcmeSettings {
    /// The directory that is used when nobody says otherwise; Let's Encrypt's without.
    pub directory: Option<String>,
    /// Whom the authority writes to, when nobody says otherwise.
    pub email: Option<String>,
    /// The root that the directory's website is vouched for by.
    pub ca_root: Option<PathBuf>,
}

/// How an app's certificates are got.
#[derive(Debug, Clone)]
pub(crate) struct AcmeSetup {
    pub authority: Authority,
    pub proof: Proof,
    /// Whether names are looked at before the authority is asked.
    pub check: bool,
    /// Whether the authority is one of the public ones.
    pub is_public: bool,
    /// Seconds before the end at which to renew; a third of the life without.
    pub grace: Option<i64>,
}

/// The properties.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "letsencrypt",
    properties: &[
        Property {
            key: "automatic",
            reach: Reach::Global,
            default: "false",
            check: boolean,
        },
        Property {
            key: "challenge",
            reach: Reach::AppAndGlobal,
            default: "http-01",
            check: challenge,
        },
        Property {
            key: "check",
            reach: Reach::AppAndGlobal,
            default: "true",
            check: boolean,
        },
        Property {
            key: "dns-hook",
            reach: Reach::AppAndGlobal,
            default: "",
            check: hook_name,
        },
        Property {
            key: "email",
            reach: Reach::AppAndGlobal,
            default: "",
            check: email,
        },
        Property {
            key: "graceperiod",
            reach: Reach::AppAndGlobal,
            default: "",
            check: seconds,
        },
        Property {
            key: "server",
            reach: Reach::AppAndGlobal,
            default: "",
            check: server,
        },
    ],
    report: ReportKind {
        prefix: "letsencrypt",
        label: "letsencrypt",
        long_json_keys: false,
    },
};

fn challenge(value: &str) -> Result<(), Invalid> {
    match value {
        "http-01" | "tls-alpn-01" | "dns-01" => Ok(()),
        other => Err(Invalid::new(format!(
            "Invalid challenge '{}': use http-01, tls-alpn-01 or dns-01",
            other.escape_debug()
        ))),
    }
}

// A name in our own folder, so that no key can have any file of the host started.
fn hook_name(value: &str) -> Result<(), Invalid> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.chars().all(legal) && !value.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "Invalid hook '{}': give the name of a file in the folder data/letsencrypt/hooks of the data folder",
        value.escape_debug()
    )))
}

fn email(value: &str) -> Result<(), Invalid> {
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | ',' | '<' | '>' | '"');
    match value.split_once('@') {
        Some((name, host))
            if !name.is_empty() && host.contains('.') && value.chars().all(legal) =>
        {
            Ok(())
        }
        _ => Err(Invalid::new(format!(
            "Invalid email address '{}'",
            value.escape_debug()
        ))),
    }
}

fn seconds(value: &str) -> Result<(), Invalid> {
    match value.parse::<u32>() {
        Ok(1..) => Ok(()),
        _ => Err(Invalid::new(format!(
            "Invalid grace period '{}': give the seconds before the end at which to renew",
            value.escape_debug()
        ))),
    }
}

fn server(value: &str) -> Result<(), Invalid> {
    let is_url = value.starts_with("https://") && value.chars().all(|c| c.is_ascii_graphic());
    match value {
        "default" | "production" | "prod" | "staging" => Ok(()),
        _ if is_url => Ok(()),
        other => Err(Invalid::new(format!(
            "Invalid server '{}': use production, staging or the https:// URL of an ACME directory",
            other.escape_debug()
        ))),
    }
}

/// The URL that a value of `server` stands for.
fn directory(value: &str, settings: &AcmeSettings) -> String {
    match value {
        "" | "default" => settings
            .directory
            .clone()
            .unwrap_or_else(|| PRODUCTION.to_owned()),
        "production" | "prod" => PRODUCTION.to_owned(),
        "staging" => STAGING.to_owned(),
        url => url.to_owned(),
    }
}

/// When to renew a certificate that was got now: at two thirds of its life, or at the grace period, and not all at
/// the same moment.
pub(super) fn renew_at(setup: &AcmeSetup, expires_at: i64, now: i64) -> i64 {
    let life = (expires_at - now).max(0);
    // A grace period longer than the life would have it renewed without end.
    let grace = setup.grace.unwrap_or(life / 3).min(life / 3 * 2);
    let jitter = rand::random_range(0..=(life / 50).min(24 * 3600));
    (expires_at - grace - jitter).max(now)
}

impl Control {
    /// How this app's certificates are got.
    pub(crate) async fn acme_setup(&self, app: &AppName) -> Outcome<AcmeSetup> {
        self.acme_setup_of(Some(app)).await
    }

    /// The same, of an app or of the host itself.
    pub(super) async fn acme_setup_of(&self, app: Option<&AppName>) -> Outcome<AcmeSetup> {
        let settings = &self.settings.acme;
        let value = async |key| match app {
            Some(app) => CONCERN.effective(self, app, key).await,
            None => CONCERN.global(self, key).await,
        };
        let directory = directory(&value("server").await?, settings);
        let own_email = Some(value("email").await?).filter(|email| !email.is_empty());
        let is_ours = settings.directory.as_ref() == Some(&directory);
        let proof = match value("challenge").await?.as_str() {
            "tls-alpn-01" => Proof::TlsAlpn01,
            "dns-01" => Proof::Dns01(self.dns_hook(&value("dns-hook").await?)?),
            _ => Proof::Http01,
        };
        Ok(AcmeSetup {
            is_public: directory == PRODUCTION || directory == STAGING,
            authority: Authority {
                email: own_email.or(settings.email.clone()).unwrap_or_default(),
                // Another authority's website is vouched for by other roots.
                ca_root: settings.ca_root.clone().filter(|_| is_ours),
                directory,
            },
            proof,
            check: value("check").await? == "true",
            grace: value("graceperiod").await?.parse().ok(),
        })
    }

    fn dns_hook(&self, name: &str) -> Outcome<DnsHook> {
        let folder = self.settings.data_dir.join("data/letsencrypt/hooks");
        if name.is_empty() {
            return Err(Failure::new(format!(
                "A DNS hook is needed: put it into {} and name it by 'letsencrypt:set APP dns-hook NAME'",
                folder.display()
            )));
        }
        hook_name(name)?;
        Ok(DnsHook {
            path: folder.join(name),
            time_limit: HOOK_LIMIT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_key() {
        for (check, good, bad) in [
            (
                server as fn(&str) -> _,
                &["staging", "https://ca.test/dir"][..],
                &["http://ca.test", "x", "https://a b"][..],
            ),
            (
                email,
                &["a@b.test"],
                &["a", "@b.test", "a@b", "a b@c.test", "a@b.test,c@d.test"],
            ),
            (
                hook_name,
                &["cloudflare.sh", "a_b-c"],
                &["../x", "/bin/sh", ".x", "-x", "a b"],
            ),
            (seconds, &["1", "2592000"], &["0", "-1", "1d", ""]),
            (challenge, &["dns-01"], &["dns", ""]),
        ] {
            for value in good {
                assert!(check(value).is_ok(), "{value}");
            }
            for value in bad {
                assert!(check(value).is_err(), "{value:?}");
            }
        }
    }

    #[test]
    fn renewal_comes_at_two_thirds_of_life() {
        let setup = |grace| AcmeSetup {
            authority: Authority {
                directory: String::new(),
                email: String::new(),
                ca_root: None,
            },
            proof: Proof::Http01,
            check: true,
            is_public: true,
            grace,
        };
        let day = 24 * 3600;
        for _ in 0..100 {
            let at = renew_at(&setup(None), 90 * day, 0);
            assert!((59 * day..=60 * day).contains(&at), "{at}");
            let at = renew_at(&setup(Some(10 * day)), 90 * day, 0);
            assert!((79 * day..=80 * day).contains(&at), "{at}");
            assert!(renew_at(&setup(Some(90 * day)), 3 * day, 0) > day / 2);
        }
    }
}
