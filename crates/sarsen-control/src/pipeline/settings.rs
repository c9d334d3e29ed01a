//! What an app's properties say of its containers.

use std::collections::BTreeMap;

use sarsen_deploy::AppSettings;
use sarsen_domain::docker_flags::PublishedPort;
use sarsen_domain::{AppJson, AppName, BuilderKind, Invalid, PortMapping, ProcessType, Release};
use sarsen_runtime::RestartPolicy;

use crate::certificates::with_https;
use crate::control::Control;
use crate::failure::Outcome;
use crate::verbs;

impl Control {
    /// The settings that a release of an app runs with now.
    pub(crate) async fn app_settings(&self, release: &Release) -> Outcome<AppSettings> {
        let app = &release.app;
        let ps = &verbs::ps::CONCERN;
        let app_json = release
            .app_json
            .as_deref()
            .map(AppJson::parse)
            .transpose()?
            .unwrap_or_default();
        let own = self.store.ports().list(app).await?;
        let max_size = verbs::logs::CONCERN
            .effective(self, app, "max-size")
            .await?;
        let stop_timeout = ps.effective(self, app, "stop-timeout-seconds").await?;
        let domains = self.app_domains(app).await?;
        let shape = self.shape(app).await?;
        let local = &verbs::scheduler::DOCKER_LOCAL;
        let parallel = local
            .effective(self, app, "parallel-schedule-count")
            .await?;
        let start_command = self.start_command(release).await?;
        let mut settings = AppSettings {
            restart: parse_restart_policy(&ps.effective(self, app, "restart-policy").await?)?,
            stop_timeout: stop_timeout.parse().unwrap_or(30),
            log_max_size: Some(max_size).filter(|size| size != "unlimited"),
            flags: shape.by_process,
            flags_default: shape.deploy,
            run_flags: shape.run,
            init: local.effective(self, app, "init-process").await? == "true",
            parallel_types: verbs::scheduler::parallel(&parallel)?,
            shell: self.app_shell(app).await?,
            ports: if own.is_empty() {
                release.detected_ports.clone()
            } else {
                own
            },
            checks: app_json
                .healthchecks
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            app_host: domains
                .into_iter()
                .find(|domain| domain.wildcard_suffix().is_none() && !domain.is_catch_all()),
            max_parallel: app_json.max_parallel,
            start_command,
            ..self.network_settings(app).await?
        };
        self.publish_web(app, &mut settings).await?;
        verbs::checks::apply(self, app, &mut settings).await?;
        Ok(settings)
    }

    /// The networks that an app's containers are on.
    async fn network_settings(&self, app: &AppName) -> Outcome<AppSettings> {
        let network = &verbs::network::CONCERN;
        let filled = |value: String| Some(value).filter(|value| !value.is_empty());
        let created = network.effective(self, app, "attach-post-create").await?;
        let deployed = network.effective(self, app, "attach-post-deploy").await?;
        let mut networks = self.app_networks(app).await?;
        networks.extend(verbs::network::listed(&created));
        Ok(AppSettings {
            networks,
            later_networks: verbs::network::listed(&deployed),
            initial_network: filled(network.effective(self, app, "initial-network").await?),
            tld: filled(network.effective(self, app, "tld").await?),
            ..AppSettings::default()
        })
    }

    /// `start-cmd` for images of buildpacks, `dockerfile-start-cmd` for all others.
    async fn start_command(&self, release: &Release) -> Outcome<Option<String>> {
        let key = match release.builder {
            BuilderKind::Herokuish => "start-cmd",
            BuilderKind::Dockerfile | BuilderKind::Null => "dockerfile-start-cmd",
        };
        let text = verbs::ps::CONCERN
            .effective(self, &release.app, key)
            .await?;
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    }

    /// Opens web's port on every address of the host, where an app asks for that.
    async fn publish_web(&self, app: &AppName, settings: &mut AppSettings) -> Outcome {
        let network = &verbs::network::CONCERN;
        if network.effective(self, app, "bind-all-interfaces").await? != "true" {
            return Ok(());
        }
        let port = PublishedPort {
            address: None,
            host: None,
            container: sarsen_domain::health::web_port(&settings.ports),
            udp: false,
        };
        let web = settings.flags.entry(ProcessType::web());
        let web = web.or_insert_with(|| settings.flags_default.clone());
        web.publish.push(port);
        Ok(())
    }

    /// What runs in a container when no command is given, if something was chosen.
    pub(crate) async fn app_shell(&self, app: &AppName) -> Outcome<Option<String>> {
        let scheduler = &verbs::scheduler::CONCERN;
        let shell = scheduler.effective(self, app, "shell").await?;
        Ok(Some(shell).filter(|shell| !shell.is_empty()))
    }

    /// The ports that the live release asks for, and those that a certificate adds.
    pub(crate) async fn detected_ports(&self, app: &AppName) -> Outcome<Vec<PortMapping>> {
        let live = self.store.releases().live(app).await?;
        let detected = live
            .map(|release| release.detected_ports)
            .unwrap_or_default();
        if self.store.certificates().exists(app).await? {
            return Ok(with_https(&detected));
        }
        Ok(detected)
    }
}

/// `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:10`.
pub(crate) fn parse_restart_policy(text: &str) -> Result<RestartPolicy, Invalid> {
    let invalid = || {
        Invalid::new(format!(
            "Invalid restart policy '{}': use no, always, unless-stopped, on-failure or on-failure:10",
            text.escape_debug()
        ))
    };
    match text.split_once(':') {
        None => match text {
            "no" => Ok(RestartPolicy::No),
            "always" => Ok(RestartPolicy::Always),
            "unless-stopped" => Ok(RestartPolicy::UnlessStopped),
            "on-failure" => Ok(RestartPolicy::OnFailure(0)),
            _ => Err(invalid()),
        },
        Some(("on-failure", count)) => count
            .parse()
            .map(RestartPolicy::OnFailure)
            .map_err(|_| invalid()),
        Some(_) => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies() {
        assert_eq!(
            parse_restart_policy("on-failure:10").unwrap(),
            RestartPolicy::OnFailure(10)
        );
        assert_eq!(
            parse_restart_policy("always").unwrap(),
            RestartPolicy::Always
        );
        for bad in ["", "never", "on-failure:x", "always:3", "no; rm"] {
            assert!(parse_restart_policy(bad).is_err(), "{bad}");
        }
    }
}
