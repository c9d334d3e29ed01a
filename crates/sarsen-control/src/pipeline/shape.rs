//! What shapes an app's containers: docker's flags, mounts and limits, laid over each other in this order.

use std::collections::{BTreeMap, BTreeSet};

use sarsen_domain::docker_flags::{MountSource, OptionPhase};
use sarsen_domain::{AppName, ContainerSettings, DockerFlags, ProcessType};
use sarsen_store::{DockerOption, StorageMount};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::verbs::resource::Resources;

/// The shape of all containers of an app.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// Of the process types that differ from the others.
    pub by_process: BTreeMap<ProcessType, ContainerSettings>,
    /// Of all other deployed containers.
    pub deploy: ContainerSettings,
    /// Of one-off containers.
    pub run: ContainerSettings,
}

impl Shape {
    /// Every path of the host that is mounted.
    fn host_paths(&self) -> Vec<String> {
        let all = self.by_process.values().chain([&self.deploy, &self.run]);
        let mounts = all.flat_map(|settings| &settings.mounts);
        let paths = mounts.filter_map(|mount| match &mount.source {
            MountSource::Host(path) => Some(path.clone()),
            MountSource::Volume(_) | MountSource::Anonymous | MountSource::Tmpfs { .. } => None,
        });
        paths.collect()
    }
}

impl Control {
    /// Where folders that any app may mount are.
    pub fn storage_root(&self) -> String {
        let root = self.settings.dokku_lib_root.join("data/storage");
        root.to_string_lossy().into_owned()
    }

    /// The folder in it that is an app's by convention.
    pub(crate) fn storage_of(&self, app: &AppName) -> String {
        format!("{}/{app}", self.storage_root())
    }

    /// The shape that an app's containers have from their next start on.
    pub(crate) async fn shape(&self, app: &AppName) -> Outcome<Shape> {
        let options = self.store.docker_options().list(app).await?;
        let resources = Resources::of(self, app).await?;
        let storage = self.storage_mounts(app).await?;
        let marks = self.storage_marks().await?;
        let mounting = storage
            .iter()
            .filter_map(|(held, _)| ProcessType::parse(&held.mount.process).ok());
        let differing: BTreeSet<_> = options
            .iter()
            .filter_map(|one| one.process.clone())
            .chain(resources.processes())
            .chain(mounting)
            .collect();
        let compose = |phase: OptionPhase, process: Option<&ProcessType>| -> Outcome<_> {
            let mut flags = of_phase(&options, phase, process)?;
            for (held, mount) in &storage {
                if mounts_in(held, phase, process) {
                    flags.mounts.push(mount.clone());
                    marks.put(held, &mut flags);
                }
            }
            Ok(flags.overlaid(resources.settings(process)?))
        };
        let mut by_process = BTreeMap::new();
        for process in differing {
            let shape = compose(OptionPhase::Deploy, Some(&process))?;
            by_process.insert(process, shape);
        }
        let shape = Shape {
            by_process,
            deploy: compose(OptionPhase::Deploy, None)?,
            run: compose(OptionPhase::Run, None)?,
        };
        self.check_mounts(shape.host_paths()).await?;
        Ok(shape)
    }

    /// The flags of an app's builds, as they were given.
    pub(crate) async fn build_options(&self, app: &AppName) -> Outcome<Vec<String>> {
        let options = self.store.docker_options().list(app).await?.into_iter();
        let of_build = options.filter(|one| one.phase == OptionPhase::Build);
        Ok(of_build.map(|one| one.option).collect())
    }
}

/// A mount without a process type is everybody's; one-off containers have no type.
fn mounts_in(held: &StorageMount, phase: OptionPhase, process: Option<&ProcessType>) -> bool {
    let process = process.map_or("", ProcessType::as_str);
    let of_type = held.mount.process.is_empty() || held.mount.process == process;
    of_type
        && held
            .mount
            .phases
            .split(',')
            .any(|held| held == phase.as_str())
}

/// The options for all process types, and those of this one over them.
fn of_phase(
    options: &[DockerOption],
    phase: OptionPhase,
    process: Option<&ProcessType>,
) -> Outcome<ContainerSettings> {
    let mut settings = ContainerSettings::default();
    for wanted in [None, process]
        .into_iter()
        .take(1 + usize::from(process.is_some()))
    {
        let matching = options.iter();
        for one in matching.filter(|one| one.phase == phase && one.process.as_ref() == wanted) {
            let flags = DockerFlags::parse_text(&one.option).map_err(|error| {
                Failure::new(format!("The docker option '{}': {error}", one.option))
            })?;
            settings = settings.overlaid(flags);
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_process_come_on_top() {
        let option = |process: Option<&str>, text: &str| DockerOption {
            phase: OptionPhase::Deploy,
            process: process.map(|name| ProcessType::parse(name).unwrap()),
            option: text.to_owned(),
        };
        let options = [
            option(None, "--label a=1"),
            option(None, "--init"),
            option(Some("web"), "--label a=2"),
            option(Some("worker"), "--label a=3"),
        ];
        let of = |process: Option<&ProcessType>| of_phase(&options, OptionPhase::Deploy, process);
        let web = of(Some(&ProcessType::web())).unwrap();
        assert_eq!((web.labels["a"].as_str(), web.init), ("2", Some(true)));
        assert_eq!(of(None).unwrap().labels["a"], "1");
        let run = of_phase(&options, OptionPhase::Run, None).unwrap();
        assert_eq!(run, ContainerSettings::default());
    }
}
