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
pub(crate) mod shell;
pub(crate) mod ssh_keys;
pub(crate) mod storage;
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
    shell::COMMANDS,
    ssh_keys::COMMANDS,
    storage::COMMANDS,
    url::COMMANDS,
];

/// The properties of a noun, by its name.
pub(crate) fn concern(plugin: &str) -> Option<&'static Concern> {
    let all: [&'static Concern; 8] = [
        &apps::CONCERN,
        &builder::CONCERN,
        &builder::DOCKERFILE,
        &builds::CONCERN,
        &buildpacks::CONCERN,
        &git::CONCERN,
        &logs::CONCERN,
        &ps::CONCERN,
    ];
    all.into_iter().find(|concern| concern.plugin == plugin)
}
