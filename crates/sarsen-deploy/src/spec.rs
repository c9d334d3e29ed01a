//! The containers to be made: names, labels, environment, limits. Pure.

use std::collections::BTreeMap;

use rand::Rng;
use sarsen_domain::container::label;
use sarsen_domain::health::web_port;
use sarsen_domain::{
    AppName, ContainerName, ContainerSettings, Invalid, ProcessType, Release, Scheme,
};
use sarsen_runtime::{ContainerSpec, ImageInfo, NetworkPlace, RestartPolicy};

use crate::{AppSettings, DeployError, DeployPlan, PlannedInstance, command};

/// Says whether a one-off container has a caller that reads it.
pub(crate) const RUN_LABEL: &str = "com.sarsen.run";
/// The mark of a one-off container's command: whether this run of the daemon waits for it follows from that.
pub(crate) const LIFE_LABEL: &str = "com.sarsen.life";

/// The port that a process must listen on, when it must.
pub(crate) fn port_of(process: &ProcessType, settings: &AppSettings) -> Option<u16> {
    process.is_web().then(|| web_port(&settings.ports))
}

/// The container of a planned instance, under its name until it is live.
pub(crate) fn of_instance(
    plan: &DeployPlan<'_>,
    instance: &PlannedInstance,
    image: &ImageInfo,
    owner: &str,
) -> Result<(ContainerName, ContainerSpec), DeployError> {
    let (release, settings) = (plan.release, plan.settings);
    let port = port_of(&instance.process, settings);
    let suffix: u32 = rand::rng().random_range(1_000_000..10_000_000);
    let name = name(&format!(
        "{}.{}.upcoming-{suffix}",
        release.app,
        instance.dyno()
    ))?;
    let flags = settings.flags_of(&instance.process, instance.index);
    let mut spec = common(release, settings, flags, owner);
    spec.network = place(release, settings, instance.process.as_str());
    spec.name = Some(name.clone());
    spec.command = match &settings.start_command {
        Some(text) => Some(command::of_start(release, text, image, port)),
        None => command::of_process(release, &instance.process, image, port)?,
    };
    spec.stop_timeout = Some(settings.stop_timeout);
    if instance.process.is_web() {
        spec.expose = exposed(settings);
    }
    let port_value = port.map(|port| port.to_string()).unwrap_or_default();
    put_env(&mut spec.env, "DYNO", &instance.dyno());
    put_env(&mut spec.env, "PORT", &port_value);
    if release.config.get("SERVICE_NAME").is_none() {
        let service = service_name(&release.app, &instance.process);
        put_env(&mut spec.env, "SERVICE_NAME", &service);
    }
    put_labels(
        &mut spec.labels,
        [
            (label::CONTAINER_TYPE, "deploy".to_owned()),
            (label::PROCESS, instance.process.to_string()),
            (label::DYNO, instance.dyno()),
            (label::INSTANCE, instance.id.to_string()),
        ],
    );
    Ok((name, spec))
}

/// A one-off container, without its name and command.
pub(crate) fn of_one_off(release: &Release, settings: &AppSettings, owner: &str) -> ContainerSpec {
    let mut spec = common(release, settings, &settings.run_flags, owner);
    spec.network = place(release, settings, "run");
    spec.labels
        .insert(label::CONTAINER_TYPE.to_owned(), "run".to_owned());
    spec
}

/// `app.web.1`
pub(crate) fn final_name(
    app: &AppName,
    process: &ProcessType,
    index: u32,
) -> Result<ContainerName, Invalid> {
    ContainerName::parse(&format!("{app}.{process}.{index}"))
}

/// A container's name out of parts that were checked already.
pub(crate) fn name(text: &str) -> Result<ContainerName, DeployError> {
    Ok(ContainerName::parse(text)?)
}

/// Adds a variable to an environment, replacing the one of that name.
pub(crate) fn put_env(env: &mut Vec<String>, key: &str, value: &str) {
    env.retain(|line| line.split_once('=').is_none_or(|(name, _)| name != key));
    env.push(format!("{key}={value}"));
}

/// Adds labels.
pub(crate) fn put_labels<const N: usize>(
    labels: &mut BTreeMap<String, String>,
    added: [(&str, String); N],
) {
    labels.extend(added.map(|(key, value)| (key.to_owned(), value)));
}

/// What every container of a release has.
fn common(
    release: &Release,
    settings: &AppSettings,
    flags: &ContainerSettings,
    owner: &str,
) -> ContainerSpec {
    let mut flags = flags.clone();
    // Only live containers are started again.
    flags.restart = None;
    let mut env = release.config.to_env();
    for (key, value) in settings
        .env_extra
        .iter()
        .chain(&std::mem::take(&mut flags.env))
    {
        put_env(&mut env, key, value);
    }
    let mut labels = BTreeMap::new();
    put_labels(
        &mut labels,
        [
            (label::DOKKU, String::new()),
            ("org.label-schema.schema-version", "1.0".to_owned()),
            ("org.label-schema.vendor", "dokku".to_owned()),
            (label::APP, release.app.to_string()),
            (label::IMAGE_STAGE, "release".to_owned()),
            (label::BUILDER, release.builder.to_string()),
            (label::RELEASE, release.number.0.to_string()),
            (label::BUILD, release.build.to_string()),
            (label::OWNER, owner.to_owned()),
        ],
    );
    ContainerSpec {
        image: release.image.to_string(),
        env,
        labels,
        init: settings.init,
        // A candidate that crashes must be seen to crash.
        restart: RestartPolicy::No,
        pids_limit: Some(settings.pids_limit),
        drop_capabilities: true,
        no_new_privileges: true,
        log_max_size: settings.log_max_size.clone(),
        flags,
        ..ContainerSpec::default()
    }
}

