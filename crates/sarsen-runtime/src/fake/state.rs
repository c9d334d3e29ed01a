//! Everything the fake engine holds, and how it changes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sarsen_domain::{ContainerId, ContainerName, ImageRef};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::{Behaviour, Call, Operation};
use crate::{
    ContainerEvent, ContainerEventKind, ContainerInfo, ContainerSpec, ContainerStatus, ImageHealth,
    ImageInfo, LogChunk, NetworkInfo, RestartPolicy, Result, RuntimeError, StdStream,
};

/// The exit code of a program that SIGTERM ended.
const TERMINATED: i64 = 143;

pub(super) struct State {
    pub(super) away: bool,
    pub(super) calls: Vec<Call>,
    pub(super) containers: Vec<Container>,
    pub(super) images: Vec<ImageInfo>,
    pub(super) volumes: BTreeMap<String, Vec<(String, String)>>,
    pub(super) networks: BTreeMap<String, NetworkInfo>,
    pub(super) events: Vec<ContainerEvent>,
    /// How often somebody asked what a container uses, by its id.
    pub(super) looks: BTreeMap<String, u32>,
    /// Exit codes of commands, by exec id; `None` while they run.
    pub(super) execs: BTreeMap<String, Option<i64>>,
    behaviours: BTreeMap<String, Behaviour>,
    faults: Vec<(Operation, VecDeque<RuntimeError>)>,
    serial: u64,
    last_instant: i64,
}

/// A container and what only the fake knows of it.
pub(super) struct Container {
    pub(super) info: ContainerInfo,
    pub(super) spec: ContainerSpec,
    pub(super) logs: Vec<LogChunk>,
    pub(super) files: BTreeMap<String, Bytes>,
    /// The networks it is on, in the order that it joined them.
    pub(super) networks: Vec<String>,
    /// Ends what listens for it; made anew at each start.
    pub(super) running: CancellationToken,
}

impl State {
    /// Counts a look at what a container uses.
    pub(super) fn look_at(&mut self, id: &ContainerId) -> u32 {
        let looks = self.looks.entry(id.to_string()).or_default();
        *looks += 1;
        *looks
    }

    pub(super) fn new() -> Self {
        Self {
            away: false,
            calls: Vec::new(),
            containers: Vec::new(),
            images: Vec::new(),
            volumes: BTreeMap::new(),
            networks: BTreeMap::new(),
            events: Vec::new(),
            looks: BTreeMap::new(),
            execs: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            faults: Vec::new(),
            serial: 0,
            last_instant: 0,
        }
    }

    pub(super) fn enter(&mut self, operation: Operation, target: &str) -> Result<()> {
        self.calls.push(Call {
            operation,
            target: target.to_owned(),
        });
        if self.away {
            return Err(gone_away());
        }
        let mut queues = self.faults.iter_mut();
        let queue = queues.find(|(of, _)| *of == operation);
        queue
            .and_then(|(_, errors)| errors.pop_front())
            .map_or(Ok(()), Err)
    }

    pub(super) fn fail_next(&mut self, operation: Operation, error: RuntimeError) {
        match self.faults.iter_mut().find(|(of, _)| *of == operation) {
            Some((_, errors)) => errors.push_back(error),
            None => self.faults.push((operation, VecDeque::from([error]))),
        }
    }

    /// A time that is later than every one before.
    pub(super) fn instant(&mut self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since_1970.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        self.last_instant = now.max(self.last_instant + 1);
        self.last_instant
    }

    /// 64 hex digits that nobody had before, spread over all of them as real ones are.
    pub(super) fn fresh_id(&mut self) -> String {
        self.serial += 1;
        let mut digits = String::with_capacity(64);
        let mut word = self.serial;
        for _ in 0..4 {
            word = word.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (word >> 29);
            digits.push_str(&format!("{word:016x}"));
        }
        digits
    }

    pub(super) fn emit(&mut self, id: &ContainerId, kind: ContainerEventKind) {
        let at = self.instant();
        self.events.push(ContainerEvent {
            id: id.clone(),
            kind,
            at,
        });
    }

    // ---- behaviours -------------------------------------------------------------------------------------------

    pub(super) fn behave(&mut self, image: &str, behaviour: Behaviour) {
        self.behaviours.insert(with_tag(image), behaviour);
    }

    /// What was said of the image by the name it was asked for, else by any of its names.
    pub(super) fn behaviour(&self, image: &str) -> Behaviour {
        if let Some(behaviour) = self.behaviours.get(&with_tag(image)) {
            return behaviour.clone();
        }
        let names = self.image_by(image).map(|info| info.tags.clone());
        let mut names = names.unwrap_or_default().into_iter();
        let found = names.find_map(|name| self.behaviours.get(&name).cloned());
        found.unwrap_or_default()
    }

