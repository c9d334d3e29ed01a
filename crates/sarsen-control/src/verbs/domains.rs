//! The host names of an app, and those that all apps get.

use sarsen_domain::{AppName, Domain};
use sarsen_store::{Scope, Vhosts};

use crate::control::Control;
use crate::failure::Outcome;
use crate::property::{apps_meant, apps_to_report};
use crate::report::{self, Fields, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "domains:add",
        "<app> <domain>...",
        Change,
        "Adds domains to an app",
        add
    ),
    verb!(
        "domains:add-global",
        "<domain>...",
        Host,
        "Adds domains that every app gets a name under",
        add_global
    ),
    verb!(
        "domains:clear",
        "<app>|--all",
        Change,
        "Removes all domains of an app",
        clear
    ),
    verb!(
        "domains:clear-global",
        "",
        Host,
        "Removes all global domains",
        clear_global
    ),
    verb!(
        "domains:disable",
        "<app>|--all",
        Change,
        "Stops routing by host name to an app",
        disable
    ),
    verb!(
        "domains:enable",
        "<app>|--all",
        Change,
        "Routes by host name to an app again",
        enable
    ),
    verb!(
        "domains:remove",
        "<app> <domain>...",
        Change,
        "Removes domains from an app",
        remove
    ),
    verb!(
        "domains:remove-global",
        "<domain>...",
        Host,
        "Removes global domains",
        remove_global
    ),
    verb!(
        "domains:report",
        "[<app>|--global] [--format stdout|json] [--domains-*]",
        Read,
        "Displays a domains report",
        report
    ),
    verb!(
        "domains:reset",
        "<app>",
        Change,
        "Gives an app its default domains back",
        reset
    ),
    verb!(
        "domains:set",
        "<app> <domain>...",
        Change,
        "Replaces the domains of an app",
        set
    ),
    verb!(
        "domains:set-global",
        "<domain>...",
        Host,
        "Replaces the global domains",
        set_global
    ),
    verb!(
        "domains:setup",
        "<app>",
        Change,
        "Gives an app that has no domains yet its default ones",
        setup
    ),
];

const REPORT: ReportKind = ReportKind {
    prefix: "domains",
    label: "domains",
    long_json_keys: false,
};

fn parse(words: &[String]) -> Outcome<Vec<Domain>> {
    words
        .iter()
        .map(|word| Domain::parse(word).map_err(Into::into))
        .collect()
}

async fn add(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let wanted = parse(call.args.from(1))?;
    control.refuse_taken(&app, &wanted, None).await?;
    let mut domains = control.app_domains(&app).await?;
    for domain in wanted {
        if domains.contains(&domain) {
            call.out
                .header(&format!("Skipping: {domain} already added to {}", &*app))
                .await?;
        } else {
            call.out
                .header(&format!("Added {domain} to {}", &*app))
                .await?;
            domains.push(domain);
        }
    }
    store(control, &app, &domains).await
}

async fn remove(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let unwanted = parse(call.args.from(1))?;
    let mut domains = control.app_domains(&app).await?;
    for domain in unwanted {
        if domains.contains(&domain) {
            call.out
                .header(&format!("Removed {domain} from {}", &*app))
                .await?;
        } else {
            call.out
                .header(&format!("Skipping: {domain} is not a domain of {}", &*app))
                .await?;
        }
        domains.retain(|own| *own != domain);
    }
    store(control, &app, &domains).await
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let domains = parse(call.args.from(1))?;
    control.refuse_taken(&app, &domains, None).await?;
    store(control, &app, &domains).await?;
    call.out
        .header(&format!(
            "Set {} for {}",
            call.args.from(1).join(" "),
            &*app
        ))
        .await
}

/// Own domains are written down; an app that has never had any goes by its default ones.
async fn store(control: &Control, app: &AppName, domains: &[Domain]) -> Outcome {
    control
        .store
        .domains()
        .set(&Scope::App(app.clone()), domains)
        .await?;
    let vhosts = if domains.is_empty() {
        Vhosts::Disabled
    } else {
        Vhosts::Enabled
    };
    control.store.domains().set_vhosts(app, vhosts).await?;
    control.refresh_routes().await
}

async fn clear(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_meant(control, call).await? {
        store(control, &app, &[]).await?;
        call.out
            .header(&format!("Cleared domains of {app}"))
            .await?;
        call.out
            .warn(&format!(
                "{app} answers under no name now: 'domains:reset {app}' gives it the default ones"
            ))
            .await?;
    }
    Ok(())
}

async fn setup(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let domains = control.store.domains();
    let own = domains.list(&Scope::App(AppName::clone(&app))).await?;
    if own.is_empty() && !domains.vhosts_enabled(&app).await? {
        return reset(control, call).await;
    }
    Ok(())
}

async fn reset(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    control
        .store
        .domains()
        .clear(&Scope::App(AppName::clone(&app)))
        .await?;
    control
        .store
        .domains()
        .set_vhosts(&app, Vhosts::Enabled)
        .await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Reset domains of {}", &*app))
        .await
}

async fn enable(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_meant(control, call).await? {
        switch(control, &app, Vhosts::Enabled).await?;
        call.out
            .header(&format!("Enabled domains for {app}"))
            .await?;
    }
    Ok(())
}

async fn disable(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_meant(control, call).await? {
        switch(control, &app, Vhosts::Disabled).await?;
        call.out
            .header(&format!("Disabled domains for {app}"))
            .await?;
    }
    Ok(())
}

async fn switch(control: &Control, app: &AppName, vhosts: Vhosts) -> Outcome {
    control.store.domains().set_vhosts(app, vhosts).await?;
    control.refresh_routes().await
}

async fn add_global(control: &Control, call: &mut Call) -> Outcome {
    let wanted = parse(call.args.from(0))?;
    control.store.domains().add(&Scope::Global, &wanted).await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Added {}", call.args.from(0).join(" ")))
        .await
}

async fn remove_global(control: &Control, call: &mut Call) -> Outcome {
    let unwanted = parse(call.args.from(0))?;
    control
        .store
        .domains()
        .remove(&Scope::Global, &unwanted)
        .await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Removed {}", call.args.from(0).join(" ")))
        .await
}

async fn set_global(control: &Control, call: &mut Call) -> Outcome {
    let wanted = parse(call.args.from(0))?;
    control.store.domains().set(&Scope::Global, &wanted).await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Set {}", call.args.from(0).join(" ")))
        .await
}

async fn clear_global(control: &Control, call: &mut Call) -> Outcome {
    control.store.domains().clear(&Scope::Global).await?;
    control.refresh_routes().await?;
    call.out.header("Cleared global domains").await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    let global = control.store.domains().list(&Scope::Global).await?;
    let mut shared = Fields::new();
    shared.insert(
        "domains-global-enabled".to_owned(),
        (!global.is_empty()).to_string(),
    );
    shared.insert("domains-global-vhosts".to_owned(), join(&global));
    if call.args.has("--global") {
        return report::print(call, &REPORT, "Global", &shared).await;
    }
    for app in apps_to_report(control, call).await? {
        let enabled = control.store.domains().vhosts_enabled(&app).await?;
        let mut fields = shared.clone();
        fields.insert("domains-app-enabled".to_owned(), enabled.to_string());
        fields.insert(
            "domains-app-vhosts".to_owned(),
            join(&control.app_domains(&app).await?),
        );
        report::print(call, &REPORT, app.as_str(), &fields).await?;
    }
    Ok(())
}

fn join(domains: &[Domain]) -> String {
    domains
        .iter()
        .map(Domain::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}
