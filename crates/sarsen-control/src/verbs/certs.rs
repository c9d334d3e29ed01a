//! The certificate of an app, as people bring it, make it, look at it and take it away.

use sarsen_domain::{AppName, Domain, Secret};
use sarsen_router::{CertificateFacts, KeyPair, is_vouched_for, order_chain, self_signed};
use sarsen_store::{CertificateSource, Scope};
use time::OffsetDateTime;

use crate::certificates::{Upload, read_file, read_tar, uncovered, warning};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::apps_to_report;
use crate::report::{self, Fields, ReportKind};
use crate::table::{Call, Command, verb};
use crate::time::now;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "certs:add",
        "<app> [<crt-file>] [<key-file>]",
        Change,
        "Gives an app a certificate: two files of this host, or a tar with one .crt and one .key on standard input",
        add
    ),
    verb!(
        "certs:chain",
        "<crt-file>...",
        Read,
        "Prints certificates in the order that servers send them in; they must form one chain",
        chain
    ),
    verb!(
        "certs:generate",
        "<app> <domain>",
        Change,
        "Gives an app a self-signed certificate and prints a request for an authority to sign",
        generate
    ),
    verb!(
        "certs:key",
        "<app> <crt-file> <key-file>...",
        Inside,
        "Prints the one of several keys that belongs to a certificate",
        key
    ),
    verb!(
        "certs:remove",
        "<app>",
        Change,
        "Takes an app's certificate away",
        remove
    ),
    verb!(
        "certs:report",
        "[<app>] [--global] [--format stdout|json] [--ssl-*]",
        Read,
        "Displays a certificate report",
        report
    ),
    verb!(
        "certs:rollback",
        "<app>",
        Change,
        "Goes back to the certificate that was replaced last",
        rollback
    ),
    verb!(
        "certs:show",
        "<app> <part>",
        Inside,
        "Prints an app's certificate (crt) or its key (key)",
        show
    ),
    verb!(
        "certs:update",
        "<app> [<crt-file>] [<key-file>]",
        Change,
        "Replaces an app's certificate; the same as certs:add",
        add
    ),
];

const REPORT: ReportKind = ReportKind {
    prefix: "ssl",
    label: "ssl",
    long_json_keys: false,
};

/// A self-signed certificate lasts so long.
const GENERATED_DAYS: u16 = 365;

async fn add(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let upload = match (call.args.get(1), call.args.get(2)) {
        (Some(crt), Some(key)) => Upload {
            chain: read_file(&call.file(crt)?, "CRT").await?,
            key: Secret::new(read_file(&call.file(key)?, "KEY").await?),
        },
        (Some(_), None) => {
            return Err(Failure::new(
                "KEY file specified not found: name it as well",
            ));
        }
        (None, _) => read_tar(call.take_stdin()).await?,
    };
    let facts = control
        .install_certificate(&app, &upload, CertificateSource::Imported)
        .await?;
    tell(control, call, &app, &facts).await
}

async fn generate(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let domain = Domain::parse(call.args.get(1).unwrap_or_default())?;
    if domain.is_catch_all() {
        return Err(Failure::new("A certificate is for a name: _ is none"));
    }
    if control.store.certificates().exists(&app).await? {
        return call
            .out
            .header(&format!(
                "{} has a certificate already: 'certs:remove {}' takes it away",
                &*app, &*app
            ))
            .await;
    }
    let mut domains = control.app_domains(&app).await?;
    let is_new = !domains.contains(&domain);
    if is_new {
        control
            .refuse_taken(&app, std::slice::from_ref(&domain), None)
            .await?;
        domains.push(domain.clone());
    }
    let made = self_signed(&[domain.as_str()], GENERATED_DAYS)
        .map_err(|error| Failure::new(error.to_string()))?;
    let upload = Upload {
        chain: made.certificate,
        key: Secret::new(made.key),
    };
    let scope = Scope::App(AppName::clone(&app));
    control.store.domains().set(&scope, &domains).await?;
    let facts = control
        .install_certificate(&app, &upload, CertificateSource::Generated)
        .await?;
    if is_new {
        call.out
            .header(&format!("Added {domain} to {}", &*app))
            .await?;
    }
    tell(control, call, &app, &facts).await?;
    call.out
        .header("The following is the certificate signing request")
        .await?;
    call.out.bytes(made.request.as_bytes()).await
}

/// Says what was installed, and what is wrong with it.
async fn tell(
    control: &Control,
    call: &mut Call,
    app: &AppName,
    facts: &CertificateFacts,
) -> Outcome {
    let names = match facts.hosts.as_slice() {
        [] => String::new(),
        hosts => format!("for {} ", hosts.join(", ")),
    };
    call.out
        .header(&format!(
            "Certificate {names}installed, valid until {}",
            date(facts.expires_at)
        ))
        .await?;
    let missing = uncovered(facts, control.app_domains(app).await?);
    match warning(facts, &missing, now()) {
        Some(warning) => call.out.warn(&warning).await,
        None => Ok(()),
    }
}

