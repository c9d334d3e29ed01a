//! The service catalog, as people and programs ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sarsen_registry::{Catalog, Check, Instance, Place, Source};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::access::{Action, authorise, sees};
use crate::control::Control;
use crate::failure::{Failure, Outcome, STOPPING};
use crate::output::Out;
use crate::report::wants_json;
use crate::session::Actor;
use crate::table::{Call, Command, verb};
use crate::time::rfc3339;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "services:info",
        "[--format stdout|json] <service>",
        Read,
        "Shows the instances of a service and what their checks say",
        info
    ),
    verb!(
        "services:list",
        "[--format stdout|json] [--passing] [--tag TAG] [<app>]",
        Read,
        "Lists the services of this host, or of one app",
        list
    ),
    verb!(
        "services:watch",
        "[--format stdout|json] [<app>]",
        Read,
        "Shows services as they come, change and go",
        watch
    ),
];

/// What a caller gets to see, by place.
type Seen = BTreeMap<Place, Arc<Instance>>;

/// Of the catalog, what the caller may see and asks for.
fn seen(call: &Call, catalog: &Catalog) -> Seen {
    let of_app = |instance: &Instance| match &call.app {
        Some(app) => owner_of(instance).is_some_and(|owner| owner.app == **app),
        None => true,
    };
    let wanted = |instance: &&Arc<Instance>| {
        let passes = !call.args.has("--passing") || instance.is_available();
        let tagged = call
            .args
            .value("--tag")
            .is_none_or(|tag| instance.has_tag(tag));
        passes && tagged && of_app(instance) && may_see(&call.actor, instance)
    };
    let instances = catalog.instances().filter(wanted);
    instances
        .map(|instance| (instance.place(), Arc::clone(instance)))
        .collect()
}

/// What is no app's is the host's.
fn may_see(actor: &Actor, instance: &Instance) -> bool {
    match owner_of(instance) {
        Some(owner) => sees(actor, &owner.app),
        None => authorise(actor, Action::Read, ()).is_ok(),
    }
}

fn owner_of(instance: &Instance) -> Option<&sarsen_domain::service::ServiceOwner> {
    match &instance.source {
        Source::Container { owner, .. } => owner.as_ref(),
        Source::External { .. } => None,
    }
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let seen = seen(call, &control.registry.catalog());
    if wants_json(call)? {
        let all: Vec<_> = seen.values().map(|instance| to_json(instance)).collect();
        return call.out.line(&Value::Array(all).to_string()).await;
    }
    if seen.is_empty() {
        return call.out.header("There are no services").await;
    }
    let mut rows = Vec::new();
    if !call.out.quiet {
        let titles = ["Service", "Address", "Health", "Tags", "Instance"];
        rows.push(titles.map(str::to_owned).to_vec());
    }
    let mut sorted: Vec<_> = seen.values().collect();
    sorted.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    rows.extend(sorted.into_iter().map(|instance| {
        vec![
            instance.name.clone(),
            address(instance),
            instance.status().as_str().to_owned(),
            instance.tags.join(","),
            name_of(instance),
        ]
    }));
    call.out.table(&rows).await
}

async fn info(control: &Control, call: &mut Call) -> Outcome {
    let name = call.args.get(0).unwrap_or_default().to_owned();
    let catalog = control.registry.catalog();
    let found: Vec<_> = catalog.named(&name).cloned().collect();
    if found.is_empty() {
        let name = name.escape_debug();
        return Err(Failure::new(format!(
            "There is no service {name}: see 'services:list'"
        )));
    }
    if wants_json(call)? {
        let all: Vec<_> = found.iter().map(|instance| to_json(instance)).collect();
        return call.out.line(&Value::Array(all).to_string()).await;
    }
    for instance in found {
        describe(&mut call.out, &instance).await?;
    }
    Ok(())
}

async fn describe(out: &mut Out, instance: &Instance) -> Outcome {
    let title = format!("{} {}", instance.name, name_of(instance));
    out.title(&title).await?;
    let mut rows = vec![
        ("Address:", address(instance)),
        ("Health:", instance.status().as_str().to_owned()),
        ("Tags:", instance.tags.join(", ")),
    ];
    match &instance.source {
        Source::Container { id, owner, .. } => {
            rows.push(("Container:", id.short().to_owned()));
            rows.extend(
                owner
                    .iter()
                    .map(|owner| ("Process:", format!("{} {}", owner.app, owner.dyno))),
            );
        }
        Source::External { registrant } => rows.push(("Registered by:", registrant.clone())),
    }
    for (key, value) in &instance.attributes {
        rows.push(("Attribute:", format!("{key}={value}")));
    }
    for check in &instance.checks {
        rows.push(("Check:", in_words(check)));
    }
    for (label, value) in rows {
        out.line(format!("       {label:<15} {value}").trim_end())
            .await?;
    }
    Ok(())
}

