//! Certificates from an ACME authority, by the names of Dokku's letsencrypt plugin.

use sarsen_domain::AppName;
use sarsen_store::{AcmeState, CertificateSource, Wanted};

use crate::acme::settings::CONCERN;
use crate::acme::{Obtained, Patience};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::apps_to_report;
use crate::report;
use crate::table::{Call, Command, verb};
use crate::time::{now, rfc3339};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "letsencrypt:active",
        "<app>",
        Read,
        "Prints whether an app has a certificate of an ACME authority",
        active
    ),
    verb!(
        "letsencrypt:auto-renew",
        "[<app>]",
        Change,
        "Renews what is due now; it is done without this, too",
        auto_renew
    ),
    verb!(
        "letsencrypt:cleanup",
        "<app>",
        Change,
        "Forgets certificates of an app that were replaced",
        cleanup
    ),
    verb!(
        "letsencrypt:cron-job",
        "[--add] [--remove]",
        Host,
        "Says that renewal is built in",
        cron_job
    ),
    verb!(
        "letsencrypt:disable",
        "<app>",
        Change,
        "Takes an app's certificate away and asks for no other",
        disable
    ),
    verb!(
        "letsencrypt:enable",
        "<app>",
        Change,
        "Gets a certificate for an app's domains, and keeps it renewed",
        enable
    ),
    verb!(
        "letsencrypt:list",
        "",
        Read,
        "Lists the apps with their certificates and when they are renewed",
        list
    ),
    verb!(
        "letsencrypt:report",
        "[<app>] [--global] [--format stdout|json] [--letsencrypt-*]",
        Read,
        "Displays a letsencrypt report",
        report
    ),
    verb!(
        "letsencrypt:revoke",
        "<app>",
        Change,
        "Has an app's certificate declared invalid and takes it away",
        revoke
    ),
    verb!(
        "letsencrypt:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a letsencrypt property: email, server, graceperiod, challenge, dns-hook, check, automatic",
        set
    ),
];

async fn enable(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    call.out
        .title(&format!("Enabling letsencrypt for {}", &*app))
        .await?;
    // What is set wrongly is said before anything is changed.
    control.acme_setup(&app).await?;
    let before = control.store.acme().state(&app).await?;
    control.store.acme().enable(&app, Wanted::Yes).await?;
    match control.obtain_certificate(&app).await {
        Ok(obtained) => tell(call, &obtained).await,
        Err(failure) => {
            // A first try that failed has enabled nothing.
            if !before.is_some_and(|state| state.is_enabled) {
                control.store.acme().give_up(&app, &failure.message).await?;
            }
            Err(failure)
        }
    }
}

async fn tell(call: &mut Call, obtained: &Obtained) -> Outcome {
    let hosts: Vec<&str> = obtained.hosts.iter().map(|host| host.as_str()).collect();
    call.out
        .header(&format!(
            "Certificate retrieved for {}, valid until {}",
            hosts.join(", "),
            rfc3339(obtained.expires_at)
        ))
        .await?;
    for reason in &obtained.left_out {
        call.out.warn(&format!("Left out: {reason}")).await?;
    }
    Ok(())
}

async fn disable(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    control.store.acme().enable(&app, Wanted::No).await?;
    if is_active(control, &app).await? {
        control.remove_certificate(&app).await?;
    }
    call.out
        .header(&format!("Disabled letsencrypt for {}", &*app))
        .await
}

async fn revoke(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    control.revoke_certificate(&app).await?;
    call.out
        .header(&format!("Revoked the certificate of {}", &*app))
        .await
}

async fn cleanup(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let removed = control.store.certificates().forget_replaced(&app).await?;
    call.out
        .header(&format!(
            "Removed {removed} replaced certificates of {}",
            &*app
        ))
        .await
}

async fn is_active(control: &Control, app: &AppName) -> Outcome<bool> {
    let stored = control.store.certificates().get(app).await?;
    Ok(stored.is_some_and(|stored| stored.source == CertificateSource::Acme))
}

