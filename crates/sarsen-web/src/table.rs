//! Every route, declared once: pages, the API, live streams and files, each with what its caller must be allowed to do.
//! The guard, the description of the API and the tests of who may see what are made from this.

use std::borrow::Cow;

use axum::routing::{MethodRouter, get, post};
use sarsen_control::Action;

use crate::deeds::{self, Deed};
use crate::{Web, api, door, live, metrics, pages, runs};

/// How a route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
}

/// What its caller must be allowed to do: to the app of the path, or to the host when the path has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Anybody may ask; the handler looks after itself.
    Nothing,
    May(Action),
}

/// What it answers with, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTML for people with a session.
    Page,
    /// JSON for programs with a token and for scripts of our pages.
    Api,
    /// Server-sent events for our pages.
    Stream,
    /// Anything else for people with a session.
    File,
}

/// A route.
pub(crate) struct Route {
    pub(crate) verb: Verb,
    pub(crate) path: Cow<'static, str>,
    pub(crate) need: Need,
    pub(crate) kind: Kind,
    /// In a line, for the description of the API.
    pub(crate) about: &'static str,
    handler: Handler,
}

#[derive(Clone, Copy)]
enum Handler {
    Own(fn() -> MethodRouter<Web>),
    /// Carries out a deed, and answers as its kind does.
    Deed(&'static Deed),
}

impl Route {
    pub(crate) fn handler(&self) -> MethodRouter<Web> {
        match self.handler {
            Handler::Own(make) => make(),
            Handler::Deed(deed) => post(runs::door(deed, self.kind)),
        }
    }

    /// What it carries out, when it does.
    pub(crate) fn deed(&self) -> Option<&'static Deed> {
        match self.handler {
            Handler::Own(_) => None,
            Handler::Deed(deed) => Some(deed),
        }
    }
}

macro_rules! routes {
    ($($kind:ident $verb:ident $path:literal $need:expr, $about:literal, $handler:path;)*) => {
        [$(Route {
            verb: Verb::$verb,
            path: Cow::Borrowed($path),
            need: $need,
            kind: Kind::$kind,
            about: $about,
            handler: Handler::Own(|| routes!(@ $verb $handler)),
        }),*]
    };
    (@ Get $handler:path) => { get($handler) };
    (@ Post $handler:path) => { post($handler) };
}

const LIST: Need = Need::May(Action::List);
const READ: Need = Need::May(Action::Read);
const INSIDE: Need = Need::May(Action::Inside);
const CHANGE: Need = Need::May(Action::Change);
const HOST: Need = Need::May(Action::Host);
const OWN: Need = Need::May(Action::Own);

/// Every route.
pub(crate) fn all() -> Vec<Route> {
    let mut all = Vec::new();
    all.extend(open());
    all.extend(pages());
    all.extend(streams());
    all.extend(api());
    all.extend(deeds::ALL.iter().flat_map(of_deed));
    all
}

fn open() -> impl IntoIterator<Item = Route> {
    routes! {
        Page Get "/login" Need::Nothing, "Signs in with a link", door::login;
        File Get "/healthz" Need::Nothing, "Health, in the open on loopback only", metrics::health;
        File Get "/metrics" Need::Nothing, "Metrics, in the open on loopback only", metrics::metrics;
        File Get "/style.css" Need::Nothing, "The style sheet", pages::style;
        File Get "/script.js" Need::Nothing, "The script", pages::script;
        File Get "/icon.svg" Need::Nothing, "The icon", pages::icon;
    }
}

/// What people look at.
fn pages() -> impl IntoIterator<Item = Route> {
    routes! {
        Page Post "/logout" LIST, "Signs out", door::logout;
        Page Get "/" LIST, "All apps", pages::apps::apps;
        Page Get "/new" HOST, "Makes an app", pages::apps::new;
        Page Get "/apps/{app}" READ, "One app", pages::overview::app;
        Page Get "/apps/{app}/compare" READ, "Two releases side by side", pages::overview::compare;
        Page Get "/apps/{app}/deploys" READ, "Deploys and releases", pages::deploys::deploys;
        Page Get "/apps/{app}/deploys/{build}" READ, "One deploy", pages::deploys::deploy;
        Page Get "/apps/{app}/builds/{build}" READ, "One deploy, by the name it had before", pages::deploys::old;
        Page Get "/apps/{app}/logs" READ, "Logs", pages::logs::logs;
        Page Get "/apps/{app}/config" READ, "Config vars by name", pages::config::config;
        Page Post "/apps/{app}/config/review" INSIDE, "Shows what an edit would change", pages::config::review;
        Page Post "/apps/{app}/config/save" INSIDE, "Saves an edit", pages::config::save;
        Page Get "/apps/{app}/domains" READ, "Domains and TLS", pages::settings::domains;
        Page Get "/apps/{app}/scale" READ, "Processes and their limits", pages::settings::scale;
        Page Get "/apps/{app}/addons" READ, "Services of addons", pages::settings::addons;
        Page Get "/apps/{app}/cron" READ, "Scheduled tasks", pages::settings::cron;
        Page Get "/apps/{app}/storage" READ, "Mounts", pages::settings::storage;
        Page Get "/apps/{app}/run" READ, "Runs a command once", pages::settings::run;
        Page Get "/apps/{app}/settings" READ, "Settings", pages::settings::settings;
        Page Get "/host" READ, "Services, and what apps hold on the disk", pages::host::services;
        Page Get "/host/plugins" READ, "Plugins", pages::host::plugins;
        Page Get "/host/keys" HOST, "Keys, tokens, sessions", pages::host::keys;
        Page Get "/host/audit" READ, "The audit log", pages::host::audit;
        Page Get "/runs/{id}" LIST, "A command that was begun", pages::runs::run;
        File Get "/apps/{app}/deploys/{build}/log" READ, "The log of a deploy, as a file", runs::build_log;
        Page Post "/runs/{id}/stop" LIST, "Stops a command", runs::stop;
    }
}

