//! Answers told from the store and the catalog.

use std::net::{Ipv4Addr, TcpListener};

use sarsen_domain::{AppName, Branch, PortMapping, ProcessType, Scheme, Service};
use sarsen_runtime::ContainerStatus;

use super::{line, lines};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::Call;
use crate::verbs;

/// A port that nobody listens on now.
pub(super) fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?
        .local_addr()?
        .port())
}

/// What a question about yes or no comes to: an exit code.
fn yes_if(holds: Option<()>) -> Outcome {
    holds.ok_or_else(|| Failure::silent(1))
}

impl Control {
    /// What is known of an app, by the name of the trigger that asks.
    pub(super) async fn tell(&self, call: &mut Call, trigger: &str, words: &[String]) -> Outcome {
        let text = |index: usize| words.get(index).map_or("", String::as_str);
        // The schedulers' triggers begin with whose turn it is.
        let at = usize::from(trigger.starts_with("scheduler-"));
        let app = self.named(text(at)).await?;
        match trigger {
            "certs-exists" => {
                let there = self.store.certificates().exists(&app).await?;
                call.out.line(if there { "true" } else { "false" }).await
            }
            "certs-get" => {
                let show = ["certs:show", app.as_str(), text(1)].map(str::to_owned);
                self.stand_in(call, &show).await
            }
            "domains-list" => {
                let domains = self.app_domains(&app).await?;
                lines(call, domains.iter().map(ToString::to_string)).await
            }
            "domains-vhost-enabled" => {
                yes_if((self.store.domains().vhosts_enabled(&app).await?).then_some(()))
            }
            "git-deploy-branch" => {
                let branch = self.property("git", &app, "deploy-branch").await?;
                line(call, if branch.is_empty() { "master" } else { &branch }).await
            }
            "git-has-code" => yes_if(self.has_code(&app, text(1)).await?.then_some(())),
            "git-revision" => {
                let live = self.store.releases().live(&app).await?;
                let commit = live.and_then(|release| release.commit);
                line(call, commit.as_ref().map_or("", |commit| commit.as_str())).await
            }
            _ => self.tell_of_routes(call, trigger, (&app, words)).await,
        }
    }

    /// Whether a branch has a commit. Without a name it is the one that is deployed, and an image counts that was brought
    /// in place of code.
    async fn has_code(&self, app: &AppName, branch: &str) -> Outcome<bool> {
        if !branch.is_empty() {
            let head = self.repos.head(app, &Branch::parse(branch)?)?;
            return Ok(head.is_some());
        }
        let branch = self.branch_to_deploy(app).await?;
        let is_there = self.repos.head(app, &branch)?.is_some();
        Ok(is_there || self.store.releases().live(app).await?.is_some())
    }

    async fn tell_of_routes(
        &self,
        call: &mut Call,
        trigger: &str,
        (app, words): (&AppName, &[String]),
    ) -> Outcome {
        let text = |index: usize| words.get(index).map_or("", String::as_str);
        match trigger {
            "ports-get" => {
                let ports = self.ports_of(app).await?;
                match text(1) {
                    "json" => call.out.line(&ports_json(&ports)).await,
                    _ => lines(call, ports.iter().map(ToString::to_string)).await,
                }
            }
            "proxy-is-enabled" => {
                let disabled = self.property("proxy", app, "disabled").await?;
                let enabled = if disabled == "true" { "false" } else { "true" };
                call.out.line(enabled).await
            }
            "proxy-type" => {
                let kind = self.property("proxy", app, "type").await?;
                call.out
                    .line(if kind.is_empty() { "nginx" } else { &kind })
                    .await
            }
            _ => self.tell_of_processes(call, trigger, (app, words)).await,
        }
    }

    async fn tell_of_processes(
        &self,
        call: &mut Call,
        trigger: &str,
        (app, words): (&AppName, &[String]),
    ) -> Outcome {
        let text = |index: usize| words.get(index).map_or("", String::as_str);
        match trigger {
            "network-get-listeners" => {
                let listeners = self.listeners(app, text(1));
                line(call, &listeners.join(" ")).await
            }
            "network-get-ipaddr" => {
                let address = self.address_of(app, text(1), text(2));
                line(call, &address.unwrap_or_default()).await
            }
            "procfile-exists" => {
                let live = self.store.releases().live(app).await?;
                yes_if((live.is_some_and(|release| !release.procfile.is_empty())).then_some(()))
            }
            "procfile-get-command" => {
                let process = ProcessType::parse(text(1))?;
                let live = self.store.releases().live(app).await?;
                let command = live
                    .as_ref()
                    .and_then(|release| release.procfile.command(&process))
                    .unwrap_or_default();
                let port = Some(text(2)).filter(|port| !port.is_empty());
                line(call, &command.replace("$PORT", port.unwrap_or("5000"))).await
            }
            "ps-current-scale" => {
                let formation = self.store.formation().get(app).await?;
                let rows = formation
                    .iter()
                    .map(|(process, count)| format!("{process}={count}"));
                lines(call, rows).await
            }
            "scheduler-is-deployed" => {
                yes_if((self.store.apps().get(app).await?.deployed).then_some(()))
            }
            "scheduler-app-status" => {
                let status = self.status_of(app).await?;
                call.out.line(&status).await
            }
            "docker-args-build" | "docker-args-deploy" | "docker-args-run" => {
                let phase = trigger.rsplit('-').next().unwrap_or_default();
                let flags = self.own_flags(app, phase).await?;
                line(call, &flags).await
            }
            other => Err(Failure::new(format!("There is no answer to {other}"))),
        }
    }

