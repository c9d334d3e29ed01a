//! One app of Dokku's.

use std::path::Path;

use sarsen_domain::formation::parse_scale;
use sarsen_domain::port::check_unique;
use sarsen_domain::{AppName, BuildpackRef, Domain, Formation, PortMapping, Secret};
use sarsen_router::KeyPair;
use sarsen_store::{CertificateSource, ImportedApp, Locked, NewCertificate, Stopped, Vhosts};

use super::report::Report;
use super::tree::Tree;
use super::{Vars, default_domains, options};

/// Reads everything of an app that can be carried over.
pub(super) fn read(
    tree: &Tree,
    name: &AppName,
    global: &[Domain],
    report: &mut Report,
) -> ImportedApp {
    let Vars { config, no_vhost } = vars(tree, name, report);
    let mut app = ImportedApp::new(name.clone());
    let own = |file: &str| Path::new(name.as_str()).join(file);
    let property = |plugin: &str, key: &str| {
        Path::new("config")
            .join(plugin)
            .join(name.as_str())
            .join(key)
    };
    app.domains = tree.domains(&own("VHOST"), report);
    if no_vhost {
        app.vhosts = Vhosts::Disabled;
    } else if app.domains == default_domains(name, global) {
        // Without a list of its own the app follows the global domains.
        app.domains.clear();
    }
    app.config = config;
    if tree.lib_has(&format!("data/apps/{name}/.deploy.lock")) {
        app.locked = Locked::Yes;
    }
    if tree
        .lib_text(&property("ps", "restore"), report)
        .is_some_and(|text| text.trim() == "false")
    {
        app.stopped = Stopped::Yes;
    }
    let created = tree.lib_text(&property("apps", "created-at"), report);
    app.created_at = created.and_then(|text| text.trim().parse().ok());
    let scale = tree.lib_text(&property("ps", "scale"), report);
    let scale = scale.or_else(|| tree.root_text(&own("DOKKU_SCALE"), report));
    app.formation = formation(scale.as_deref(), report);
    app.ports = ports(
        tree.lib_text(&property("ports", "map"), report).as_deref(),
        report,
    );
    let buildpacks = tree.lib_text(&property("buildpacks", "buildpacks"), report);
    app.buildpacks = buildpack_list(buildpacks.as_deref(), report);
    app.certificate = certificate(tree, name, report);
    app.docker_options = options::read(tree, name, report);
    app.properties = tree.properties(name.as_str(), report);
    stays_behind(tree, name, report);
    app
}

fn vars(tree: &Tree, name: &AppName, report: &mut Report) -> Vars {
    let mut config = tree.config(name.as_str(), &Path::new(name.as_str()).join("ENV"), report);
    let no_vhost = config.get("NO_VHOST").is_some_and(|value| value == "1");
    // Dokku's own notes: here they are settings.
    for key in [
        "NO_VHOST",
        "GIT_REV",
        "DOKKU_APP_RESTORE",
        "DOKKU_APP_TYPE",
        "DOKKU_PROXY_PORT_MAP",
        "DOKKU_PROXY_PORT",
        "DOKKU_PROXY_SSL_PORT",
    ] {
        if let Ok(key) = sarsen_domain::EnvKey::parse(key) {
            config.unset(&key);
        }
    }
    Vars { config, no_vhost }
}

fn formation(text: Option<&str>, report: &mut Report) -> Formation {
    let mut formation = Formation::initial();
    for line in text.unwrap_or_default().lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_scale(line) {
            Ok((process, quantity)) => formation.set(process, quantity),
            Err(error) => report.left_out(&error.0),
        }
    }
    formation
}

fn ports(text: Option<&str>, report: &mut Report) -> Vec<PortMapping> {
    let mut ports: Vec<PortMapping> = Vec::new();
    for word in text.unwrap_or_default().split_whitespace() {
        match word.parse::<PortMapping>() {
            Ok(mapping) => {
                ports.push(mapping);
                if let Err(error) = check_unique(&ports) {
                    ports.pop();
                    report.left_out(&error.0);
                }
            }
            Err(error) => report.left_out(&error.0),
        }
    }
    ports
}

fn buildpack_list(text: Option<&str>, report: &mut Report) -> Vec<BuildpackRef> {
    let mut list = Vec::new();
    for line in text
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        match line.parse() {
            Ok(buildpack) => list.push(buildpack),
            Err(error) => report.left_out(&format!("buildpack: {error}")),
        }
    }
    list
}

/// `tls/server.crt` and `tls/server.key`, when they belong together.
fn certificate(tree: &Tree, name: &AppName, report: &mut Report) -> Option<NewCertificate> {
    let file = |file: &str| Path::new(name.as_str()).join("tls").join(file);
    let chain = tree.root_text(&file("server.crt"), report)?;
    let key = tree
        .root_text(&file("server.key"), report)
        .unwrap_or_default();
    match KeyPair::from_pem(&chain, &key) {
        Ok(_) => Some(NewCertificate {
            source: CertificateSource::Imported,
            chain,
            key: Secret::new(key),
        }),
        Err(error) => {
            report.left_out(&format!("the certificate: {error}"));
            None
        }
    }
}

/// What has no place here, each by its name.
fn stays_behind(tree: &Tree, name: &AppName, report: &mut Report) {
    let own = |file: &str| Path::new(name.as_str()).join(file);
    for (file, why) in [
        ("nginx.conf.d", "nginx.conf.d: there is no nginx"),
        ("htpasswd", "htpasswd: a plugin's"),
        ("REDIRECTS", "REDIRECTS: a plugin's"),
    ] {
        if tree.has(&own(file)) {
            report.left_out(why);
        }
    }
    for key in tree.lib_names(&format!("config/storage/{name}")) {
        report.left_out(&format!(
            "storage, {key}: mount it again with 'storage:mount'"
        ));
    }
}

/// Says what an app brings along.
pub(super) fn tell(app: &ImportedApp, report: &mut Report) {
    report.count(app.config.len(), "config var");
    report.count(app.domains.len(), "domain");
    report.count(app.ports.len(), "port mapping");
    report.count(app.buildpacks.len(), "buildpack");
    report.count(app.docker_options.len(), "docker option");
    report.count(app.properties.len(), "property");
    if app.certificate.is_some() {
        report.say("its certificate");
    }
    let scale: Vec<_> = app
        .formation
        .iter()
        .map(|(process, quantity)| format!("{process}={quantity}"))
        .collect();
    report.say(&format!("scale {}", scale.join(" ")));
    for (is_so, what) in [
        (app.vhosts == Vhosts::Disabled, "domains are disabled"),
        (app.locked == Locked::Yes, "is locked"),
        (app.stopped == Stopped::Yes, "is stopped"),
    ] {
        if is_so {
            report.say(what);
        }
    }
}

/// What is the host's and stays behind: plugins and their services.
pub(super) fn leftovers(tree: &Tree, report: &mut Report) {
    report.section("plugins");
    let core = tree.lib_names("core-plugins/available");
    for plugin in tree.lib_names("plugins/available") {
        if !core.contains(&plugin) {
            report.left_out(&format!(
                "plugin {plugin}: 'plugin:install' takes it from where it came"
            ));
        }
    }
    for kind in tree.lib_names("services") {
        for service in tree.lib_names(&format!("services/{kind}")) {
            report.left_out(&format!(
                "{kind} service {service}: export its data there, import it here"
            ));
        }
    }
}
