//! What the store says an owner wants becomes what the router does.

use std::collections::BTreeMap;
use std::time::Duration;

use sarsen_domain::{AppName, Domain, Invalid};
use sarsen_router::{
    AuthUser, Balance, BalanceBy, BasicAuth, Compression, Eject, HeaderRule, Hsts, HstsPreload,
    HstsReach, HttpsPolicy, LogForm, Network, Page, PasswordHash, PathPrefix, Policy, PrefixFate,
    Rate, Redirect, Sticky, Timeouts,
};
use sarsen_store::RoutingWishes;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::Concern;
use crate::verbs::{http_auth, maintenance, nginx, router};

/// The concerns that a policy is made of.
pub(crate) const PLUGINS: [&str; 4] = ["nginx", "router", "maintenance", "http-auth"];

/// The wishes of every app, and those for all of them.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub apps: BTreeMap<AppName, RoutingWishes>,
    pub global: RoutingWishes,
}

/// One app's wishes before those for all.
struct Reader<'a> {
    own: Option<&'a RoutingWishes>,
    global: &'a RoutingWishes,
    problems: Vec<String>,
}

impl Wishes {
    /// Whether an app's plain requests go to HTTPS once it has a certificate.
    pub(crate) fn prefers_https(&self, app: &AppName) -> bool {
        let mut reader = Reader {
            own: self.apps.get(app),
            global: &self.global,
            problems: Vec::new(),
        };
        reader.is(&router::CONCERN, "https-redirect")
    }

    /// The policy of an app that has no wishes of its own.
    pub(crate) fn usual(&self) -> (Policy, Vec<String>) {
        let mut reader = Reader {
            own: None,
            global: &self.global,
            problems: Vec::new(),
        };
        let policy = reader.policy();
        (policy, reader.problems)
    }

    /// An app's policy. What cannot be read is left out and named: values are checked when they are set, so that is
    /// what another version wrote.
    pub(crate) fn policy(&self, app: &AppName) -> (Policy, Vec<String>) {
        let mut reader = Reader {
            own: self.apps.get(app),
            global: &self.global,
            problems: Vec::new(),
        };
        let policy = reader.policy();
        (policy, reader.problems)
    }
}

