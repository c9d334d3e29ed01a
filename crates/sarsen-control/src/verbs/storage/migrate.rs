//! `storage:migrate`: volumes that were given as docker's flags, before storage had entries, become mounts.

use sarsen_domain::docker_flags::{MountSource, OptionPhase, parse_volume, split_words};
use sarsen_domain::{AppName, ProcessType};
use sarsen_store::{DockerOption, NewMount, StorageEntry};

use super::{bare_entry, options_of};
use crate::control::Control;
use crate::failure::Outcome;
use crate::property::apps_meant;
use crate::table::Call;

/// A flag that stands for a mount: what it mounts, where, for whom.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    entry: StorageEntry,
    mount: NewMount,
}

pub(super) async fn migrate(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_meant(control, call).await? {
        let options = control.store.docker_options().list(&app).await?;
        let (mounts, flags) = found(&options);
        if flags.is_empty() {
            call.out
                .header(&format!("{app} has no volumes among its docker options"))
                .await?;
            continue;
        }
        let (mounts, flags) = without_held(control, &app, mounts, flags).await?;
        let pairs: Vec<_> = mounts
            .into_iter()
            .map(|found| (found.entry, found.mount))
            .collect();
        control.store.storage().adopt(&app, &pairs, &flags).await?;
        for (entry, mount) in &pairs {
            let (source, target) = (&entry.source, &mount.target);
            let text = format!("{app} mounts {source}:{target} from storage now");
            call.out.header(&text).await?;
        }
    }
    Ok(())
}

/// What is mounted already at the same place stays as it is, and so do flags that speak of it.
async fn without_held(
    control: &Control,
    app: &AppName,
    mut mounts: Vec<Found>,
    mut flags: Vec<DockerOption>,
) -> Outcome<(Vec<Found>, Vec<DockerOption>)> {
    let held = control.store.storage().mounts(app).await?;
    let is_held = |target: &str| held.iter().any(|held| held.mount.target == target);
    mounts.retain(|found| !is_held(&found.mount.target));
    flags.retain(|one| mount_of(one).is_some_and(|found| !is_held(&found.mount.target)));
    Ok((mounts, flags))
}

/// The mounts that flags stand for, each once, and these flags.
fn found(options: &[DockerOption]) -> (Vec<Found>, Vec<DockerOption>) {
    let mut mounts: Vec<Found> = Vec::new();
    let mut flags = Vec::new();
    for one in options {
        let Some(found) = mount_of(one) else {
            continue;
        };
        flags.push(one.clone());
        let same = mounts.iter_mut().find(|known| {
            let phases = String::new();
            let plain = |found: &Found| NewMount {
                phases: phases.clone(),
                ..found.mount.clone()
            };
            known.entry == found.entry && plain(known) == plain(&found)
        });
        match same {
            Some(known) if !known.mount.phases.contains(&found.mount.phases) => {
                known.mount.phases = "deploy,run".to_owned();
            }
            Some(_) => {}
            None => mounts.push(found),
        }
    }
    (mounts, flags)
}

/// A single `-v` or `--volume` of the phases deploy and run. What is more than that stays a flag.
fn mount_of(one: &DockerOption) -> Option<Found> {
    if one.phase == OptionPhase::Build {
        return None;
    }
    let words = split_words(&one.option).ok()?;
    let text = match words.as_slice() {
        [flag, text] if flag == "-v" || flag == "--volume" => text.as_str(),
        [only] => only
            .strip_prefix("--volume=")
            .or_else(|| only.strip_prefix("-v").filter(|text| !text.is_empty()))?,
        _ => return None,
    };
    let mount = parse_volume(text).ok()?;
    let (MountSource::Host(source) | MountSource::Volume(source)) = mount.source else {
        return None;
    };
    Some(Found {
        entry: bare_entry(source),
        mount: NewMount {
            target: mount.target,
            phases: one.phase.as_str().to_owned(),
            process: one
                .process
                .as_ref()
                .map_or("", ProcessType::as_str)
                .to_owned(),
            read_only: mount.read_only,
            options: options_of(text),
            ..NewMount::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(phase: OptionPhase, text: &str) -> DockerOption {
        DockerOption {
            phase,
            process: None,
            option: text.to_owned(),
        }
    }

    #[test]
    fn volumes_are_found_and_other_flags_stay() {
        let options = [
            option(OptionPhase::Build, "-v /a:/b"),
            option(OptionPhase::Deploy, "--init"),
            option(OptionPhase::Deploy, "-v /a:/b:ro"),
            option(OptionPhase::Run, "--volume=/a:/b:ro"),
            option(OptionPhase::Deploy, "-vcache:/cache"),
            option(OptionPhase::Deploy, "-v /anonymous"),
            option(OptionPhase::Deploy, "-v /a:/c --init"),
        ];
        let (mounts, flags) = found(&options);
        assert_eq!(
            flags,
            [options[2].clone(), options[3].clone(), options[4].clone()]
        );
        let shown: Vec<_> = mounts
            .iter()
            .map(|found| {
                let mount = &found.mount;
                let source = found.entry.source.as_str();
                (
                    source,
                    mount.target.as_str(),
                    mount.phases.as_str(),
                    mount.read_only,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("/a", "/b", "deploy,run", true),
                ("cache", "/cache", "deploy", false)
            ]
        );
    }
}
