//! An engine that lives in memory: containers, images, volumes and events without a daemon, for tests of the callers.
//!
//! It keeps the promises of the trait (states, events, idempotence, errors) and does what a [`Behaviour`] says
//! where a real engine would run a program. Containers get an address of 127.0.0.0/8, so a test may listen there;
//! ports in [`Behaviour::listens`] are served by the fake itself.

mod archive;
mod containers;
mod engine;
mod images;
mod listen;
mod networks;
mod state;
mod streams;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sarsen_domain::{ContainerId, ImageRef};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{
    ContainerEventKind, ContainerInfo, EngineInfo, ImageHealth, ImageInfo, Result, RuntimeError,
    StdStream,
};
use state::State;

/// What the program in an image does.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Ends at once with this code; runs until it is stopped when `None`.
    pub exit: Option<i64>,
    /// Written to standard output at each start.
    pub log_lines: Vec<String>,
    /// TCP ports it answers HTTP on, at the container's address.
    pub listens: Vec<u16>,
    /// The status of those answers; the body is the container's name.
    pub http_status: u16,
    /// What its HEALTHCHECK says right after the start.
    pub health: ImageHealth,
    /// The engine cannot start it, and says this.
    pub start_error: Option<String>,
    /// What commands do that are run in it. The first that matches counts; without a match a command says nothing
    /// and ends with 0.
    pub execs: Vec<ScriptedExec>,
    /// Gives everything that comes on standard input back on standard output, and ends with 0 (or `exit`) when
    /// standard input does. Only for containers made with `stdin: true`.
    pub echo_stdin: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            exit: None,
            log_lines: Vec::new(),
            listens: Vec::new(),
            http_status: 200,
            health: ImageHealth::None,
            start_error: None,
            execs: Vec::new(),
            echo_stdin: false,
        }
    }
}

/// What a command does that is run in a container.
#[derive(Debug, Clone, Default)]
pub struct ScriptedExec {
    /// Found in the command's words, joined with spaces.
    pub matches: String,
    /// Written to standard output.
    pub output: String,
    /// Written to standard error.
    pub error_output: String,
    /// Gives standard input back on standard output before it ends.
    pub echo_stdin: bool,
    /// Its exit code.
    pub exit: i64,
}

/// One method of the trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Info,
    Create,
    Start,
    Stop,
    Remove,
    Rename,
    SetRestartPolicy,
    Inspect,
    Find,
    List,
    Wait,
    Logs,
    Attach,
    Resize,
    Exec,
    ResizeExec,
    ExecExitCode,
    Upload,
    Download,
    Events,
    Build,
    Commit,
    Image,
    Pull,
    Push,
    CheckLogin,
    Load,
    Tag,
    Images,
    RemoveImage,
    EnsureVolume,
    RemoveVolume,
    EnsureNetwork,
    Networks,
    RemoveNetwork,
    ConnectNetwork,
}

/// A call that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub operation: Operation,
    /// The container's name, the image, the volume, or the command's words.
    pub target: String,
}

/// The engine in memory; clones are handles on the same one.
#[derive(Clone)]
pub struct FakeRuntime {
    state: Arc<Mutex<State>>,
    /// Counts changes, so that followers of logs, events and exits know when to look again.
    changed: Arc<watch::Sender<u64>>,
    tasks: TaskTracker,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeRuntime {
    /// An engine without containers or images.
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new())),
            changed: Arc::new(watch::Sender::new(0)),
            tasks: TaskTracker::new(),
        }
    }

    /// Adds an image of this name when there is none, and says what containers made from it do. A name without a
    /// tag means `:latest`. What is said of a name holds for the image that a later build or tag gives that name.
    pub fn behave(&self, image: &str, behaviour: Behaviour) {
        self.add_image(image);
        self.change(|state| state.behave(image, behaviour));
    }

    /// Adds an image of this name, or gives the id of the one that is there.
    pub fn add_image(&self, name: &str) -> ImageRef {
        self.change(|state| state.add_image(name))
    }

    /// Changes what is known of an image: `EXPOSE`, labels, environment, …
    pub fn edit_image(&self, name: &str, edit: impl FnOnce(&mut ImageInfo)) -> Result<()> {
        self.change(|state| state.image_mut(name).map(edit))
    }

    /// Adds a container that somebody else made, as described, without events.
    pub fn add_container(&self, info: ContainerInfo) {
        self.change(|state| state.adopt(info));
    }

    /// Makes the next call of this method fail; several faults queue up.
    pub fn fail_next(&self, operation: Operation, error: RuntimeError) {
        self.change(|state| state.fail_next(operation, error));
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The targets of all calls of one method, in order.
    pub fn calls_of(&self, operation: Operation) -> Vec<String> {
        let mut calls = self.calls();
        calls.retain(|call| call.operation == operation);
        calls.into_iter().map(|call| call.target).collect()
    }

    /// All containers, oldest first.
    pub fn containers(&self) -> Vec<ContainerInfo> {
        self.state().infos()
    }

    /// All images.
    pub fn image_list(&self) -> Vec<ImageInfo> {
        self.state().images.clone()
    }

    /// Names of all volumes.
    pub fn volumes(&self) -> Vec<String> {
        self.state().volumes.keys().cloned().collect()
    }

    /// Names of all networks that were made.
    pub fn networks(&self) -> Vec<String> {
        self.state().networks.keys().cloned().collect()
    }

    /// The networks that a container is on, in the order that it joined them.
    pub fn networks_of(&self, id: &ContainerId) -> Result<Vec<String>> {
        self.look(|state| Ok(state.container(id)?.networks.clone()))
    }

    /// The container's program ends by itself with this code.
    pub fn exit(&self, id: &ContainerId, code: i64) -> Result<()> {
        self.change(|state| state.end(id, code))
    }

    /// The container's HEALTHCHECK changes its mind.
    pub fn set_health(&self, id: &ContainerId, health: ImageHealth) -> Result<()> {
        self.change(|state| {
            state.container_mut(id)?.info.health = health;
            state.emit(id, ContainerEventKind::Health(health));
            Ok(())
        })
    }

    /// The container's program writes a line.
    pub fn log(&self, id: &ContainerId, stream: StdStream, line: &str) -> Result<()> {
        self.change(|state| state.write(id, stream, format!("{line}\n").into()))
    }

    /// The engine stops answering: every call fails and event streams end, until [`FakeRuntime::come_back`].
    pub fn go_away(&self) {
        self.change(|state| state.away = true);
    }

    /// The engine answers again.
    pub fn come_back(&self) {
        self.change(|state| state.away = false);
    }

    /// What it has.
    pub const CPUS: u32 = 8;

    fn engine_info() -> EngineInfo {
        EngineInfo {
            version: "0.0.0-fake".to_owned(),
            api_version: "1.41".to_owned(),
            buildkit: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked in another thread says enough by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state())
    }

    /// Changes the state, then wakes everybody who follows it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.state());
        self.changed.send_modify(|count| *count += 1);
        outcome
    }

    /// Records a call; fails when the engine is away or the test asked for a fault.
    fn enter(&self, operation: Operation, target: &str) -> Result<()> {
        self.state().enter(operation, target)
    }
}

#[cfg(test)]
mod tests;