fn in_words(check: &Check) -> String {
    let mut text = format!("{} is {}", check.spec.name, check.status.as_str());
    for more in [&check.output, &check.spec.notes] {
        let first = more.lines().next().unwrap_or_default();
        if !first.is_empty() {
            text.push_str(&format!("; {first}"));
        }
    }
    text
}

/// First what is there, then `current`, then each change, until the caller has enough.
async fn watch(control: &Control, call: &mut Call) -> Outcome {
    let as_json = wants_json(call)?;
    let mut changes = control.registry.watch();
    let mut known = Seen::new();
    let mut is_first = true;
    loop {
        changes.mark_unchanged();
        let catalog = control.registry.catalog();
        let now = seen(call, &catalog);
        let at = OffsetDateTime::now_utc().unix_timestamp();
        for (what, instance) in differences(&known, &now) {
            let line = if as_json {
                let mut line = fields(instance);
                line.insert("event".to_owned(), what.into());
                line.insert("index".to_owned(), catalog.index().into());
                Value::Object(line).to_string()
            } else {
                let place = format!("{} {}", address(instance), instance.status().as_str());
                let name = name_of(instance);
                format!("{} {what} {} {place} {name}", rfc3339(at), instance.name)
            };
            call.out.line(&line).await?;
        }
        if is_first {
            let line = match as_json {
                true => json!({"event": "current", "index": catalog.index()}).to_string(),
                false => format!("{} current", rfc3339(at)),
            };
            call.out.line(&line).await?;
            is_first = false;
        }
        known = now;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = call.gone.cancelled() => return Err(Failure::silent(1)),
            () = control.shutdown.cancelled() => return Err(Failure::new(STOPPING)),
        }
    }
}

/// What happened between two looks.
fn differences<'a>(before: &'a Seen, now: &'a Seen) -> Vec<(&'static str, &'a Instance)> {
    let gone = before.iter().filter(|(place, _)| !now.contains_key(place));
    let gone = gone.map(|(_, old)| ("down", &**old));
    let new = now
        .iter()
        .filter_map(|(place, new)| match before.get(place) {
            None => Some(("up", &**new)),
            Some(old) if old.modify_index != new.modify_index => Some(("update", &**new)),
            Some(_) => None,
        });
    gone.chain(new).collect()
}

fn address(instance: &Instance) -> String {
    let (host, port) = (&instance.address, instance.port);
    match (host.is_empty(), port) {
        (true, 0) => "-".to_owned(),
        (true, port) => format!(":{port}"),
        (false, 0) => host.clone(),
        (false, port) if host.contains(':') => format!("[{host}]:{port}"),
        (false, port) => format!("{host}:{port}"),
    }
}

/// The id, and the node when it is another one.
fn name_of(instance: &Instance) -> String {
    match &instance.node {
        Some(node) => format!("{} on {node}", instance.id),
        None => instance.id.clone(),
    }
}

fn to_json(instance: &Instance) -> Value {
    Value::Object(fields(instance))
}

fn fields(instance: &Instance) -> Map<String, Value> {
    let checks: Vec<_> = instance.checks.iter().map(check_to_json).collect();
    let mut fields: Vec<(&str, Value)> = vec![
        ("id", json!(instance.id)),
        ("name", json!(instance.name)),
        ("node", json!(instance.node)),
        ("address", json!(instance.address)),
        ("port", json!(instance.port)),
        ("tags", json!(instance.tags)),
        ("attributes", json!(instance.attributes)),
        ("health", json!(instance.status().as_str())),
        ("checks", json!(checks)),
        ("create_index", json!(instance.create_index)),
        ("modify_index", json!(instance.modify_index)),
    ];
    match &instance.source {
        Source::Container { id, owner, .. } => {
            fields.push(("container", json!(id.as_str())));
            if let Some(owner) = owner {
                fields.push(("app", json!(owner.app.as_str())));
                fields.push(("process", json!(owner.process.as_str())));
                fields.push(("dyno", json!(owner.dyno)));
            }
        }
        Source::External { registrant } => fields.push(("registered_by", json!(registrant))),
    }
    let owned = |(key, value): (&str, Value)| (key.to_owned(), value);
    fields.into_iter().map(owned).collect()
}

fn check_to_json(check: &Check) -> Value {
    json!({
        "id": check.spec.id, "name": check.spec.name, "status": check.status.as_str(),
        "output": check.output, "notes": check.spec.notes,
    })
}

#[cfg(test)]
mod tests;
