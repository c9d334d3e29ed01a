//! Between services and apps.

use sarsen_addons::Engine;
use sarsen_domain::{AppName, Config, EnvKey};
use sarsen_store::Scope;

use super::{addon, subject};
use crate::addons::service;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::plugins::ConfigChange;
use crate::table::Call;
use crate::verbs::config::redeploy;

pub(super) async fn link(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let app = AppName::clone(&*call.app()?);
    let _busy = control.addons.take(&addon.name, &record.name)?;
    let chosen = call.args.value("--alias");
    let key = control.link_variable(&addon, &app, chosen).await?;
    let query = call.args.value("--querystring").unwrap_or_default();
    let url = with_query(Engine::url(&addon, &service(&record)), query)?;
    let services = control.store.services();
    let of = (&addon.name, &record.name);
    control.service_action("pre-link", of, Some(&app)).await?;
    services.link(&record, &app, (&key, &url)).await?;
    control.service_action("post-link", of, Some(&app)).await?;
    call.out.header("Setting config vars").await?;
    call.out.line(&format!("       {key}")).await?;
    control
        .service_action("post-link-complete", of, Some(&app))
        .await?;
    let why = format!("Link {} service {}", addon.name, record.name);
    let change = ConfigChange::Set(std::slice::from_ref(&key));
    redeploy(control, call, &Scope::App(app), change, &why).await
}

pub(super) async fn unlink(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let app = AppName::clone(&*call.app()?);
    let _busy = control.addons.take(&addon.name, &record.name)?;
    let url = Engine::url(&addon, &service(&record));
    let scope = Scope::App(app.clone());
    let config = control.store.config().get(&scope).await?;
    // Whatever the var is called by now; one whose value was changed is the user's own.
    let keys = vars_of(&config, &url);
    let of = (&addon.name, &record.name);
    let links = control.store.services().links(record.id).await?;
    if links.contains(&app) {
        control.service_action("pre-unlink", of, Some(&app)).await?;
    }
    if !control
        .store
        .services()
        .unlink(&record, &app, &keys)
        .await?
    {
        return Err(Failure::new(format!("Not linked to app {app}")));
    }
    for key in &keys {
        call.out.header(&format!("Unsetting {key}")).await?;
    }
    control
        .service_action("post-unlink", of, Some(&app))
        .await?;
    control
        .service_action("post-unlink-complete", of, Some(&app))
        .await?;
    let why = format!("Unlink {} service {}", addon.name, record.name);
    redeploy(control, call, &scope, ConfigChange::Unset(&keys), &why).await
}

/// The usual config var becomes this service's; what it held before moves to one with a colour in its name.
pub(super) async fn promote(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let app = AppName::clone(&*call.app()?);
    let _busy = control.addons.take(&addon.name, &record.name)?;
    if !control
        .store
        .services()
        .links(record.id)
        .await?
        .contains(&app)
    {
        return Err(Failure::new(format!("Not linked to app {app}")));
    }
    let scope = Scope::App(app.clone());
    let config = control.store.config().get(&scope).await?;
    let own = Engine::url(&addon, &service(&record));
    let held: Vec<_> = vars_of(&config, &own);
    if held.contains(&addon.variable) {
        return Err(Failure::new(format!(
            "Service {} already promoted as {}",
            record.name, addon.variable
        )));
    }
    // The link's own URL, with its query string.
    let url = held.first().and_then(|key| config.get(key.as_str()));
    let url = url.map_or(own, str::to_owned);
    let mut vars = Vec::new();
    if let Some(before) = config.get(addon.variable.as_str()) {
        let elsewhere = config.iter();
        let mut elsewhere =
            elsewhere.filter(|(key, value)| **key != addon.variable && *value == before);
        if elsewhere.next().is_none() {
            let key = control.link_variable(&addon, &app, None).await?;
            vars.push((key, before.to_owned()));
        }
    }
    vars.push((addon.variable.clone(), url));
    control.store.services().set_vars(&app, &vars).await?;
    call.out.header("Setting config vars").await?;
    for (key, _) in &vars {
        call.out.line(&format!("       {key}")).await?;
    }
    let keys: Vec<_> = vars.into_iter().map(|(key, _)| key).collect();
    let why = format!("Promote {} service {}", addon.name, record.name);
    redeploy(control, call, &scope, ConfigChange::Set(&keys), &why).await
}

/// The vars that hold a service's URL, whatever stands behind its question mark.
fn vars_of(config: &Config, url: &str) -> Vec<EnvKey> {
    let ours = config.iter().filter(|(_, value)| {
        let rest = value.strip_prefix(url);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
    });
    ours.map(|(key, _)| key.clone()).collect()
}

fn with_query(url: String, query: &str) -> Outcome<String> {
    let query = query.trim_start_matches('?');
    if query.is_empty() {
        return Ok(url);
    }
    if !query
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        let query = query.escape_debug();
        return Err(Failure::new(format!(
            "'{query}' cannot stand behind the question mark of a URL"
        )));
    }
    Ok(format!("{url}?{query}"))
}

pub(super) async fn links(control: &Control, call: &mut Call) -> Outcome {
    let (_, record) = subject(control, call).await?;
    let links = control.store.services().links(record.id).await?;
    let lines: String = links.iter().map(|app| format!("{app}\n")).collect();
    call.out.bytes(lines.as_bytes()).await
}

pub(super) async fn linked(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let app = AppName::clone(&*call.app()?);
    let links = control.store.services().links(record.id).await?;
    let (title, name) = (&addon.title, &record.name);
    if links.contains(&app) {
        let linked = format!("{title} service {name} is linked to {app}");
        return call.out.header(&linked).await;
    }
    Err(Failure::new(format!(
        "{title} service {name} is not linked to {app}"
    )))
}

pub(super) async fn of_app(control: &Control, call: &mut Call) -> Outcome {
    let addon = addon(control, call)?;
    let app = call.app()?;
    let mut records = control.store.services().of_app(&app).await?;
    records.retain(|record| record.addon == addon.name);
    let lines: String = records.iter().map(|r| format!("{}\n", r.name)).collect();
    call.out.bytes(lines.as_bytes()).await
}
