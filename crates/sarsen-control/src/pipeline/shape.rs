//! What shapes an app's containers: docker's flags, mounts and limits, laid over each other in this order.

use std::collections::{BTreeMap, BTreeSet};

use sarsen_domain::docker_flags::OptionPhase;
use sarsen_domain::{AppName, ContainerSettings, DockerFlags, ProcessType};
use sarsen_store::DockerOption;

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

impl Control {
    /// Where folders that any app may mount are.
    pub(crate) fn storage_root(&self) -> String {
        let root = self.settings.data_dir.join("data/storage");
        root.to_string_lossy().into_owned()
    }

    /// The shape that an app's containers have from their next start on.
    pub(crate) async fn shape(&self, app: &AppName) -> Outcome<Shape> {
        let options = self.store.docker_options().list(app).await?;
        let resources = Resources::of(self, app).await?;
        let differing: BTreeSet<_> = options
            .iter()
            .filter_map(|one| one.process.clone())
            .chain(resources.processes())
            .collect();
        let compose = |phase: OptionPhase, process: Option<&ProcessType>| -> Outcome<_> {
            let flags = of_phase(&options, phase, process)?;
            Ok(flags.overlaid(resources.settings(process)?))
        };
        let mut by_process = BTreeMap::new();
        for process in differing {
            let shape = compose(OptionPhase::Deploy, Some(&process))?;
            by_process.insert(process, shape);
        }
        Ok(Shape {
            by_process,
            deploy: compose(OptionPhase::Deploy, None)?,
            run: compose(OptionPhase::Run, None)?,
        })
    }

    /// The flags of an app's builds, as they were given.
    pub(crate) async fn build_options(&self, app: &AppName) -> Outcome<Vec<String>> {
        let options = self.store.docker_options().list(app).await?.into_iter();
        let of_build = options.filter(|one| one.phase == OptionPhase::Build);
        Ok(of_build.map(|one| one.option).collect())
    }
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
