//! Networks between containers, and which of them an app is on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sarsen_deploy::{AppSettings, Deployed};
use sarsen_domain::docker_flags::NetworkMode;
use sarsen_domain::{AppName, Invalid};
use sarsen_router::{AppRoute, AppState, Upstream};
use sarsen_runtime::NetworkInfo;
use sarsen_store::Scope;

use crate::access::{authorise_powers, authorise_ties};
use crate::args::Args;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, any, apps_to_report, boolean, scope};
use crate::report::{self, ReportKind, wants_json};
use crate::table::{Call, Command, verb};
use crate::verbs::apps::confirm;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "network:create",
        "<network>",
        Host,
        "Makes a network that containers can be put on",
        create
    ),
    verb!(
        "network:destroy",
        "[-f|--force] <network>",
        Host,
        "Removes a network that nothing is on",
        destroy
    ),
    verb!(
        "network:exists",
        "<network>",
        Read,
        "Checks if a network exists",
        exists
    ),
    verb!(
        "network:info",
        "[--format text|json] <network>",
        Read,
        "Shows what is known of a network",
        info
    ),
    verb!(
        "network:list",
        "[--format text|json] [--dokku-managed]",
        Read,
        "Lists the engine's networks",
        list
    ),
    verb!(
        "network:rebuild",
        "<app>",
        Deploy,
        "Puts an app's containers on its networks again and recomputes its routes",
        rebuild
    ),
    verb!(
        "network:rebuildall",
        "",
        Deploy,
        "Does the same for every app",
        rebuild_all
    ),
    verb!(
        "network:report",
        "[<app>] [--global] [--format stdout|json] [--network-*]",
        Read,
        "Displays a network report",
        report
    ),
    verb!(
        "network:set",
        "<app>|--global <key> [<value>...]",
        Change,
        "Sets a network property: initial-network, attach-post-create, attach-post-deploy, tld, …",
        set
    ),
];

/// On every network that `network:create` made; its value is the name.
const LABEL: &str = "com.dokku.network-name";

/// The properties of networks.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "network",
    properties: &[
        Property::shared("attach-post-create", "", names),
        Property::shared("attach-post-deploy", "", names),
        Property::shared("bind-all-interfaces", "false", boolean),
        Property::shared("initial-network", "", one_name),
        Property {
            key: "static-web-listener",
            reach: Reach::App,
            default: "",
            check: listener,
        },
        Property::shared("tld", "", any),
    ],
    report: ReportKind {
        prefix: "network",
        label: "network",
        long_json_keys: true,
    },
};

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, and none of the engine's own.
fn one_name(value: &str) -> Result<(), Invalid> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let starts_well = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || value.len() > 63 || !value.chars().all(legal) {
        return Err(Invalid::new(format!(
            "Invalid network name '{}': letters, digits, dots, underscores and hyphens, at most 63",
            value.escape_debug()
        )));
    }
    if matches!(value, "host" | "none") {
        return Err(Invalid::new(format!(
            "'{value}' is no network that others can be reached on: see docker-options:add --network"
        )));
    }
    Ok(())
}

fn names(value: &str) -> Result<(), Invalid> {
    value.split(',').try_for_each(one_name)
}

fn listener(value: &str) -> Result<(), Invalid> {
    value.parse::<SocketAddr>().map(|_| ()).map_err(|_| {
        Invalid::new(format!(
            "Invalid listener '{}': write it as address:port",
            value.escape_debug()
        ))
    })
}