    // ---- images -----------------------------------------------------------------------------------------------

    pub(super) fn image_by(&self, name: &str) -> Option<&ImageInfo> {
        let tagged = with_tag(name);
        let mut images = self.images.iter();
        images.find(|image| image.id.as_str() == name || image.tags.contains(&tagged))
    }

    pub(super) fn image_mut(&mut self, name: &str) -> Result<&mut ImageInfo> {
        let tagged = with_tag(name);
        let mut images = self.images.iter_mut();
        images
            .find(|image| image.id.as_str() == name || image.tags.contains(&tagged))
            .ok_or_else(|| no_such_image(name))
    }

    pub(super) fn add_image(&mut self, name: &str) -> ImageRef {
        match self.image_by(name) {
            Some(image) => image.id.clone(),
            None => self.new_image(Some(name), BTreeMap::new()),
        }
    }

    /// Makes an image; the name, when given, moves to it.
    pub(super) fn new_image(
        &mut self,
        name: Option<&str>,
        labels: BTreeMap<String, String>,
    ) -> ImageRef {
        let digits = self.fresh_id();
        let id = image_id(&digits);
        self.images.push(ImageInfo {
            id: id.clone(),
            tags: Vec::new(),
            labels,
            exposed: Vec::new(),
            env: Vec::new(),
            entrypoint: Vec::new(),
            command: Vec::new(),
            workdir: String::new(),
            user: String::new(),
            has_healthcheck: false,
            size: 0,
            created_at: now_text(),
        });
        if let Some(name) = name {
            self.move_tag(name, &id);
        }
        id
    }

    pub(super) fn move_tag(&mut self, name: &str, to: &ImageRef) {
        let tagged = with_tag(name);
        for image in &mut self.images {
            image.tags.retain(|tag| *tag != tagged);
            if image.id == *to {
                image.tags.push(tagged.clone());
            }
        }
    }

    // ---- containers -------------------------------------------------------------------------------------------

    pub(super) fn infos(&self) -> Vec<ContainerInfo> {
        let infos = self.containers.iter().map(|container| &container.info);
        infos.cloned().collect()
    }

    pub(super) fn container(&self, id: &ContainerId) -> Result<&Container> {
        let mut containers = self.containers.iter();
        containers
            .find(|container| container.info.id == *id)
            .ok_or_else(|| no_such_container(id))
    }

    pub(super) fn container_mut(&mut self, id: &ContainerId) -> Result<&mut Container> {
        let mut containers = self.containers.iter_mut();
        containers
            .find(|container| container.info.id == *id)
            .ok_or_else(|| no_such_container(id))
    }

    /// For records of calls: the name when there is one, else the id.
    pub(super) fn name_of(&self, id: &ContainerId) -> String {
        let found = self.container(id);
        found.map_or_else(|_| id.to_string(), |container| container.info.name.clone())
    }

