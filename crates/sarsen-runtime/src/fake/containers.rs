//! Containers of the fake engine: made, started, stopped, renamed, removed, waited for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sarsen_domain::docker_flags::NetworkMode;
use sarsen_domain::{ContainerId, ContainerName};

use super::state::{Container, State, created, gone_away, invalid, no_such_image};
use super::{FakeRuntime, listen};
use crate::{
    ContainerEventKind, ContainerPort, ContainerSpec, ContainerStatus, Result, RuntimeError,
};

impl FakeRuntime {
    pub(super) fn create_container(&self, spec: &ContainerSpec) -> Result<ContainerId> {
        self.change(|state| state.create(spec))
    }

    pub(super) fn start_container(&self, id: &ContainerId) -> Result<()> {
        let (running, name, behaviour) = self.look(|state| {
            let info = &state.container(id)?.info;
            let behaviour = state.behaviour(&info.image);
            Ok((info.is_running(), info.name.clone(), behaviour))
        })?;
        if running {
            return Ok(());
        }
        if let Some(reason) = behaviour.start_error {
            self.change(|state| {
                let container = state.container_mut(id)?;
                container.info.error = Some(reason.clone());
                container.info.exit_code = Some(127);
                Ok(())
            })?;
            return Err(RuntimeError::Engine(reason));
        }
        let (address, listeners) = listen::bind(&behaviour.listens)?;
        let running = self.change(|state| {
            state.run(id)?;
            let container = state.container_mut(id)?;
            let networks = container.networks.iter().cloned();
            container.info.addresses = networks.map(|n| (n, IpAddr::V4(address))).collect();
            Ok(container.running.clone())
        })?;
        for listener in listeners {
            let answer = listen::answer(behaviour.http_status, &name);
            self.tasks
                .spawn(listen::serve(listener, answer, running.clone()));
        }
        // With its input open it ends when the input does: see `streams`.
        match behaviour.exit {
            Some(code) if !self.reads_stdin(id) => self.exit(id, code),
            _ => Ok(()),
        }
    }

    fn reads_stdin(&self, id: &ContainerId) -> bool {
        self.look(|state| {
            let container = state.container(id);
            container.is_ok_and(|c| c.spec.stdin && state.behaviour(&c.info.image).echo_stdin)
        })
    }

    pub(super) fn stop_container(&self, id: &ContainerId) -> Result<()> {
        self.change(|state| match state.container(id) {
            Ok(container) if alive(container.info.status) => state.stop(id),
            _ => Ok(()),
        })
    }

    pub(super) fn remove_container(&self, id: &ContainerId) -> Result<()> {
        self.change(|state| {
            let Ok(container) = state.container_mut(id) else {
                return Ok(());
            };
            container.spec.auto_remove = false;
            if alive(container.info.status) {
                state.stop(id)?;
            }
            state.forget(id);
            Ok(())
        })
    }

    pub(super) fn rename_container(&self, id: &ContainerId, name: &ContainerName) -> Result<()> {
        self.change(|state| {
            state.container(id)?;
            state.name_is_free(name)?;
            let container = state.container_mut(id)?;
            container.info.name = name.to_string();
            state.emit(id, ContainerEventKind::Rename);
            Ok(())
        })
    }

    /// The exit code of a program that has ended, else that of the next end, whether it has been started or not.
    pub(super) async fn wait_for_end(&self, id: &ContainerId) -> Result<i64> {
        let mut changes = self.changed.subscribe();
        let (ended, from) = self.look(|state| {
            let info = &state.container(id)?.info;
            let over = matches!(info.status, ContainerStatus::Exited | ContainerStatus::Dead);
            Ok((info.exit_code.filter(|_| over), state.events.len()))
        })?;
        if let Some(code) = ended {
            return Ok(code);
        }
        loop {
            if let Some(code) = self.look(|state| state.end_since(id, from))? {
                return Ok(code);
            }
            changes.changed().await.map_err(|_closed| gone_away())?;
        }
    }
}

impl State {
    fn create(&mut self, spec: &ContainerSpec) -> Result<ContainerId> {
        let image = self.image_by(&spec.image).cloned();
        let image = image.ok_or_else(|| no_such_image(&spec.image))?;
        if let Some(name) = &spec.name {
            self.name_is_free(name)?;
        }
        if let Some(place) = &spec.network {
            self.network_is_there(&place.network)?;
        }
        for network in named_networks(spec) {
            self.network_is_there(network)?;
        }
        let id = ContainerId::parse(&self.fresh_id()).map_err(|error| invalid(&error))?;
        let name = match &spec.name {
            Some(name) => name.to_string(),
            None => format!("nameless_{}", id.short()),
        };
        let mut info = created(id.clone(), name, spec);
        info.env.extend(image.env);
        for (key, value) in image.labels {
            info.labels.entry(key).or_insert(value);
        }
        let exposed = spec.expose.iter().map(|port| (*port, false));
        for (port, udp) in exposed.chain(image.exposed) {
            info.ports.push(ContainerPort {
                port,
                udp,
                published: None,
            });
        }
        self.containers.push(Container::new(info, spec.clone()));
        Ok(id)
    }

    fn end_since(&self, id: &ContainerId, from: usize) -> Result<Option<i64>> {
        if self.away {
            return Err(gone_away());
        }
        let mut later = self.events.iter().skip(from);
        Ok(later.find_map(|event| {
            let ContainerEventKind::Die { exit_code } = event.kind else {
                return None;
            };
            (event.id == *id).then_some(exit_code)
        }))
    }
}

/// The networks that flags put a container on.
pub(super) fn named_networks(spec: &ContainerSpec) -> impl Iterator<Item = &str> {
    spec.flags
        .networks
        .iter()
        .filter_map(|network| match network {
            NetworkMode::Named(name) => Some(name.as_str()),
            NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => None,
        })
}

/// Whether stopping it means anything.
fn alive(status: ContainerStatus) -> bool {
    matches!(
        status,
        ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Restarting
    )
}

/// Whether every one of these (`key` or `key=value`) is among the labels.
pub(super) fn carries(labels: &BTreeMap<String, String>, wanted: &[String]) -> bool {
    wanted.iter().all(|wanted| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|has| has == value),
        None => labels.contains_key(wanted),
    })
}