/// The names of a comma-separated property.
pub(crate) fn listed(value: &str) -> Vec<String> {
    let names = value.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

async fn find(control: &Control, name: &str) -> Outcome<Option<NetworkInfo>> {
    let all = control.runtime.networks().await?;
    Ok(all.into_iter().find(|network| network.name == name))
}

async fn existing(control: &Control, args: &Args) -> Outcome<NetworkInfo> {
    let name = args.get(0).unwrap_or_default();
    find(control, name).await?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Failure {
    Failure::new(format!("Network {} does not exist", name.escape_debug()))
}

async fn create(control: &Control, call: &mut Call) -> Outcome {
    let name = call.args.get(0).unwrap_or_default().to_owned();
    one_name(&name)?;
    if find(control, &name).await?.is_some() {
        return Err(Failure::new(format!("Network {name} already exists")));
    }
    let labels = [
        ("dokku".to_owned(), String::new()),
        (LABEL.to_owned(), name.clone()),
    ];
    control.runtime.ensure_network(&name, &labels).await?;
    call.out.title(&format!("Created network {name}")).await
}

async fn destroy(control: &Control, call: &mut Call) -> Outcome {
    let network = existing(control, &call.args).await?;
    let name = network.name.clone();
    if !network.labels.contains_key(LABEL) {
        return Err(Failure::new(format!(
            "Network {name} was not made by network:create, so it is not removed here"
        )));
    }
    check_unused(control, &name).await?;
    if !(call.force || call.args.has("--force")) {
        confirm(call, &name, &format!("network {name}")).await?;
        check_unused(control, &name).await?;
    }
    control.runtime.remove_network(&name).await?;
    call.out.title(&format!("Destroyed network {name}")).await
}

async fn check_unused(control: &Control, name: &str) -> Outcome {
    let properties = control.store.properties();
    for key in [
        "initial-network",
        "attach-post-create",
        "attach-post-deploy",
    ] {
        let global = properties.get(&Scope::Global, CONCERN.plugin, key).await?;
        let global = global.map(|value| ("--global".to_owned(), value));
        let by_app = properties.by_app(CONCERN.plugin, key).await?.into_iter();
        let by_app = by_app.map(|(app, value)| (app.to_string(), value));
        for (owner, value) in global.into_iter().chain(by_app) {
            if listed(&value).iter().any(|used| used == name) {
                return Err(Failure::new(format!(
                    "Network {name} is the {key} of {owner}: change that first with network:set"
                )));
            }
        }
    }
    let containers = control.runtime.list(&[]).await?;
    let user = containers
        .iter()
        .find(|info| info.addresses.contains_key(name));
    match user {
        Some(user) => Err(Failure::new(format!(
            "Container {} is on network {name}",
            user.name
        ))),
        None => Ok(()),
    }
}

async fn exists(control: &Control, call: &mut Call) -> Outcome {
    let network = existing(control, &call.args).await?;
    call.out
        .title(&format!("Network {} exists", network.name))
        .await
}

fn to_json(network: &NetworkInfo) -> serde_json::Value {
    serde_json::json!({
        "CreatedAt": network.created_at,
        "DokkuManaged": network.labels.contains_key(LABEL),
        "Driver": network.driver,
        "ID": network.id,
        "Internal": network.internal,
        "IPv6": network.ipv6,
        "Labels": network.labels,
        "Name": network.name,
        "Scope": network.scope,
    })
}

async fn info(control: &Control, call: &mut Call) -> Outcome {
    let as_json = wants_json(call)?;
    let network = existing(control, &call.args).await?;
    let json = to_json(&network);
    if as_json {
        return call.out.line(&json.to_string()).await;
    }
    call.out
        .title(&format!("{} network information", network.name))
        .await?;
    let labels = network.labels.iter();
    let labels: Vec<_> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    for (word, value) in [
        ("ID", network.id.clone()),
        ("Name", network.name.clone()),
        ("Driver", network.driver.clone()),
        ("Scope", network.scope.clone()),
        (
            "Dokku managed",
            network.labels.contains_key(LABEL).to_string(),
        ),
        ("Internal", network.internal.to_string()),
        ("IPv6", network.ipv6.to_string()),
        ("Created at", network.created_at.clone()),
        ("Labels", labels.join(",")),
    ] {
        let line = format!("       {:<31}{value}", format!("{word}:"));
        call.out.line(line.trim_end()).await?;
    }
    Ok(())
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let as_json = wants_json(call)?;
    let mut networks = control.runtime.networks().await?;
    if call.args.has("--dokku-managed") {
        networks.retain(|network| network.labels.contains_key(LABEL));
    }
    if as_json {
        let rows: Vec<_> = networks.iter().map(to_json).collect();
        let rows = serde_json::Value::Array(rows);
        return call.out.line(&rows.to_string()).await;
    }
    call.out.title("Networks").await?;
    for network in networks {
        call.out.line(&network.name).await?;
    }
    Ok(())
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let (scope, at) = scope(call)?;
    let key = call.args.get(at).unwrap_or_default().to_owned();
    let words = call.args.from(at + 1);
    let value = words.join(",");
    let is_list = matches!(key.as_str(), "attach-post-create" | "attach-post-deploy");
    if words.len() > 1 && !is_list {
        return Err(Failure::new(format!("{key} takes one value")));
    }
    if key == "tld" && !value.is_empty() {
        one_name(&value)?;
    }
    if is_list || key == "initial-network" {
        let wanted: BTreeSet<_> = listed(&value).into_iter().collect();
        for name in wanted {
            one_name(&name)?;
            if find(control, &name).await?.is_none() {
                return Err(missing(&name));
            }
            authorise_ties(&call.actor, NetworkMode::Named(name).tie().as_slice())?;
        }
    }
    if key == "static-web-listener" && !value.is_empty() {
        let power = format!("a listener at {value}");
        authorise_powers(&call.actor, &[power])?;
    }
    let value = Some(value).filter(|value| !value.is_empty());
    CONCERN
        .put(control, call, &scope, &key, value.as_deref())
        .await?;
    if key == "static-web-listener" {
        control.refresh_routes().await?;
    }
    Ok(())
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        fields.remove("network-computed-static-web-listener");
        let listeners = web_listeners(control, &app).await?;
        fields.insert("network-web-listeners".to_owned(), listeners.join(" "));
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

/// Where requests go: the addresses in the catalog, or the one that was set.
async fn web_listeners(control: &Control, app: &AppName) -> Outcome<Vec<String>> {
    let fixed = CONCERN
        .effective(control, app, "static-web-listener")
        .await?;
    if !fixed.is_empty() {
        return Ok(vec![fixed]);
    }
    let catalog = control.registry.catalog();
    let of_app = catalog.services().values().filter(|service| {
        let owner = service.owner.as_ref();
        owner.is_some_and(|owner| owner.app == *app && owner.process.is_web())
    });
    let found: BTreeSet<_> = of_app.map(|service| service.address.to_string()).collect();
    Ok(found.into_iter().collect())
}

async fn rebuild(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    control.rejoin_networks(&app).await?;
    control.refresh_routes().await
}

async fn rebuild_all(control: &Control, _call: &mut Call) -> Outcome {
    for app in control.store.apps().list().await? {
        control.rejoin_networks(&app).await?;
    }
    control.refresh_routes().await
}

/// Leads the requests of these apps to where somebody said, instead of to their containers.
pub(crate) fn point_at_listeners(routes: &mut [AppRoute], fixed: &BTreeMap<AppName, SocketAddr>) {
    for route in routes {
        let Some(address) = fixed.get(&route.app) else {
            continue;
        };
        route.state = AppState::Serving;
        // No container of ours has this number: rows count from 1.
        route.upstreams = vec![Upstream {
            instance: 0,
            dyno: "static".to_owned(),
            ip: address.ip(),
        }];
        for port in &mut route.ports {
            port.container_port = address.port();
        }
    }
}

impl Control {
    /// The listeners that were set, by app.
    pub(crate) async fn fixed_listeners(&self) -> Outcome<BTreeMap<AppName, SocketAddr>> {
        let properties = self.store.properties();
        let set = properties
            .by_app(CONCERN.plugin, "static-web-listener")
            .await?;
        let parsed = set.into_iter();
        Ok(parsed
            .filter_map(|(app, text)| Some((app, text.parse().ok()?)))
            .collect())
    }

    /// Puts new containers on the networks that they join once they serve.
    pub(crate) async fn join_later(
        &self,
        app: &AppName,
        settings: &AppSettings,
        deployed: &[Deployed],
    ) -> Outcome {
        for one in deployed {
            let places = settings.joined_later(app, one.process.as_str());
            self.deployer.join(&one.container, &places).await?;
        }
        Ok(())
    }

    /// Puts an app's live containers on the networks that its properties name now.
    async fn rejoin_networks(&self, app: &AppName) -> Outcome {
        let Some(release) = self.store.releases().live(app).await? else {
            return Ok(());
        };
        let settings = self.app_settings(&release).await?;
        for instance in self.live_instances(app).await? {
            let Some(container) = &instance.container else {
                continue;
            };
            let process = instance.process.as_str();
            self.deployer
                .join(container, &settings.joined(app, process))
                .await?;
            self.deployer
                .join(container, &settings.joined_later(app, process))
                .await?;
            let registered = self.registry.register(container).await;
            registered.map_err(|error| Failure::new(error.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_listeners_have_a_form() {
        assert!(names("a,b-1.x").is_ok() && listener("10.0.0.1:80").is_ok());
        for bad in ["", "-a", "a b", "a;b", "host", "a,,b", "$(x)"] {
            assert!(names(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "x:1", "1.2.3.4", "1.2.3.4:99999"] {
            assert!(listener(bad).is_err(), "{bad:?}");
        }
        assert_eq!(listed("a,b"), ["a", "b"]);
        assert_eq!(listed(""), Vec::<String>::new());
    }
}