/// The network of the app's own choice, and the name that a process has there.
fn place(release: &Release, settings: &AppSettings, process: &str) -> Option<NetworkPlace> {
    let network = settings.initial_network.clone()?;
    Some(NetworkPlace {
        network,
        aliases: settings.aliases(&release.app, process),
    })
}

/// The ports that clients are led to: each becomes a service.
fn exposed(settings: &AppSettings) -> Vec<u16> {
    let mapped = settings
        .ports
        .iter()
        .filter(|mapping| mapping.scheme != Scheme::Udp)
        .map(|mapping| mapping.container);
    let mut ports: Vec<_> = std::iter::once(web_port(&settings.ports))
        .chain(mapped)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn service_name(app: &AppName, process: &ProcessType) -> String {
    if process.is_web() {
        app.to_string()
    } else {
        format!("{app}-{process}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{image, release};
    use sarsen_domain::{BuilderKind, DockerFlags, EnvKey};

    fn spec(edit: impl FnOnce(&mut Release, &mut AppSettings), process: &str) -> ContainerSpec {
        let mut release = release(BuilderKind::Dockerfile, "web: serve\nworker: work");
        let mut settings = AppSettings::default();
        edit(&mut release, &mut settings);
        let instance = PlannedInstance {
            id: 9,
            process: ProcessType::parse(process).unwrap(),
            index: 2,
        };
        let plan = DeployPlan {
            release: &release,
            instances: &[],
            settings: &settings,
        };
        of_instance(&plan, &instance, &image(), "me").unwrap().1
    }

    #[test]
    fn web_has_a_port_and_says_who_it_is() {
        let spec = spec(
            |_, s| s.ports = vec!["http:80:8080".parse().unwrap()],
            "web",
        );
        let name = spec.name.unwrap().to_string();
        assert!(name.starts_with("app.web.2.upcoming-"), "{name}");
        assert_eq!(spec.expose, [8080]);
        assert_eq!(
            spec.env,
            ["A=1", "DYNO=web.2", "PORT=8080", "SERVICE_NAME=app"]
        );
        let label = |key: &str| spec.labels[key].as_str();
        assert_eq!(label("dokku"), "");
        assert_eq!(label("com.dokku.app-name"), "app");
        assert_eq!(label("com.dokku.dyno"), "web.2");
        assert_eq!(label("com.dokku.container-type"), "deploy");
        assert_eq!(label("com.sarsen.instance"), "9");
        assert_eq!(label("com.sarsen.owner"), "me");
        assert_eq!(spec.restart, RestartPolicy::No);
        assert!(spec.init && spec.no_new_privileges && spec.drop_capabilities);
        assert_eq!((spec.stop_timeout, spec.pids_limit), (Some(30), Some(4096)));
    }

    #[test]
    fn others_have_an_empty_port() {
        let spec = spec(|_, _| {}, "worker");
        assert_eq!(
            spec.env,
            ["A=1", "DYNO=worker.2", "PORT=", "SERVICE_NAME=app-worker"]
        );
        assert!(spec.expose.is_empty());
    }

    #[test]
    fn the_users_values_count_but_for_ours() {
        let spec = spec(
            |release, settings| {
                for (key, value) in [("PORT", "1"), ("SERVICE_NAME", "x"), ("DYNO", "y")] {
                    release
                        .config
                        .set(EnvKey::parse(key).unwrap(), value)
                        .unwrap();
                }
                settings.env_extra = vec![("A".into(), "2".into())];
            },
            "web",
        );
        assert_eq!(
            spec.env,
            ["SERVICE_NAME=x", "A=2", "DYNO=web.2", "PORT=5000"]
        );
    }

    #[test]
    fn flags_are_laid_under_what_is_ours() {
        let text = "-e A=3 -e PORT=1 --restart always --memory 1g -v /a:/b";
        let spec = spec(
            |_, settings| {
                let flags = DockerFlags::parse_text(text).unwrap();
                settings.flags.insert(ProcessType::web(), flags);
                settings.initial_network = Some("mine".to_owned());
                settings.tld = Some("lan".to_owned());
            },
            "web",
        );
        assert_eq!(
            spec.env,
            ["A=3", "DYNO=web.2", "PORT=5000", "SERVICE_NAME=app"]
        );
        assert_eq!(
            (spec.flags.restart, spec.flags.memory),
            (None, Some(1 << 30))
        );
        assert_eq!(spec.flags.mounts.len(), 1);
        let place = spec.network.unwrap();
        assert_eq!(
            (place.network.as_str(), place.aliases),
            ("mine", vec!["app.web.lan".to_owned()])
        );
    }

    #[test]
    fn every_mapped_port_is_exposed_once() {
        let ports = ["udp:53:53", "http:80:5000", "https:443:5000", "tcp:25:2525"];
        let spec = spec(
            |_, s| s.ports = ports.iter().map(|p| p.parse().unwrap()).collect(),
            "web",
        );
        assert_eq!(spec.expose, [2525, 5000]);
    }
}