impl Reader<'_> {
    fn policy(&mut self) -> Policy {
        let fate = if self.is(&router::CONCERN, "strip-path") {
            PrefixFate::Stripped
        } else {
            PrefixFate::Kept
        };
        let path: Option<PathPrefix> = self.read(&router::CONCERN, "path-prefix", str::parse);
        Policy {
            path: path.map(|path| path.with(fate)),
            canonical_host: self.text(&router::CONCERN, "canonical-host"),
            redirects: self.redirects(),
            maintenance: self.maintenance(),
            error_pages: self.error_pages(),
            auth: self.auth(),
            allow: self.list("allow"),
            deny: self.list("deny"),
            max_body: self
                .read(&nginx::CONCERN, "client-max-body-size", parse_size)
                .filter(|size| *size > 0),
            rate: self.rate(),
            compression: if self.is(&router::CONCERN, "compression") {
                Compression::Gzip
            } else {
                Compression::Off
            },
            request_headers: self.rules("request-headers"),
            response_headers: self.rules("response-headers"),
            https: self.https(),
            log: self.log(),
            timeouts: self.timeouts(),
            balance: self.balance(),
        }
    }

    fn text(&mut self, concern: &Concern, key: &str) -> Option<String> {
        let name = (concern.plugin.to_owned(), key.to_owned());
        let own = self.own.and_then(|own| own.properties.get(&name));
        let value = own.or_else(|| self.global.properties.get(&name));
        let value = value.map(String::as_str);
        let value = value.unwrap_or_else(|| concern.default(key));
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn read<T>(
        &mut self,
        concern: &Concern,
        key: &str,
        parse: fn(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let text = self.text(concern, key)?;
        parse(&text)
            .inspect_err(|error| {
                self.problems
                    .push(format!("{} {key}: {error}", concern.plugin));
            })
            .ok()
    }

    fn is(&mut self, concern: &Concern, key: &str) -> bool {
        matches!(self.text(concern, key).as_deref(), Some("true" | "on"))
    }

    fn redirects(&mut self) -> Vec<Redirect> {
        let stored = self.own.map_or(&[][..], |own| &own.redirects);
        let mut redirects = Vec::with_capacity(stored.len());
        for redirect in stored {
            match Redirect::new(&redirect.source, &redirect.destination, redirect.code) {
                Ok(redirect) => redirects.push(redirect),
                Err(error) => self.problems.push(format!("redirect: {error}")),
            }
        }
        redirects
    }

    fn page(&self, name: &str) -> Option<Page> {
        let html = self.own?.pages.get(name)?.clone();
        Some(Page { html: html.into() })
    }

    fn maintenance(&mut self) -> Option<Page> {
        let is_on = self.is(&maintenance::CONCERN, "enabled");
        let usual = Page {
            html: Vec::new().into(),
        };
        is_on.then(|| self.page("maintenance").unwrap_or(usual))
    }

    fn error_pages(&self) -> BTreeMap<u16, Page> {
        let names = self.own.map(|own| own.pages.keys()).into_iter().flatten();
        names
            .filter_map(|name| Some((name.parse().ok()?, self.page(name)?)))
            .collect()
    }

    fn auth(&mut self) -> Option<BasicAuth> {
        let is_on = self.is(&http_auth::CONCERN, "enabled");
        let own = self.own.filter(|_| is_on)?;
        let user = |(name, hash): (&String, &String)| AuthUser {
            name: name.clone(),
            hash: PasswordHash::from_stored(hash.clone()),
        };
        Some(BasicAuth {
            users: own.users.iter().map(user).collect(),
            allowed: own
                .addresses
                .iter()
                .filter_map(|a| a.parse().ok())
                .collect(),
        })
    }

    fn list(&mut self, key: &str) -> Vec<Network> {
        self.read(&router::CONCERN, key, parse_networks)
            .unwrap_or_default()
    }

    fn rules(&mut self, key: &str) -> Vec<HeaderRule> {
        self.read(&router::CONCERN, key, parse_rules)
            .unwrap_or_default()
    }

    fn rate(&mut self) -> Option<Rate> {
        let number = |text: &str| parse_number(text);
        let rate = self.read(&router::CONCERN, "rate-limit", number)?;
        let burst = self.read(&router::CONCERN, "rate-burst", number);
        (rate > 0).then(|| Rate::per_second(rate, burst.unwrap_or(rate)))
    }

    fn https(&mut self) -> HttpsPolicy {
        let hsts = &nginx::CONCERN;
        let age = self.read(hsts, "hsts-max-age", parse_number);
        let promise = Hsts {
            max_age: age.unwrap_or_default().into(),
            reach: if self.is(hsts, "hsts-include-subdomains") {
                HstsReach::Subdomains
            } else {
                HstsReach::Name
            },
            preload: if self.is(hsts, "hsts-preload") {
                HstsPreload::Yes
            } else {
                HstsPreload::No
            },
        };
        HttpsPolicy {
            // Whether there is a certificate is known where the routes are made.
            redirect: None,
            hsts: self.is(hsts, "hsts").then_some(promise),
        }
    }

    fn log(&mut self) -> LogForm {
        let path = self.text(&nginx::CONCERN, "access-log-path");
        let form = self.text(&nginx::CONCERN, "access-log-format");
        match (path.as_deref(), form.as_deref()) {
            (Some("off"), _) | (_, Some("off")) => LogForm::Off,
            (_, Some("json")) => LogForm::Json,
            _ => LogForm::Heroku,
        }
    }

    fn timeouts(&mut self) -> Timeouts {
        let nginx = &nginx::CONCERN;
        let idle = [
            self.read(nginx, "proxy-send-timeout", parse_time),
            self.read(nginx, "client-body-timeout", parse_time),
            self.read(nginx, "send-timeout", parse_time),
        ];
        let read = self.read(nginx, "proxy-read-timeout", parse_time);
        Timeouts {
            connect: self.read(nginx, "proxy-connect-timeout", parse_time),
            first_byte: read,
            // One limit for silence either way: the longest that somebody wants.
            idle: idle.into_iter().flatten().chain(read).max(),
            tunnel_idle: self
                .read(&router::CONCERN, "websocket-timeout", parse_time)
                .or(read),
        }
    }

    fn balance(&mut self) -> Balance {
        let router = &router::CONCERN;
        let after = self.read(router, "eject-after", parse_number);
        let rest = self.read(router, "eject-time", parse_time);
        let by = match self.text(router, "balance").as_deref() {
            Some("least-requests") => BalanceBy::LeastRequests,
            _ => BalanceBy::Turn,
        };
        Balance {
            by,
            slow_start: self
                .read(router, "slow-start", parse_time)
                .unwrap_or_default(),
            eject: after.filter(|after| *after > 0).map(|after| Eject {
                after,
                rest: rest.unwrap_or(Duration::from_secs(10)),
            }),
            sticky: if self.is(router, "sticky") {
                Sticky::Cookie
            } else {
                Sticky::No
            },
        }
    }
}

impl Control {
    /// What owners want of the router, as the store has it now.
    pub(crate) async fn wishes(&self) -> Outcome<Wishes> {
        let (apps, global) = self.store.routing().all(&PLUGINS).await?;
        Ok(Wishes { apps, global })
    }

    /// Refuses names that lead to another app already, at the path that this one answers below.
    pub(crate) async fn refuse_taken(
        &self,
        app: &AppName,
        wanted: &[Domain],
        path: Option<&str>,
    ) -> Outcome {
        let properties = self.store.properties();
        let paths = properties.by_app("router", "path-prefix").await?;
        let at = |path: Option<&str>| path.unwrap_or_default().trim_end_matches('/').to_owned();
        let own = at(path.or(paths.get(app).map(String::as_str)));
        for (domain, owner) in self.taken_domains().await? {
            let theirs = at(paths.get(&owner).map(String::as_str));
            if owner != *app && theirs == own && wanted.contains(&domain) {
                return Err(Failure::new(format!(
                    "{domain}{own} is a domain of {owner} already: remove it there first"
                )));
            }
        }
        Ok(())
    }
}

/// `90`, `90s`, `1500ms`, `5m`, `1h`
pub(crate) fn parse_time(text: &str) -> Result<Duration, Invalid> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let factor = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    let millis = number.zip(factor).and_then(|(n, f)| n.checked_mul(f));
    millis
        .filter(|millis| (1..=86_400_000).contains(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            Invalid::new(format!(
                "Invalid time '{}': write it as 60s, 500ms, 5m or 1h, up to a day",
                text.escape_debug()
            ))
        })
}

