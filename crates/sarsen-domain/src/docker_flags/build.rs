//! The flags of `docker build`.

use std::collections::BTreeMap;

use super::Takes::{Nothing, Value};
use super::values::{add_host, cpus, network, number, size, word};
use super::{Flag, NetworkMode, Refusal, many, one, pairs, switch};
use crate::{EnvKey, ImageRef};

/// What flags ask of a build with a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildFlags {
    /// `--build-arg`
    pub build_args: BTreeMap<String, String>,
    /// `--label`
    pub labels: BTreeMap<String, String>,
    /// `--file`: the Dockerfile's path in the source.
    pub file: Option<String>,
    /// `--target`
    pub target: Option<String>,
    /// `--no-cache`
    pub no_cache: bool,
    /// `--pull`
    pub pull: bool,
    /// `--cache-from`
    pub cache_from: Vec<String>,
    /// `--platform`
    pub platform: Option<String>,
    /// `--network`
    pub network: Option<NetworkMode>,
    /// `--add-host`, as `name:address`.
    pub add_hosts: Vec<String>,
    /// `--shm-size`, bytes.
    pub shm_size: Option<i64>,
    /// `--memory`, bytes.
    pub memory: Option<i64>,
    /// `--memory-swap`, bytes; -1 for no limit.
    pub memory_swap: Option<i64>,
    /// `--cpus`, billionths.
    pub nano_cpus: Option<i64>,
    /// `--cpu-shares`
    pub cpu_shares: Option<i64>,
    /// `--cpuset-cpus`
    pub cpuset_cpus: Option<String>,
}

impl BuildFlags {
    /// These flags with others laid over them.
    #[must_use]
    pub fn overlaid(mut self, over: Self) -> Self {
        macro_rules! replace { ($($field:ident),*) => { $(
            if over.$field.is_some() { self.$field = over.$field; }
        )* } }
        replace!(
            file,
            target,
            platform,
            network,
            shm_size,
            memory,
            memory_swap,
            nano_cpus,
            cpu_shares,
            cpuset_cpus
        );
        self.build_args.extend(over.build_args);
        self.labels.extend(over.labels);
        self.cache_from.extend(over.cache_from);
        self.add_hosts.extend(over.add_hosts);
        self.no_cache |= over.no_cache;
        self.pull |= over.pull;
        self
    }

    /// Whether the build is to be held to a share of the host.
    pub fn limits_resources(&self) -> bool {
        self.memory.is_some()
            || self.memory_swap.is_some()
            || self.nano_cpus.is_some()
            || self.cpu_shares.is_some()
            || self.cpuset_cpus.is_some()
    }

    /// What these flags reach on the host itself; see [`super::ContainerSettings::host_powers`].
    pub fn host_powers(&self) -> Vec<String> {
        let network = self.network.as_ref();
        network
            .and_then(NetworkMode::host_power)
            .into_iter()
            .collect()
    }

    /// What these flags reach beyond the app; see [`super::ContainerSettings::ties`].
    pub fn ties(&self) -> Vec<String> {
        let network = self.network.as_ref();
        network.and_then(NetworkMode::tie).into_iter().collect()
    }
}

/// What is honoured.
pub(super) const FLAGS: &[Flag<BuildFlags>] = &[
    (&["--build-arg"], Value, build_arg),
    (&["--label"], Value, pairs!(labels)),
    (&["--file", "-f"], Value, one!(file, inside)),
    (&["--target"], Value, one!(target, word)),
    (&["--no-cache"], Nothing, switch!(no_cache)),
    (&["--pull"], Nothing, switch!(pull)),
    (&["--cache-from"], Value, cache_from),
    (&["--platform"], Value, one!(platform, word)),
    (&["--network"], Value, one!(network, network)),
    (&["--add-host"], Value, many!(add_hosts, add_host)),
    (&["--shm-size"], Value, one!(shm_size, size)),
    (&["--memory", "-m"], Value, one!(memory, size)),
    (&["--memory-swap"], Value, swap),
    (&["--cpus"], Value, one!(nano_cpus, cpus)),
    (
        &["--cpu-shares", "-c"],
        Value,
        one!(cpu_shares, |v| number(v, 2, 262_144)),
    ),
    (&["--cpuset-cpus"], Value, one!(cpuset_cpus, word)),
];

pub(super) const REFUSED: &[Refusal] = &[
    (
        &[
            "--tag",
            "-t",
            "--output",
            "-o",
            "--load",
            "--push",
            "--iidfile",
            "--metadata-file",
        ],
        "the deploy names its image itself",
    ),
    (
        &["--secret", "--ssh"],
        "it names a file or an agent beside a docker client; buildpacks read config vars as files, and a Dockerfile takes values as --build-arg",
    ),
    (
        &[
            "--build-context",
            "--cache-to",
            "--builder",
            "--allow",
            "--sbom",
            "--provenance",
            "--attest",
        ],
        "it needs docker's buildx client",
    ),
    (
        &["--quiet", "-q", "--progress"],
        "the build's output is the deploy's",
    ),
    (
        &[
            "--squash",
            "--compress",
            "--isolation",
            "--security-opt",
            "--cgroup-parent",
            "--ulimit",
            "--rm",
            "--force-rm",
            "--disable-content-trust",
        ],
        "the engine's build interface does not take it here",
    ),
];

fn build_arg(flags: &mut BuildFlags, value: &str) -> Result<(), String> {
    let (key, value) = value.split_once('=').ok_or(
        "write it as NAME=value: there is no docker client whose environment could be asked",
    )?;
    let key = EnvKey::parse(key).map_err(|invalid| invalid.to_string())?;
    flags.build_args.insert(key.to_string(), value.to_owned());
    Ok(())
}

fn cache_from(flags: &mut BuildFlags, value: &str) -> Result<(), String> {
    let image = ImageRef::parse(value).map_err(|invalid| invalid.to_string())?;
    flags.cache_from.push(image.to_string());
    Ok(())
}

fn swap(flags: &mut BuildFlags, value: &str) -> Result<(), String> {
    flags.memory_swap = Some(if value == "-1" { -1 } else { size(value)? });
    Ok(())
}

/// A path in the source.
fn inside(path: &str) -> Result<String, String> {
    let climbs = path.split('/').any(|part| part == "..");
    if path.is_empty() || path.starts_with(['/', '-']) || climbs {
        return Err("use a path inside the source".to_owned());
    }
    Ok(path.to_owned())
}
