//! The verbs, a file for each noun. A new one is declared in its noun's `COMMANDS` and nowhere else.

pub(crate) mod access;
pub(crate) mod addons;
pub(crate) mod app_json;
pub(crate) mod apps;
pub(crate) mod builder;
pub(crate) mod buildpacks;
pub(crate) mod builds;
pub(crate) mod certs;
pub(crate) mod checks;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod cron;
pub(crate) mod dashboard;
pub(crate) mod docker_options;
pub(crate) mod domains;
pub(crate) mod events;
pub(crate) mod git;
pub(crate) mod help;
pub(crate) mod host;
pub(crate) mod http_auth;
pub(crate) mod letsencrypt;
pub(crate) mod logs;
pub(crate) mod maintenance;
pub(crate) mod network;
pub(crate) mod nginx;
pub(crate) mod plugin;
pub(crate) mod ports;
pub(crate) mod proxy;
pub(crate) mod ps;
pub(crate) mod redirect;
pub(crate) mod registry;
pub(crate) mod releases;
pub(crate) mod repo;
pub(crate) mod resource;
pub(crate) mod router;
pub(crate) mod run;
pub(crate) mod scheduler;
pub(crate) mod services;
pub(crate) mod shell;
pub(crate) mod ssh_keys;
pub(crate) mod storage;
pub(crate) mod tokens;
pub(crate) mod url;

use crate::property::Concern;
use crate::table::Command;

/// Every noun's verbs, in the order of help.
pub(crate) const ALL: &[&[Command]] = &[
    access::COMMANDS,
    app_json::COMMANDS,
    apps::COMMANDS,
    builder::COMMANDS,
    buildpacks::COMMANDS,
    builds::COMMANDS,
    checks::COMMANDS,
    certs::COMMANDS,
    config::COMMANDS,
    cron::COMMANDS,
    dashboard::COMMANDS,
    docker_options::COMMANDS,
    domains::COMMANDS,
    events::COMMANDS,
    git::COMMANDS,
    help::COMMANDS,
    http_auth::COMMANDS,
    completion::COMMANDS,
    host::COMMANDS,
    letsencrypt::COMMANDS,
    logs::COMMANDS,
    maintenance::COMMANDS,
    network::COMMANDS,
    nginx::COMMANDS,
    plugin::COMMANDS,
    ports::COMMANDS,
    proxy::COMMANDS,
    ps::COMMANDS,
    redirect::COMMANDS,
    registry::COMMANDS,
    releases::COMMANDS,
    repo::COMMANDS,
    resource::COMMANDS,
    router::COMMANDS,
    run::COMMANDS,
    scheduler::COMMANDS,
    services::COMMANDS,
    shell::COMMANDS,
    ssh_keys::COMMANDS,
    storage::COMMANDS,
    tokens::COMMANDS,
    url::COMMANDS,
];

/// The properties of a noun, by its name.
pub(crate) fn concern(plugin: &str) -> Option<&'static Concern> {
    let all: [&'static Concern; 20] = [
        &app_json::CONCERN,
        &apps::CONCERN,
        &builder::CONCERN,
        &builder::DOCKERFILE,
        &builder::HEROKUISH,
        &builder::PACK,
        &builds::CONCERN,
        &buildpacks::CONCERN,
        &checks::CONCERN,
        &cron::CONCERN,
        &git::CONCERN,
        &logs::CONCERN,
        &network::CONCERN,
        &nginx::CONCERN,
        &proxy::CONCERN,
        &ps::CONCERN,
        &registry::CONCERN,
        &router::CONCERN,
        &scheduler::CONCERN,
        &scheduler::DOCKER_LOCAL,
    ];
    all.into_iter().find(|concern| concern.plugin == plugin)
}

/// Whether there is such a property and the value will do; a sentence when not.
pub(crate) fn check_property(plugin: &str, key: &str, value: &str) -> Result<(), String> {
    if plugin == "resource" {
        return resource::check(key, value).map_err(|error| error.0);
    }
    let properties = concern(plugin).map_or(&[][..], |concern| concern.properties);
    let property = properties.iter().find(|property| property.key == key);
    let property = property.ok_or("there is no such setting here")?;
    (property.check)(value).map_err(|error| error.0)
}