    /// A property as it holds for an app, by the names that Dokku gives: `APP KEY`, or more words for resources.
    pub(super) async fn property_of(
        &self,
        plugin: &str,
        app: &str,
        words: &[String],
    ) -> Outcome<String> {
        let app = self.named(app).await?;
        let text = |index: usize| words.get(index).map_or("", String::as_str);
        if plugin == "resource" {
            let (process, kind, key) = (text(1), text(2), text(3));
            let own = self
                .property(plugin, &app, &format!("{process}.{kind}.{key}"))
                .await?;
            if !own.is_empty() {
                return Ok(own);
            }
            return self.property(plugin, &app, &format!("{kind}.{key}")).await;
        }
        let key = text(1);
        let key = key.strip_prefix("computed-").unwrap_or(key);
        let set = self.property(plugin, &app, key).await?;
        if !set.is_empty() {
            return Ok(set);
        }
        // What holds without a word of the user's.
        match verbs::concern(plugin) {
            Some(concern) if concern.has(key) => concern.effective(self, &app, key).await,
            Some(_) | None => Ok(String::new()),
        }
    }

    async fn property(&self, plugin: &str, app: &AppName, key: &str) -> Outcome<String> {
        let value = self.store.properties().effective(app, plugin, key).await?;
        Ok(value.unwrap_or_default())
    }

    async fn ports_of(&self, app: &AppName) -> Outcome<Vec<PortMapping>> {
        let own = self.store.ports().list(app).await?;
        if !own.is_empty() {
            return Ok(own);
        }
        let detected = self.detected_ports(app).await?;
        let usual = PortMapping {
            scheme: Scheme::Http,
            host: 80,
            container: 5000,
        };
        Ok(match detected.is_empty() {
            true => vec![usual],
            false => detected,
        })
    }

    /// `ip:port` of each running process of a type.
    fn listeners(&self, app: &AppName, process: &str) -> Vec<String> {
        let catalog = self.registry.catalog();
        let services = catalog.by_app(app).filter(|one| is_of(one, process));
        services.map(|one| one.address.to_string()).collect()
    }

    /// The address of one container of a process type, or of the first of them.
    fn address_of(&self, app: &AppName, process: &str, container: &str) -> Option<String> {
        let catalog = self.registry.catalog();
        let services = catalog.by_app(app).filter(|one| is_of(one, process));
        let mut meant = services.filter(|one| one.container.as_str().starts_with(container));
        meant.next().map(|one| one.address.ip().to_string())
    }

    /// `3 true`: how many run, and whether all, some or none do.
    async fn status_of(&self, app: &AppName) -> Outcome<String> {
        let live = self.live_instances(app).await?;
        let running = self.deployer.processes(app).await?;
        let runs = |id| {
            running
                .iter()
                .any(|state| &state.container == id && state.status == ContainerStatus::Running)
        };
        let up = live
            .iter()
            .filter(|instance| instance.container.as_ref().is_some_and(runs))
            .count();
        let word = match up {
            0 => "false",
            up if up == live.len() => "true",
            _ => "mixed",
        };
        Ok(format!("{up} {word}"))
    }

    /// The flags that users have given for a phase.
    async fn own_flags(&self, app: &AppName, phase: &str) -> Outcome<String> {
        let options = self.store.docker_options().list(app).await?.into_iter();
        let mine = options.filter(|one| one.phase.as_str() == phase && one.process.is_none());
        Ok(mine.map(|one| one.option).collect::<Vec<_>>().join(" "))
    }
}

/// Whether it is a service of this process type, or of any when none is named.
fn is_of(service: &Service, process: &str) -> bool {
    let owner = service.owner.as_ref();
    owner.is_some_and(|owner| process.is_empty() || owner.process.as_str() == process)
}

fn ports_json(ports: &[PortMapping]) -> String {
    let row = |port: &PortMapping| {
        serde_json::json!({
            "scheme": port.scheme.to_string(), "host_port": port.host, "container_port": port.container,
        })
    };
    serde_json::Value::Array(ports.iter().map(row).collect()).to_string()
}