    pub(super) fn name_is_free(&self, name: &ContainerName) -> Result<()> {
        let mut containers = self.containers.iter();
        match containers.find(|container| container.info.name == name.as_str()) {
            Some(other) => Err(RuntimeError::Conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\".",
                other.info.id
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn adopt(&mut self, info: ContainerInfo) {
        let spec = ContainerSpec {
            image: info.image.clone(),
            ..ContainerSpec::default()
        };
        self.containers.push(Container::new(info, spec));
    }

    pub(super) fn write(
        &mut self,
        id: &ContainerId,
        stream: StdStream,
        bytes: Bytes,
    ) -> Result<()> {
        let logs = &mut self.container_mut(id)?.logs;
        logs.push(LogChunk { stream, bytes });
        Ok(())
    }

    /// The program ends by itself.
    pub(super) fn end(&mut self, id: &ContainerId, code: i64) -> Result<()> {
        self.finish(id, code)?;
        let container = self.container_mut(id)?;
        let again = match container.spec.restart {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure(0) => code != 0,
            RestartPolicy::OnFailure(most) => {
                code != 0 && container.info.restart_count < i64::from(most)
            }
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        };
        if !again {
            return self.forget_if_asked(id);
        }
        container.info.restart_count += 1;
        let image = container.info.image.clone();
        match self.behaviour(&image).exit {
            // Retries without an end would hang the test: it stays between two of them.
            Some(_) if !self.gives_up(id)? => {
                self.container_mut(id)?.info.status = ContainerStatus::Restarting;
                Ok(())
            }
            Some(code) => {
                self.run(id)?;
                self.end(id, code)
            }
            None => self.run(id),
        }
    }

    /// A person ended it.
    pub(super) fn stop(&mut self, id: &ContainerId) -> Result<()> {
        let restarting = self.container(id)?.info.status == ContainerStatus::Restarting;
        if restarting {
            self.container_mut(id)?.info.status = ContainerStatus::Exited;
        } else {
            self.emit(id, ContainerEventKind::Stopping);
            self.finish(id, TERMINATED)?;
        }
        self.forget_if_asked(id)
    }

    fn gives_up(&self, id: &ContainerId) -> Result<bool> {
        let restart = self.container(id)?.spec.restart;
        Ok(matches!(restart, RestartPolicy::OnFailure(most) if most > 0))
    }

    /// The program runs from now on.
    pub(super) fn run(&mut self, id: &ContainerId) -> Result<()> {
        let image = self.container(id)?.info.image.clone();
        let behaviour = self.behaviour(&image);
        self.serial += 1;
        let pid = u32::try_from(self.serial).unwrap_or(u32::MAX);
        let container = self.container_mut(id)?;
        container.info.status = ContainerStatus::Running;
        container.info.health = behaviour.health;
        container.info.pid = pid;
        container.info.exit_code = None;
        container.info.error = None;
        container.info.started_at = Some(now_text());
        container.running = CancellationToken::new();
        for line in &behaviour.log_lines {
            container.logs.push(LogChunk {
                stream: StdStream::Stdout,
                bytes: format!("{line}\n").into(),
            });
        }
        self.emit(id, ContainerEventKind::Start);
        Ok(())
    }

    fn finish(&mut self, id: &ContainerId, code: i64) -> Result<()> {
        let container = self.container_mut(id)?;
        container.info.status = ContainerStatus::Exited;
        container.info.exit_code = Some(code);
        container.info.pid = 0;
        container.info.addresses.clear();
        container.running.cancel();
        self.emit(id, ContainerEventKind::Die { exit_code: code });
        Ok(())
    }

    fn forget_if_asked(&mut self, id: &ContainerId) -> Result<()> {
        if self.container(id)?.spec.auto_remove {
            self.forget(id);
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, id: &ContainerId) {
        self.containers.retain(|container| container.info.id != *id);
        self.emit(id, ContainerEventKind::Destroy);
    }
}

impl Container {
    pub(super) fn new(info: ContainerInfo, spec: ContainerSpec) -> Self {
        let chosen = spec.network.as_ref().map(|place| place.network.clone());
        let flags = super::containers::named_networks(&spec).map(str::to_owned);
        let mut networks: Vec<_> = chosen.into_iter().chain(flags).collect();
        if networks.is_empty() {
            networks.push("bridge".to_owned());
        }
        Self {
            networks,
            info,
            spec,
            logs: Vec::new(),
            files: BTreeMap::new(),
            running: CancellationToken::new(),
        }
    }
}

/// A container that has been made and not started.
pub(super) fn created(id: ContainerId, name: String, spec: &ContainerSpec) -> ContainerInfo {
    ContainerInfo {
        id,
        name,
        image: spec.image.clone(),
        image_id: String::new(),
        command: spec
            .entrypoint
            .iter()
            .chain(&spec.command)
            .flatten()
            .cloned()
            .collect(),
        status: ContainerStatus::Created,
        health: ImageHealth::None,
        health_output: None,
        pid: 0,
        exit_code: None,
        oom_killed: false,
        error: None,
        restart_count: 0,
        env: spec.env.clone(),
        labels: spec.labels.clone(),
        addresses: BTreeMap::new(),
        ports: Vec::new(),
        host_network: false,
        network_of: None,
        tty: spec.tty,
        created_at: now_text(),
        started_at: None,
    }
}

/// `name` as engines list it: with a tag.
pub(super) fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') || name.contains('@') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

pub(super) fn gone_away() -> RuntimeError {
    RuntimeError::Unreachable("the fake engine is away".to_owned())
}

pub(super) fn no_such_image(name: &str) -> RuntimeError {
    RuntimeError::NotFound(format!("No such image: {name}"))
}

fn no_such_container(id: &ContainerId) -> RuntimeError {
    RuntimeError::NotFound(format!("No such container: {id}"))
}

pub(super) fn invalid(error: &sarsen_domain::Invalid) -> RuntimeError {
    RuntimeError::Engine(error.to_string())
}

fn image_id(digits: &str) -> ImageRef {
    let text = format!("sha256:{digits}");
    // Hex digits always make a reference; the fallback is never seen.
    ImageRef::parse(&text).unwrap_or_else(|_| unreachable!("{text} is an image reference"))
}

pub(super) fn now_text() -> String {
    let text = OffsetDateTime::now_utc().format(&Rfc3339);
    text.unwrap_or_default()
}
