//! Docker's flags as Dokku keeps them: by phase in the app's folder until 0.37, as properties by phase and process since.

use std::path::Path;

use sarsen_domain::docker_flags::{DockerFlags, OptionPhase};
use sarsen_domain::{AppName, ProcessType};
use sarsen_store::DockerOption;

use super::report::Report;
use super::tree::Tree;

/// The flags that can be honoured here.
pub(super) fn read(tree: &Tree, name: &AppName, report: &mut Report) -> Vec<DockerOption> {
    let mut options = Vec::new();
    for phase in OptionPhase::ALL {
        let file = format!("DOCKER_OPTIONS_{}", phase.as_str().to_uppercase());
        let text = tree.root_text(&Path::new(name.as_str()).join(file), report);
        add(&mut options, (phase, None), text, report);
    }
    let folder = format!("config/docker-options/{name}");
    for key in tree.lib_names(&folder) {
        let Some(at) = place(&key) else {
            report.left_out(&format!("docker-options, {key}"));
            continue;
        };
        let text = tree.lib_text(&Path::new(&folder).join(&key), report);
        add(&mut options, at, text, report);
    }
    options
}

/// `deploy`, `_default_.deploy`, `deploy.web`, `web.deploy`
fn place(key: &str) -> Option<(OptionPhase, Option<ProcessType>)> {
    let (left, right) = key.split_once('.').unwrap_or((key, "_default_"));
    let (phase, process) = match (left.parse(), right.parse()) {
        (Ok(phase), _) => (phase, right),
        (Err(_), Ok(phase)) => (phase, left),
        (Err(_), Err(_)) => return None,
    };
    if process == "_default_" {
        return Some((phase, None));
    }
    let process = ProcessType::parse(process).ok()?;
    (phase == OptionPhase::Deploy).then_some((phase, Some(process)))
}

fn add(
    options: &mut Vec<DockerOption>,
    (phase, process): (OptionPhase, Option<ProcessType>),
    text: Option<String>,
    report: &mut Report,
) {
    for line in text.unwrap_or_default().lines().map(str::trim) {
        // Dokku writes its default for the restart policy among them, which is a setting here.
        if line.is_empty() || line.starts_with('#') || line.starts_with("--restart") {
            continue;
        }
        let known = match phase {
            OptionPhase::Build => DockerFlags::parse_build_text(line)
                .map(|_| ())
                .or_else(|error| DockerFlags::parse_text(line).map(|_| ()).map_err(|_| error)),
            OptionPhase::Deploy | OptionPhase::Run => DockerFlags::parse_text(line).map(|_| ()),
        };
        let option = DockerOption {
            phase,
            process: process.clone(),
            option: line.to_owned(),
        };
        match known {
            Ok(()) if options.contains(&option) => {}
            Ok(()) => options.push(option),
            // The flag may hold a secret: only its name is told.
            Err(_) => report.left_out(&format!(
                "docker option {} ({}): it cannot be honoured",
                line.split([' ', '=']).next().unwrap_or_default(),
                phase.as_str()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_and_process_types() {
        let web = || ProcessType::parse("web").ok();
        for (key, expected) in [
            ("build", Some((OptionPhase::Build, None))),
            ("_default_.run", Some((OptionPhase::Run, None))),
            ("deploy.web", Some((OptionPhase::Deploy, web()))),
            ("web.deploy", Some((OptionPhase::Deploy, web()))),
            ("build.web", None),
            ("x", None),
        ] {
            assert_eq!(place(key), expected, "{key}");
        }
    }
}