async fn remove(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    if !control.remove_certificate(&app).await? {
        return Err(Failure::new("An app-specific SSL endpoint is not defined"));
    }
    call.out
        .header(&format!("Removed the certificate of {}", &*app))
        .await
}

async fn rollback(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let previous = control.roll_back_certificate(&app).await?;
    let Some(facts) = previous else {
        return Err(Failure::new(format!(
            "{} has no earlier certificate to go back to",
            &*app
        )));
    };
    tell(control, call, &app, &facts).await
}

async fn show(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let stored = control.store.certificates().get(&app).await?;
    let stored =
        stored.ok_or_else(|| Failure::new(format!("Certificate for {} does not exist", &*app)))?;
    match call.args.get(1) {
        Some("crt") => call.out.bytes(stored.chain.as_bytes()).await,
        Some("key") => call.out.bytes(stored.key.expose().as_bytes()).await,
        _ => Err(Failure::new("Specify crt or key")),
    }
}

async fn chain(_: &Control, call: &mut Call) -> Outcome {
    let mut all = String::new();
    for name in call.args.from(0) {
        all.push_str(&read_file(&call.file(name)?, "CRT").await?);
        all.push('\n');
    }
    let ordered = order_chain(&all).map_err(|error| Failure::new(error.to_string()))?;
    call.out.bytes(ordered.as_bytes()).await
}

async fn key(_: &Control, call: &mut Call) -> Outcome {
    let name = call.args.get(1).unwrap_or_default();
    let chain = read_file(&call.file(name)?, "CRT").await?;
    for name in call.args.from(2).to_vec() {
        let key = read_file(&call.file(&name)?, "KEY").await?;
        if KeyPair::from_pem(&chain, &key).is_ok() {
            return call.out.bytes(key.as_bytes()).await;
        }
    }
    Err(Failure::new("None of the keys belongs to the certificate"))
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return Err(Failure::new("Certificates belong to apps: name one"));
    }
    for app in apps_to_report(control, call).await? {
        let found = control.certificate(&app).await?;
        let folder = control.settings.dokku_root.join(app.as_str());
        let mut fields = Fields::from([
            (
                "ssl-dir".to_owned(),
                folder.join("tls").display().to_string(),
            ),
            ("ssl-enabled".to_owned(), found.is_some().to_string()),
        ]);
        let facts = found.as_ref().map(|(_, pair)| pair.facts());
        let verified = match &found {
            Some((stored, pair)) => verdict(stored.chain.clone(), pair.facts()).await,
            None => String::new(),
        };
        let text = |show: fn(&CertificateFacts) -> String| facts.map(show).unwrap_or_default();
        for (key, value) in [
            ("ssl-hostnames", text(|facts| facts.hosts.join(" "))),
            ("ssl-expires-at", text(|facts| date(facts.expires_at))),
            ("ssl-issuer", text(|facts| facts.issuer.clone())),
            ("ssl-starts-at", text(|facts| date(facts.starts_at))),
            ("ssl-subject", text(|facts| facts.subject.clone())),
            ("ssl-verified", verified),
        ] {
            fields.insert(key.to_owned(), value);
        }
        report::print(call, &REPORT, app.as_str(), &fields).await?;
        if let Some(facts) = facts {
            let missing = uncovered(facts, control.app_domains(&app).await?);
            if let Some(warning) = warning(facts, &missing, now()) {
                call.out.warn(&warning).await?;
            }
        }
    }
    Ok(())
}

async fn verdict(chain: String, facts: &CertificateFacts) -> String {
    let host = facts.hosts.last().cloned().unwrap_or_default();
    // The machine's list of authorities is read from its disk.
    let vouched = tokio::task::spawn_blocking(move || is_vouched_for(&chain, &host)).await;
    match vouched {
        Ok(true) => "verified by a certificate authority".to_owned(),
        _ => "self signed".to_owned(),
    }
}

/// `Oct  5 23:59:59 2019 GMT`
fn date(seconds: i64) -> String {
    let format = time::macros::format_description!(
        "[month repr:short] [day padding:space] [hour]:[minute]:[second] [year] GMT"
    );
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sarsen_runtime::fake::Behaviour;

    use crate::testing::World;

    #[tokio::test]
    async fn a_name_that_the_app_did_not_have_is_told() {
        let world = World::new(Behaviour::default()).await;
        world.ok("apps:create shop").await;
        world.ok("domains:set shop shop.test").await;
        let said = world.ok("certs:generate shop www.shop.test").await;
        assert!(
            said.starts_with("-----> Added www.shop.test to shop\n"),
            "{said}"
        );
        let names = world.ok("domains:report shop --domains-app-vhosts").await;
        assert_eq!(names, "shop.test www.shop.test\n");
        world.ok("certs:remove shop").await;
        let said = world.ok("certs:generate shop shop.test").await;
        assert!(!said.contains("Added"), "{said}");
    }

    #[test]
    fn dates_are_openssls() {
        assert_eq!(super::date(1_570_319_999), "Oct  5 23:59:59 2019 GMT");
    }
}
