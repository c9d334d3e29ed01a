//! Which key may do what.

use std::collections::BTreeMap;

use sarsen_domain::{KeyName, Right};
use sarsen_store::{Grant, Scope};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::columns;
use crate::property::apps_to_report;
use crate::report::{self, Fields, ReportKind, wants_json};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "access:add",
        "<key> <app>|--global [<right>]",
        Keys,
        "Gives a key a right on an app, or everywhere: read, deploy (the default) or admin",
        add
    ),
    verb!(
        "access:list",
        "[--format text|json] [<key>]",
        Keys,
        "Lists what keys may do",
        list
    ),
    verb!(
        "access:remove",
        "<key> <app>|--global",
        Keys,
        "Takes a key's right on an app away, or the one it has everywhere",
        remove
    ),
    verb!(
        "access:report",
        "[<app>] [--format stdout|json] [--access-*]",
        Keys,
        "Displays which keys may do what to an app",
        report
    ),
];

const REPORT: ReportKind = ReportKind {
    prefix: "access",
    label: "access",
    long_json_keys: false,
};

fn key(call: &Call) -> Outcome<KeyName> {
    Ok(KeyName::parse(call.args.get(0).unwrap_or_default())?)
}

/// What `<app>|--global` came to behind the key, and the place of the word behind it.
fn scope(call: &Call) -> Outcome<(Scope, usize)> {
    if call.args.has("--global") {
        return Ok((Scope::Global, 1));
    }
    Ok((Scope::App((*call.app()?).clone()), 2))
}

async fn add(control: &Control, call: &mut Call) -> Outcome {
    let key = key(call)?;
    let (scope, at) = scope(call)?;
    let right: Right = call.args.get(at).unwrap_or("deploy").parse()?;
    let rights = control.store.access().of(&key).await?;
    if let (Scope::App(app), Some(held)) = (&scope, rights.everywhere)
        && held >= right
    {
        return Err(Failure::new(format!(
            "{key} has '{held}' everywhere, {app} included: take that away first with 'access:remove {key} --global'"
        )));
    }
    control.store.access().grant(&key, &scope, right).await?;
    call.out
        .header(&format!("{key} has '{right}' {}", place(&scope)))
        .await
}

async fn remove(control: &Control, call: &mut Call) -> Outcome {
    let key = key(call)?;
    let (scope, _) = scope(call)?;
    if !control.store.access().revoke(&key, &scope).await? {
        return Err(Failure::new(format!(
            "{key} has no right of its own {}: see 'access:list {key}'",
            place(&scope)
        )));
    }
    call.out
        .header(&format!(
            "{key} has no right of its own {} any more",
            place(&scope)
        ))
        .await?;
    if control.store.access().of(&key).await?.any() {
        return Ok(());
    }
    call.out
        .warn(&format!(
            "{key} may do nothing now: 'ssh-keys:remove {key}' removes the key"
        ))
        .await
}

fn place(scope: &Scope) -> String {
    match scope {
        Scope::Global => "everywhere".to_owned(),
        Scope::App(app) => format!("on {app}"),
    }
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let mut keys = control.store.ssh_keys().list().await?;
    if let Some(name) = call.args.get(0) {
        keys.retain(|key| key.name.as_str() == name);
    }
    let grants = control.store.access().list().await?;
    let of = |name: &KeyName| grants.iter().filter(|grant| grant.key == *name).collect();
    let rows: Vec<(KeyName, Vec<&Grant>)> = keys
        .into_iter()
        .map(|key| (key.name.clone(), of(&key.name)))
        .collect();
    match wants_json(call)? {
        true => call.out.line(&json(&rows)).await,
        false if rows.is_empty() => Err(Failure::new("No public keys found")),
        false => call.out.bytes(table(&rows).as_bytes()).await,
    }
}

fn json(rows: &[(KeyName, Vec<&Grant>)]) -> String {
    let grant = |key: &KeyName, grant: &&Grant| {
        serde_json::json!({
            "key": key.as_str(),
            "app": grant.app.as_ref().map_or("--global", |app| app.as_str()),
            "right": grant.right.as_str(),
        })
    };
    let rows: Vec<_> = rows
        .iter()
        .flat_map(|(key, grants)| grants.iter().map(move |found| grant(key, found)))
        .collect();
    serde_json::Value::Array(rows).to_string()
}

fn table(rows: &[(KeyName, Vec<&Grant>)]) -> String {
    let mut cells = Vec::new();
    for (key, grants) in rows {
        if grants.is_empty() {
            cells.push(vec![key.to_string(), "-".to_owned(), "nothing".to_owned()]);
        }
        cells.extend(grants.iter().map(|grant| {
            let app = grant.app.as_ref().map_or("--global", |app| app.as_str());
            vec![key.to_string(), app.to_owned(), grant.right.to_string()]
        }));
    }
    columns(&cells)
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    let grants = control.store.access().list().await?;
    for app in apps_to_report(control, call).await? {
        // A key counts with the better of its rights.
        let mut rights: BTreeMap<&KeyName, Right> = BTreeMap::new();
        let about = |grant: &&Grant| grant.app.is_none() || grant.app.as_ref() == Some(&app);
        for grant in grants.iter().filter(about) {
            let held = rights.entry(&grant.key).or_insert(grant.right);
            *held = grant.right.max(*held);
        }
        let names = |right: Right| {
            let with = rights.iter().filter(|(_, held)| **held == right);
            with.map(|(key, _)| key.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let fields: Fields = Right::ALL
            .into_iter()
            .map(|right| (format!("access-{right}"), names(right)))
            .collect();
        report::print(call, &REPORT, app.as_str(), &fields).await?;
    }
    Ok(())
}