/// What goes on while one looks.
fn streams() -> impl IntoIterator<Item = Route> {
    routes! {
        Stream Get "/live" LIST, "Deploys under way", live::deploys::stream;
        Stream Get "/apps/{app}/deploys/{build}/live" READ, "A deploy's log and phases", live::build::stream;
        Stream Get "/apps/{app}/logs/live" READ, "What an app's containers write", live::logs::stream;
        Stream Get "/runs/{id}/live" LIST, "What a command writes", live::run::stream;
        Api Get "/api/v1/live" LIST, "Deploys under way, as server-sent events", live::deploys::stream;
        Api Get "/api/v1/apps/{app}/builds/{build}/live" READ, "A build's log and phases, as server-sent events", live::build::stream;
        Api Get "/api/v1/apps/{app}/logs/live" READ, "What an app's containers write, as server-sent events", live::logs::stream;
        Api Get "/api/v1/runs/{id}/live" LIST, "What a command writes, as server-sent events", live::run::stream;
    }
}

/// What programs ask.
fn api() -> impl IntoIterator<Item = Route> {
    routes! {
        Api Get "/api/v1" LIST, "Who asks, and what they may", api::host::whoami;
        Api Get "/api/v1/host" LIST, "How the host is doing", api::host::strip;
        Api Get "/api/v1/deploys" LIST, "Deploys under way", api::host::deploys;
        Api Get "/api/v1/certificates" LIST, "Certificates of apps", api::host::certificates;
        Api Get "/api/v1/services" LIST, "Services of addons", api::host::services;
        Api Get "/api/v1/addons" LIST, "Addons that there are", api::host::addons;
        Api Get "/api/v1/catalog" READ, "Every service found on the host", api::host::catalog;
        Api Get "/api/v1/plugins" READ, "Plugins, and how long their scripts took", api::host::plugins;
        Api Get "/api/v1/disk" READ, "What apps hold on the disk", api::host::disk;
        Api Get "/api/v1/audit" READ, "The audit log, newest first; ?before=ID goes on", api::host::audit;
        Api Get "/api/v1/keys" HOST, "Keys that may log in, and their rights", api::host::keys;
        Api Get "/api/v1/tokens" OWN, "Tokens: one's own, or everybody's for an admin", api::host::tokens;
        Api Get "/api/v1/sessions" OWN, "Sessions of the dashboard: one's own, or everybody's for an admin", api::host::sessions;
        Api Get "/api/v1/runs/{id}" LIST, "A command that was begun", api::runs::show;
        Api Post "/api/v1/runs/{id}/stop" LIST, "Stops a command", api::runs::stop;
        Api Post "/api/v1/commands" LIST, "Carries out any command that the caller may", api::runs::command;
        Api Get "/api/v1/apps" LIST, "The apps that the caller may see", api::apps::list;
        Api Get "/api/v1/apps/{app}" READ, "One app", api::apps::show;
        Api Get "/api/v1/apps/{app}/activity" READ, "What happened to an app, newest first", api::apps::activity;
        Api Get "/api/v1/apps/{app}/builds/{build}" READ, "One build: its phases and why it failed", api::apps::build;
        Api Get "/api/v1/apps/{app}/builds/{build}/log" READ, "The log of a build, as text", runs::build_log;
        Api Get "/api/v1/apps/{app}/charts" READ, "Requests, latency, processor and memory; ?range=hour|day|week", api::apps::charts;
        Api Get "/api/v1/apps/{app}/compare" READ, "Two releases side by side; ?from=N&to=N", api::apps::compare;
        Api Get "/api/v1/apps/{app}/config" READ, "Config vars by name, without values", api::apps::config;
        Api Get "/api/v1/apps/{app}/cron" READ, "Scheduled tasks, and their last runs", api::apps::cron;
        Api Get "/api/v1/apps/{app}/domains" READ, "Domains, and how TLS stands", api::apps::domains;
        Api Get "/api/v1/apps/{app}/domains/{domain}/check" CHANGE, "Whether a domain leads here", api::apps::check;
        Api Get "/api/v1/apps/{app}/logs" READ, "The last lines of an app's logs, as text; ?num=N&ps=PROCESS", api::apps::logs;
        Api Get "/api/v1/apps/{app}/scale" READ, "Quantities and limits by process type", api::apps::scale;
        Api Get "/api/v1/apps/{app}/services" READ, "Services that an app is linked to", api::apps::services;
        Api Get "/api/v1/apps/{app}/storage" READ, "What an app mounts", api::apps::storage;
    }
}

/// A deed has a door for forms and one for programs.
fn of_deed(deed: &'static Deed) -> [Route; 2] {
    let route = |prefix: &str, kind| {
        let place = if deed.of_app { "/apps/{app}" } else { "" };
        Route {
            verb: Verb::Post,
            path: Cow::Owned(format!("{prefix}{place}/do/{}", deed.name)),
            need: Need::May(deed.action),
            kind,
            about: deed.about,
            handler: Handler::Deed(deed),
        }
    };
    [route("", Kind::Page), route("/api/v1", Kind::Api)]
}