async fn active(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let active = is_active(control, &app).await?;
    call.out.line(if active { "true" } else { "false" }).await
}

async fn auto_renew(control: &Control, call: &mut Call) -> Outcome {
    let only = call.app.as_deref().cloned();
    if let Some(app) = &only {
        let state = control.store.acme().state(app).await?;
        if !state.is_some_and(|state| state.is_enabled) {
            return Err(Failure::new(format!(
                "letsencrypt is not enabled for {app}: 'letsencrypt:enable {app}' does it"
            )));
        }
    }
    let kept = control
        .renew_certificates(only.as_ref(), Patience::None)
        .await?;
    for app in &kept.renewed {
        call.out
            .header(&format!("Renewed the certificate of {app}"))
            .await?;
    }
    for (app, reason) in &kept.failed {
        call.out.warn(&format!("{app}: {reason}")).await?;
    }
    if !kept.failed.is_empty() {
        return Err(Failure::silent(1));
    }
    if kept.renewed.is_empty() {
        call.out.header("No certificate is due for renewal").await?;
    }
    Ok(())
}

async fn cron_job(_: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--remove") {
        return Err(Failure::new(
            "Renewal is built in and needs no cron job: 'letsencrypt:disable APP' ends it for an app",
        ));
    }
    call.out
        .header("Renewal is built in and needs no cron job")
        .await
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let states = control.store.acme().all().await?;
    let mut rows = vec![vec![
        "-----> App name".to_owned(),
        "Certificate Expiry".to_owned(),
        "Time before expiry".to_owned(),
        "Time before renewal".to_owned(),
    ]];
    let enabled = || states.iter().filter(|(_, state)| state.is_enabled);
    for (app, state) in enabled() {
        let certificate = control.certificate(app).await?;
        let expires = certificate
            .filter(|(stored, _)| stored.source == CertificateSource::Acme)
            .map(|(_, pair)| pair.facts().expires_at);
        rows.push(vec![
            app.to_string(),
            expires.map(rfc3339).unwrap_or_default(),
            expires.map(until).unwrap_or_default(),
            expires.and(state.renew_at).map(until).unwrap_or_default(),
        ]);
    }
    call.out.table(&rows).await?;
    for (app, state) in states.iter() {
        if let Some(error) = &state.error {
            call.out
                .warn(&format!("{app}: {error}{}", next_try(state)))
                .await?;
        }
    }
    Ok(())
}

fn next_try(state: &AcmeState) -> String {
    if !state.is_enabled {
        return String::new();
    }
    format!("\nThe next try is in {}", until(state.retry_at))
}

/// `89d, 23h, 59m, 58s`
fn until(at: i64) -> String {
    let left = (at - now()).max(0);
    let (days, hours) = (left / 86400, left / 3600 % 24);
    let (minutes, seconds) = (left / 60 % 60, left % 60);
    format!("{days}d, {hours}h, {minutes}m, {seconds}s")
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let state = control.store.acme().state(&app).await?.unwrap_or_default();
        let certificate = control.certificate(&app).await?;
        let certificate =
            certificate.filter(|(stored, _)| stored.source == CertificateSource::Acme);
        let expires = certificate
            .as_ref()
            .map(|(_, pair)| pair.facts().expires_at);
        for (key, value) in [
            ("letsencrypt-active", certificate.is_some().to_string()),
            ("letsencrypt-autorenew", state.is_enabled.to_string()),
            (
                "letsencrypt-expiration",
                expires.map(rfc3339).unwrap_or_default(),
            ),
            (
                "letsencrypt-renewal",
                state.renew_at.map(rfc3339).unwrap_or_default(),
            ),
            ("letsencrypt-failures", state.failures.to_string()),
            (
                "letsencrypt-last-error",
                state.error.unwrap_or_default().replace('\n', " "),
            ),
        ] {
            fields.insert(key.to_owned(), value);
        }
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}