/// `0`, `512k`, `50m`, `1g`
pub(crate) fn parse_size(text: &str) -> Result<u64, Invalid> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" => Some(1),
        "k" => Some(1 << 10),
        "m" => Some(1 << 20),
        "g" => Some(1 << 30),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    let size = number.zip(factor).and_then(|(n, f)| n.checked_mul(f));
    size.ok_or_else(|| {
        Invalid::new(format!(
            "Invalid size '{}': write it as 512k, 50m or 1g; 0 is no limit",
            text.escape_debug()
        ))
    })
}

/// A whole number.
pub(crate) fn parse_number(text: &str) -> Result<u32, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(format!(
            "Invalid number '{}': write a whole number",
            text.escape_debug()
        ))
    })
}

/// Addresses and ranges, separated by spaces or commas.
pub(crate) fn parse_networks(text: &str) -> Result<Vec<Network>, Invalid> {
    text.split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(str::parse)
        .collect()
}

/// Header rules, each quoted as in a shell.
pub(crate) fn parse_rules(text: &str) -> Result<Vec<HeaderRule>, Invalid> {
    let words = shlex::split(text).ok_or_else(|| {
        Invalid::new(
            "Invalid header rules: a quote is not closed; write them as 'Name: value' '-Name'",
        )
    })?;
    words.iter().map(|word| word.parse()).collect()
}

#[cfg(test)]
mod tests;
