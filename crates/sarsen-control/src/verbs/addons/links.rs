//! Between services and apps.

use sarsen_addons::Engine;
use sarsen_domain::AppName;
use sarsen_store::Scope;

use super::{addon, subject};
use crate::addons::service;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::Call;
use crate::verbs::config::redeploy;

pub(super) async fn link(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let app = AppName::clone(&*call.app()?);
    let _busy = control.addons.take(&addon.name, &record.name)?;
    let chosen = call.args.value("--alias");
    let key = control.link_variable(&addon, &app, chosen).await?;
    let url = Engine::url(&addon, &service(&record));
    let services = control.store.services();
    services.link(&record, &app, (&key, &url)).await?;
    call.out.header("Setting config vars").await?;
    call.out.line(&format!("       {key}")).await?;
    let why = format!("Link {} service {}", addon.name, record.name);
    redeploy(control, call, &Scope::App(app), &why).await
}

pub(super) async fn unlink(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let app = AppName::clone(&*call.app()?);
    let _busy = control.addons.take(&addon.name, &record.name)?;
    let url = Engine::url(&addon, &service(&record));
    let scope = Scope::App(app.clone());
    let config = control.store.config().get(&scope).await?;
    // Whatever the var is called by now; one whose value was changed is the user's own.
    let ours = config.iter().filter(|(_, value)| *value == url);
    let keys: Vec<_> = ours.map(|(key, _)| key.clone()).collect();
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
    let why = format!("Unlink {} service {}", addon.name, record.name);
    redeploy(control, call, &scope, &why).await
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
