//! Which of an app's names an authority would find here.

use std::net::IpAddr;

use sarsen_domain::{AppName, Domain};
use sarsen_router::Proof;

use crate::acme::AcmeSetup;
use crate::control::Control;
use crate::failure::{Failure, Outcome};

/// The most names in one certificate: authorities take 100.
const MOST: usize = 100;

impl Control {
    /// The names to ask for, and those left out with the reason. Fails when none is left.
    pub(super) async fn provable_names(
        &self,
        app: &AppName,
        setup: &AcmeSetup,
    ) -> Outcome<(Vec<Domain>, Vec<String>)> {
        let (mut provable, mut left_out) = (Vec::new(), Vec::new());
        for domain in self.app_domains(app).await? {
            match self.obstacle(&domain, setup).await {
                Some(reason) => left_out.push(reason),
                None if provable.len() == MOST => {
                    left_out.push(format!("{domain} is one more than fit into a certificate"));
                }
                None => provable.push(domain),
            }
        }
        if provable.is_empty() {
            let why = if left_out.is_empty() {
                format!("add a domain first: domains:add {app} DOMAIN")
            } else {
                left_out.join("\n")
            };
            return Err(Failure::new(format!(
                "No domain of {app} can get a certificate:\n{why}"
            )));
        }
        Ok((provable, left_out))
    }

    async fn obstacle(&self, domain: &Domain, setup: &AcmeSetup) -> Option<String> {
        if let Some(reason) = hopeless(domain, setup) {
            return Some(reason);
        }
        if !setup.check {
            return None;
        }
        let advice =
            "; point it here in DNS, or set check to false if it only looks so from this host";
        match setup.proof {
            Proof::Http01 => {
                let port = self.settings.http_public_port;
                let reached = self.router.challenges().reach(domain.as_str(), port).await;
                reached.err().map(|why| format!("{why}{advice}"))
            }
            Proof::TlsAlpn01 => tokio::net::lookup_host((domain.as_str(), 443))
                .await
                .err()
                .map(|error| format!("{domain} is not in DNS: {error}{advice}")),
            // Where the name leads does not matter.
            Proof::Dns01(_) => None,
        }
    }
}

/// Why no authority, or not this one, would give a certificate for a name.
pub(super) fn hopeless(domain: &Domain, setup: &AcmeSetup) -> Option<String> {
    if domain.is_catch_all() {
        return Some("_ stands for any name, and there are no certificates for that".to_owned());
    }
    if domain.as_str().parse::<IpAddr>().is_ok() {
        return Some(format!("{domain} is an address, not a name"));
    }
    if domain.wildcard_suffix().is_some() && !matches!(setup.proof, Proof::Dns01(_)) {
        return Some(format!(
            "{domain} can be proved by a DNS record only: set challenge to dns-01, and a dns-hook"
        ));
    }
    if setup.is_public && !is_public(domain.as_str()) {
        return Some(format!("{domain} is not a name of the public internet"));
    }
    None
}

/// Whether a name can be known to everybody.
pub(super) fn is_public(name: &str) -> bool {
    const PRIVATE: [&str; 12] = [
        "localhost",
        "local",
        "test",
        "invalid",
        "example",
        "internal",
        "lan",
        "home",
        "corp",
        "onion",
        "arpa",
        "localdomain",
    ];
    let last = name.rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| !PRIVATE.contains(&last) && !name.contains('_'))
}

#[cfg(test)]
mod tests {
    use sarsen_router::{Authority, DnsHook};

    use super::*;

    fn setup(proof: Proof) -> AcmeSetup {
        AcmeSetup {
            authority: Authority {
                directory: String::new(),
                email: String::new(),
                ca_root: None,
            },
            proof,
            check: true,
            is_public: true,
            grace: None,
        }
    }

    #[test]
    fn names_that_nobody_vouches_for_are_not_asked_for() {
        let http = setup(Proof::Http01);
        let dns = setup(Proof::Dns01(DnsHook {
            path: "/hook".into(),
            time_limit: std::time::Duration::ZERO,
        }));
        let private = AcmeSetup {
            is_public: false,
            ..setup(Proof::Http01)
        };
        for (name, by_http, by_dns, by_private) in [
            ("shop.example.com", true, true, true),
            ("*.example.com", false, true, false),
            ("app.localhost", false, false, true),
            ("app.lan", false, false, true),
            ("my_app.example.com", false, false, true),
            ("host", false, false, true),
            ("10.1.2.3", false, false, false),
            ("_", false, false, false),
        ] {
            let domain = Domain::parse(name).unwrap();
            let may = |setup| hopeless(&domain, setup).is_none();
            assert_eq!(
                (may(&http), may(&dns), may(&private)),
                (by_http, by_dns, by_private),
                "{name}"
            );
        }
    }
}
