//! What a deploy is asked to do: the release, the instances, the app's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sarsen_domain::{
    AppName, Check, ContainerId, ContainerSettings, Domain, PortMapping, ProcessIndex, ProcessType,
    Release,
};
use sarsen_runtime::{NetworkPlace, RestartPolicy};

/// One deploy.
#[derive(Clone, Copy)]
pub struct DeployPlan<'a> {
    pub release: &'a Release,
    /// The instances to start; the order does not matter.
    pub instances: &'a [PlannedInstance],
    pub settings: &'a AppSettings,
}

/// One container to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedInstance {
    /// The store's row.
    pub id: i64,
    pub process: ProcessType,
    /// From 1.
    pub index: ProcessIndex,
}

impl PlannedInstance {
    /// `web.1`
    pub fn dyno(&self) -> String {
        format!("{}.{}", self.process, self.index)
    }
}

/// What an app's properties say of its containers.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// Laid over the release's config.
    pub env_extra: Vec<(String, String)>,
    /// Of containers that have become live; a candidate is never restarted.
    pub restart: RestartPolicy,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout: u32,
    /// The size at which a container's log is cut; `None` for no limit.
    pub log_max_size: Option<String>,
    /// Limits, mounts and docker flags of deployed containers, by process type.
    pub flags: BTreeMap<ProcessType, ContainerSettings>,
    /// Those of the types that `flags` does not name.
    pub flags_default: ContainerSettings,
    /// Those of single containers, where they differ.
    pub flags_of_one: BTreeMap<(ProcessType, ProcessIndex), ContainerSettings>,
    /// Those of one-off containers.
    pub run_flags: ContainerSettings,
    /// How many processes and threads a container may have.
    pub pids_limit: i64,
    /// Whether the engine's init process is PID 1.
    pub init: bool,
    /// The effective mappings; the first that is not UDP gives web's PORT.
    pub ports: Vec<PortMapping>,
    /// The startup checks that app.json gives, by process type.
    pub checks: BTreeMap<ProcessType, Vec<Check>>,
    /// Process types whose checks are not made.
    pub check_mode: BTreeMap<ProcessType, CheckMode>,
    /// Applies to the types that `check_mode` does not name.
    pub check_mode_default: CheckMode,
    /// How long a web process without checks of its own may take until it listens.
    pub health_window: Duration,
    /// Sent as Host by HTTP checks.
    pub app_host: Option<Domain>,
    /// Whether clients reach the app by HTTPS: HTTP checks then say so, as the router would.
    pub https: bool,
    /// How many instances of one process type start at the same time.
    pub parallel: usize,
    /// How many process types start at the same time, once web runs.
    pub parallel_types: usize,
    /// What a one-off container runs when no command is given; `None` for the shell that its image has.
    pub shell: Option<String>,
    /// The network that containers are on instead of the engine's default one.
    pub initial_network: Option<String>,
    /// What is put behind `APP.PROCESS`, the name that others on a network find a container by.
    pub tld: Option<String>,
    /// The same for types that app.json speaks of.
    pub max_parallel: BTreeMap<ProcessType, usize>,
    /// Run in place of the image's and the Procfile's commands.
    pub start_command: Option<String>,
    /// Networks that containers are on besides that one, from their first moment.
    pub networks: Vec<String>,
    /// Networks that deployed containers join once they serve.
    pub later_networks: Vec<String>,
    /// Live containers of types with [`CheckMode::Disabled`]: they are stopped before new ones start, and started
    /// again when the deploy fails.
    pub stop_first: BTreeMap<ProcessType, BTreeSet<ContainerId>>,
}

/// Whether new containers are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckMode {
    /// They are.
    #[default]
    Enabled,
    /// They are not, but old ones serve until new ones run.
    Skipped,
    /// They are not, and old ones stop first.
    Disabled,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            env_extra: Vec::new(),
            restart: RestartPolicy::OnFailure(10),
            stop_timeout: 30,
            log_max_size: Some("10m".to_owned()),
            flags: BTreeMap::new(),
            flags_default: ContainerSettings::default(),
            flags_of_one: BTreeMap::new(),
            run_flags: ContainerSettings::default(),
            pids_limit: 4096,
            init: true,
            ports: Vec::new(),
            checks: BTreeMap::new(),
            check_mode: BTreeMap::new(),
            check_mode_default: CheckMode::Enabled,
            health_window: Duration::from_secs(60),
            app_host: None,
            https: false,
            parallel: 4,
            parallel_types: 1,
            shell: None,
            initial_network: None,
            tld: None,
            max_parallel: BTreeMap::new(),
            start_command: None,
            networks: Vec::new(),
            later_networks: Vec::new(),
            stop_first: BTreeMap::new(),
        }
    }
}

impl AppSettings {
    /// Whether containers of this type are checked.
    pub fn check_mode(&self, process: &ProcessType) -> CheckMode {
        self.check_mode
            .get(process)
            .copied()
            .unwrap_or(self.check_mode_default)
    }

    /// Limits, mounts and docker flags of this type's containers.
    pub fn flags(&self, process: &ProcessType) -> &ContainerSettings {
        self.flags.get(process).unwrap_or(&self.flags_default)
    }

    /// Limits, mounts and docker flags of this very container.
    pub fn flags_of(&self, process: &ProcessType, index: ProcessIndex) -> &ContainerSettings {
        let own = self.flags_of_one.get(&(process.clone(), index));
        own.unwrap_or_else(|| self.flags(process))
    }

    /// What the engine does when a live container of this type exits.
    pub fn restart(&self, process: &ProcessType) -> RestartPolicy {
        let flag = self.flags(process).restart;
        flag.map_or(self.restart, RestartPolicy::from)
    }

    /// The names that others on a network find containers of this type by.
    pub fn aliases(&self, app: &AppName, process: &str) -> Vec<String> {
        let name = format!("{app}.{process}");
        vec![match &self.tld {
            Some(tld) => format!("{name}.{tld}"),
            None => name,
        }]
    }

    /// The networks that a container joins before it starts.
    pub fn joined(&self, app: &AppName, process: &str) -> Vec<NetworkPlace> {
        self.places(&self.networks, app, process)
    }

    /// The networks that a container joins once it serves.
    pub fn joined_later(&self, app: &AppName, process: &str) -> Vec<NetworkPlace> {
        self.places(&self.later_networks, app, process)
    }

    fn places(&self, networks: &[String], app: &AppName, process: &str) -> Vec<NetworkPlace> {
        let place = |network: &String| NetworkPlace {
            network: network.clone(),
            aliases: self.aliases(app, process),
        };
        networks.iter().map(place).collect()
    }

    /// How many containers of this type start at the same time.
    pub fn parallel(&self, process: &ProcessType) -> usize {
        let own = self.max_parallel.get(process).copied();
        own.unwrap_or(self.parallel).max(1)
    }

    /// The grace period.
    pub fn stop_grace(&self) -> Duration {
        Duration::from_secs(u64::from(self.stop_timeout))
    }
}
