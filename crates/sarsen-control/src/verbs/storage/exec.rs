//! `storage:exec`: a command in a container of its own that has a named folder.

use futures_util::StreamExt;
use sarsen_deploy::{ImageRun, RunMode};
use sarsen_domain::docker_flags::parse_volume;
use sarsen_domain::{ContainerSettings, ImageRef};
use sarsen_runtime::RuntimeError;

use super::{authorise_path, entry_name};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::streams::{Process, carry};
use crate::table::Call;
use crate::verbs::run::exit;

/// What Dokku runs it in.
const IMAGE: &str = "alpine:3";
/// Where the folder is, and where the command begins.
const INSIDE: &str = "/data";

/// `[--image IMAGE] [--as-user UID] NAME [-- COMMAND…]`
pub(super) async fn exec(control: &Control, call: &mut Call) -> Outcome {
    let name = entry_name(call.args.get(0).unwrap_or_default())?;
    let entry = control.store.storage().get(&name).await?;
    if entry.source.starts_with('/') {
        authorise_path(control, call, &entry.source)?;
        control.check_mounts(vec![entry.source.clone()]).await?;
    }
    let image = ImageRef::parse(call.args.value("--image").unwrap_or(IMAGE))?;
    let user = call.args.value("--as-user").map(user).transpose()?;
    fetch(control, call, &image).await?;
    let text = format!("{}:{INSIDE}", entry.source);
    let mount = parse_volume(&text)
        .map_err(|why| Failure::new(format!("{name} cannot be mounted: {why}")))?;
    let mut command = call.args.from(1).to_vec();
    if command.is_empty() {
        command.push("/bin/sh".to_owned());
    }
    let mode = match &call.terminal {
        Some(terminal) => RunMode::Terminal(*terminal.size.borrow()),
        None => RunMode::Interactive,
    };
    let term = call.terminal.as_ref();
    let mut handle = control
        .deployer
        .run_image(ImageRun {
            image,
            command,
            env: term
                .map(|terminal| format!("TERM={}", terminal.term))
                .into_iter()
                .collect(),
            mode,
            user,
            settings: ContainerSettings {
                mounts: vec![mount],
                workdir: Some(INSIDE.to_owned()),
                ..ContainerSettings::default()
            },
            purpose: "storage.exec",
        })
        .await?;
    if let Some(streams) = handle.streams.take() {
        let process = Process::Container(handle.container.clone());
        carry(&control.runtime, call, process, streams).await?;
    }
    exit(handle.wait().await?)
}

/// A user id, and a group's behind a colon.
fn user(text: &str) -> Outcome<String> {
    let is_id = |part: &str| part.parse::<u32>().is_ok();
    if text.split(':').count() <= 2 && text.split(':').all(is_id) {
        return Ok(text.to_owned());
    }
    Err(Failure::new(format!(
        "Invalid user '{}': give a user id, such as 1000 or 1000:1000",
        text.escape_debug()
    )))
}

/// Gets the image when it is not there. What is said goes to standard error: the command's output is not ours.
async fn fetch(control: &Control, call: &mut Call, image: &ImageRef) -> Outcome {
    match control.runtime.image(image).await {
        Err(RuntimeError::NotFound(_)) => {}
        found => return Ok(found.map(|_| ())?),
    }
    call.out
        .error_bytes(format!("-----> Pulling {image}\n").as_bytes())
        .await?;
    let failed = |error| {
        Failure::new(format!(
            "Could not get {image}: {error}\nGive one that is there with --image"
        ))
    };
    let mut lines = control.runtime.pull(image, None).await.map_err(failed)?;
    while let Some(line) = lines.next().await {
        line.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::user;

    #[test]
    fn users_are_ids() {
        for good in ["0", "1000", "1000:1000"] {
            assert!(user(good).is_ok(), "{good}");
        }
        for bad in ["", "root", "-1", "1:2:3", "1:", "1 2"] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
    }
}
