//! Storage: folders of the host and volumes, by name, and where apps mount them.

mod exec;
mod files;
mod marks;
mod migrate;
mod show;

use sarsen_domain::docker_flags::{Mount, MountSource, absolute_path, parse_volume};
use sarsen_domain::{AppName, ProcessType};
use sarsen_store::{NewMount, StorageEntry, StorageMount};
use sha2::{Digest, Sha256};

use crate::access::{authorise_powers, authorise_ties};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::{Call, Command, verb};
use crate::verbs::apps::confirm;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "storage:annotations:report",
        "[--format stdout|json] [--storage-annotations-*] [<name>]",
        Read,
        "Displays the annotations of named folders",
        marks::report_annotations
    ),
    verb!(
        "storage:annotations:set",
        "<name> <key> [<value>]",
        Change,
        "Sets an annotation for the containers that mount a named folder",
        marks::set_annotation
    ),
    verb!(
        "storage:create",
        "[--scheduler docker-local] [--chown OWNER] [--mode OCTAL] <name> [<path>]",
        Change,
        "Makes a named folder that apps can mount",
        create
    ),
    verb!(
        "storage:destroy",
        "[-f|--force] [--destroy-host-dir] <name>",
        Host,
        "Forgets a named folder that no app mounts",
        destroy
    ),
    verb!(
        "storage:ensure-directory",
        "[--chown herokuish|heroku|paketo|root|false|UID] <directory>",
        Change,
        "Makes a folder in data/storage, for a mount by its path",
        ensure_directory
    ),
    verb!(
        "storage:exec",
        "[--image IMAGE] [--as-user UID] <name> [<command...>]",
        Inside,
        "Runs a command, or a shell, in a container that has a named folder at /data",
        exec::exec
    ),
    verb!(
        "storage:info",
        "[--format text|json] <name>",
        Read,
        "Shows a named folder",
        show::info
    ),
    verb!(
        "storage:labels:report",
        "[--format stdout|json] [--storage-labels-*] [<name>]",
        Read,
        "Displays the labels of named folders",
        marks::report_labels
    ),
    verb!(
        "storage:labels:set",
        "<name> <key> [<value>]",
        Change,
        "Sets a label on the containers that mount a named folder",
        marks::set_label
    ),
    verb!(
        "storage:list",
        "[--format text|json] <app>",
        Read,
        "Lists what an app mounts",
        show::list
    ),
    verb!(
        "storage:list-entries",
        "[--scheduler docker-local] [--format text|json]",
        Read,
        "Lists the named folders",
        show::list_entries
    ),
    verb!(
        "storage:migrate",
        "<app>|--all",
        Change,
        "Turns volumes among the docker options into mounts of storage",
        migrate::migrate
    ),
    verb!(
        "storage:mount",
        "[--container-dir PATH] [--phase deploy|run]... [--process-type P] [--volume-subpath PATH] [--volume-readonly] [--volume-chown OWNER] [--volume-options OPTIONS] <app> <source>",
        Change,
        "Mounts host-path:container-path, volume:container-path or a named folder into an app",
        mount
    ),
    verb!(
        "storage:report",
        "[<app>] [--format stdout|json] [--storage-*]",
        Read,
        "Displays a storage report",
        show::report
    ),
    verb!(
        "storage:set",
        "<name> <property> [<value>]",
        Change,
        "Changes a named folder: chown, mode",
        set
    ),
    verb!(
        "storage:unmount",
        "[--container-dir PATH] <app> <source>",
        Change,
        "Takes a mount away from an app",
        unmount
    ),
];

/// The name that a mount of a bare path gets.
const UNNAMED: &str = "legacy-";

/// Who owns a new folder, unless somebody says otherwise: the user that buildpack apps run as.
const DEFAULT_OWNER: &str = "herokuish";

/// A name as a folder can have it.
fn entry_name(text: &str) -> Outcome<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || text.len() > 63 || !text.chars().all(legal) || text.contains("..") {
        return Err(Failure::new(format!(
            "Invalid storage name '{}': letters, digits, dots, underscores and hyphens, at most 63",
            text.escape_debug()
        )));
    }
    Ok(text.to_owned())
}

/// A user id, by Dokku's names or as a number; `None` leaves the owner as it is.
fn owner(text: &str) -> Outcome<Option<u32>> {
    let id = match text {
        "herokuish" => Some(32767),
        "heroku" => Some(1000),
        "paketo" => Some(2000),
        "root" => Some(0),
        "false" => None,
        number => Some(number.parse().map_err(|_| {
            Failure::new(format!(
                "Invalid owner '{}': use herokuish, heroku, paketo, root, false or a user id",
                number.escape_debug()
            ))
        })?),
    };
    Ok(id)
}

fn mode(text: &str) -> Outcome<u32> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o1777).ok_or_else(|| {
        Failure::new(format!(
            "Invalid mode '{}': write it in octal, such as 0755",
            text.escape_debug()
        ))
    })
}

/// The name of the entry behind a mount of a bare path or volume.
fn unnamed(source: &str) -> String {
    let digest = Sha256::digest(source.as_bytes());
    let digits = digest.iter().take(5).map(|byte| format!("{byte:02x}"));
    format!("{UNNAMED}{}", digits.collect::<String>())
}

/// Paths outside the storage folder are the host's own.
fn authorise_path(control: &Control, call: &Call, path: &str) -> Outcome {
    let inside = path.strip_prefix(&control.storage_root());
    let inside = inside.and_then(|rest| rest.strip_prefix('/'));
    match inside {
        Some(rest) if !rest.is_empty() => Ok(()),
        _ => authorise_powers(&call.actor, &[format!("a mount of {path}")]),
    }
}

async fn create(control: &Control, call: &mut Call) -> Outcome {
    check_scheduler(call)?;
    let name = entry_name(call.args.get(0).unwrap_or_default())?;
    if name.starts_with(UNNAMED) {
        return Err(Failure::new(format!(
            "Names that begin with {UNNAMED} stand for bare paths"
        )));
    }
    let source = match call.args.get(1) {
        Some(path) => absolute_path(path).map_err(Failure::new)?,
        None => format!("{}/{name}", control.storage_root()),
    };
    authorise_path(control, call, &source)?;
    let entry = StorageEntry {
        owner: owner(call.args.value("--chown").unwrap_or(DEFAULT_OWNER))?,
        mode: call.args.value("--mode").map(mode).transpose()?,
        unnamed: false,
        created_at: 0,
        name,
        source,
    };
    control.store.storage().create(&entry).await?;
    if let Err(failure) = files::prepare(control, &entry).await {
        control.store.storage().destroy(&entry.name).await?;
        return Err(failure);
    }
    let title = format!("Created storage {} at {}", entry.name, entry.source);
    call.out.title(&title).await
}

fn check_scheduler(call: &Call) -> Outcome {
    match call.args.value("--scheduler") {
        None | Some("docker-local") => Ok(()),
        Some(other) => Err(Failure::new(format!(
            "There is no scheduler '{}' here: storage is this host's (docker-local)",
            other.escape_debug()
        ))),
    }
}

async fn destroy(control: &Control, call: &mut Call) -> Outcome {
    let name = entry_name(call.args.get(0).unwrap_or_default())?;
    let entry = control.store.storage().get(&name).await?;
    let removes = call.args.has("--destroy-host-dir");
    if removes {
        authorise_path(control, call, &entry.source)?;
    }
    if !(call.force || call.args.has("--force")) {
        let what = if removes {
            format!("storage {name} and everything in {}", entry.source)
        } else {
            format!("storage {name} (its files stay)")
        };
        confirm(call, &name, &what).await?;
    }
    control.store.storage().destroy(&name).await?;
    if removes {
        files::remove(control, &entry.source).await?;
    }
    call.out.title(&format!("Destroyed storage {name}")).await
}

async fn ensure_directory(control: &Control, call: &mut Call) -> Outcome {
    let name = entry_name(call.args.get(0).unwrap_or_default())?;
    let entry = StorageEntry {
        source: format!("{}/{name}", control.storage_root()),
        owner: owner(call.args.value("--chown").unwrap_or(DEFAULT_OWNER))?,
        mode: Some(0o755),
        unnamed: true,
        created_at: 0,
        name,
    };
    call.out
        .header(&format!("Ensuring {} exists", entry.source))
        .await?;
    files::prepare(control, &entry).await?;
    if let Some(id) = entry.owner {
        call.out
            .line(&format!("       Setting directory ownership to {id}:{id}"))
            .await?;
    }
    call.out.line("       Directory ready for mounting").await
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let name = entry_name(call.args.get(0).unwrap_or_default())?;
    let mut entry = control.store.storage().get(&name).await?;
    let key = call
        .args
        .get(1)
        .unwrap_or_default()
        .trim_start_matches("--")
        .to_owned();
    let value = call
        .args
        .get(2)
        .filter(|value| !value.is_empty())
        .map(str::to_owned);
    match key.as_str() {
        "chown" => entry.owner = value.as_deref().map(owner).transpose()?.flatten(),
        "mode" => entry.mode = value.as_deref().map(mode).transpose()?,
        _ => {
            return Err(Failure::new(
                "Invalid property specified, valid properties include: chown, mode",
            ));
        }
    }
    if !entry.source.starts_with('/') {
        return Err(Failure::new(format!(
            "{name} is a volume: its owner is set from inside"
        )));
    }
    authorise_path(control, call, &entry.source)?;
    files::prepare(control, &entry).await?;
    control.store.storage().update(&entry).await?;
    match value {
        Some(value) => call.out.title(&format!("Setting {key} to {value}")).await,
        None => call.out.title(&format!("Unsetting {key}")).await,
    }
}

async fn mount(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let source = call.args.get(1).unwrap_or_default().to_owned();
    let target = call.args.value("--container-dir").map(str::to_owned);
    let (entry, new) = match target {
        Some(target) => {
            let entry = control.store.storage().get(&entry_name(&source)?).await?;
            let new = named_mount(call, &entry, &target)?;
            (entry, new)
        }
        None => bare_mount(control, call, &source).await?,
    };
    authorise_entry(control, call, &entry, &new)?;
    // Read it as the deploy will.
    let wanted = to_mount(&entry, &new)?;
    let tie = wanted.tie(&control.storage_of(&app));
    authorise_ties(&call.actor, tie.as_slice())?;
    if let (MountSource::Host(path), Some(id)) = (&wanted.source, new.owner) {
        files::chown(control, path, id).await?;
    }
    for held in control.store.storage().mounts(&app).await? {
        let same_place = held.mount.target == new.target && held.mount.process == new.process;
        let meets = held
            .mount
            .phases
            .split(',')
            .any(|phase| new.phases.contains(phase));
        if same_place && meets {
            return Err(Failure::new("Mount path already exists."));
        }
    }
    Ok(control.store.storage().mount(&app, &entry, &new).await?)
}

fn authorise_entry(
    control: &Control,
    call: &Call,
    entry: &StorageEntry,
    new: &NewMount,
) -> Outcome {
    // A named one was authorised when it was made.
    if entry.source.starts_with('/') && (entry.unnamed || new.owner.is_some()) {
        authorise_path(control, call, &entry.source)?;
    }
    Ok(())
}

/// `APP ENTRY --container-dir PATH`
fn named_mount(call: &Call, entry: &StorageEntry, target: &str) -> Outcome<NewMount> {
    let process = call.args.value("--process-type");
    let process = process.map(ProcessType::parse).transpose()?;
    let chown = call.args.value("--volume-chown");
    let chown = chown.map(owner).transpose()?.flatten();
    if chown.is_some() && !entry.source.starts_with('/') {
        let name = &entry.name;
        return Err(Failure::new(format!(
            "{name} is a volume: its owner is set from inside"
        )));
    }
    let text = |flag| call.args.value(flag).unwrap_or_default().to_owned();
    Ok(NewMount {
        target: absolute_path(target).map_err(Failure::new)?,
        phases: phases(call.args.values("--phase"))?,
        process: process.map(String::from).unwrap_or_default(),
        subpath: text("--volume-subpath"),
        read_only: call.args.has("--volume-readonly"),
        options: text("--volume-options"),
        owner: chown,
    })
}

/// `APP SOURCE:PATH[:OPTIONS]`
async fn bare_mount(
    control: &Control,
    call: &mut Call,
    text: &str,
) -> Outcome<(StorageEntry, NewMount)> {
    let only_named = [
        "--process-type",
        "--volume-subpath",
        "--volume-readonly",
        "--volume-chown",
        "--volume-options",
    ];
    if let Some(flag) = only_named.into_iter().find(|flag| call.args.has(flag)) {
        return Err(Failure::new(format!(
            "{flag} needs a named folder and --container-dir"
        )));
    }
    let mount = parse_volume(text)
        .map_err(|why| Failure::new(format!("Invalid mount '{}': {why}", text.escape_debug())))?;
    let entry = match &mount.source {
        MountSource::Host(path) if *path == control.storage_root() => {
            return Err(Failure::new(
                "Mount a folder in data/storage, not all of it",
            ));
        }
        MountSource::Host(path) => bare_entry(path.clone()),
        // The engine would make an empty volume of that name, and the app look for its files in vain.
        MountSource::Volume(name) => match named(control, name).await? {
            Some(entry) => {
                let what = format!("Mounting the named folder {name} ({})", entry.source);
                call.out.header(&what).await?;
                entry
            }
            None => bare_entry(name.clone()),
        },
        MountSource::Anonymous | MountSource::Tmpfs { .. } => {
            return Err(Failure::new(
                "Please specify both sides: host-path:container-path",
            ));
        }
    };
    let new = NewMount {
        target: mount.target.clone(),
        phases: phases(call.args.values("--phase"))?,
        read_only: mount.read_only,
        options: options_of(text),
        ..NewMount::default()
    };
    Ok((entry, new))
}

/// The entry that somebody made under this name.
async fn named(control: &Control, name: &str) -> Outcome<Option<StorageEntry>> {
    let entries = control.store.storage().list().await?;
    let is_it = |entry: &StorageEntry| entry.name == name && !entry.unnamed;
    Ok(entries.into_iter().find(is_it))
}

/// What stands for a bare path or volume.
fn bare_entry(source: String) -> StorageEntry {
    StorageEntry {
        name: unnamed(&source),
        source,
        owner: None,
        mode: None,
        unnamed: true,
        created_at: 0,
    }
}

/// The third part of `SOURCE:PATH:OPTIONS`, without what is said of reading and writing.
fn options_of(text: &str) -> String {
    let options = text.splitn(3, ':').nth(2).unwrap_or_default().split(',');
    let options: Vec<_> = options
        .filter(|option| !matches!(*option, "ro" | "readonly" | "rw"))
        .collect();
    options.join(",")
}

/// `deploy,run` unless one is named.
fn phases(named: &[String]) -> Outcome<String> {
    let bad = named
        .iter()
        .find(|phase| !matches!(phase.as_str(), "deploy" | "run"));
    if let Some(bad) = bad {
        return Err(Failure::new(format!(
            "Invalid phase '{}': storage is mounted for deploy and run",
            bad.escape_debug()
        )));
    }
    let wanted = |phase: &&str| named.is_empty() || named.iter().any(|name| name == phase);
    let phases: Vec<_> = ["deploy", "run"].into_iter().filter(wanted).collect();
    Ok(phases.join(","))
}

async fn unmount(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let text = call.args.get(1).unwrap_or_default();
    let (entry, target) = match parse_volume(text) {
        Ok(Mount {
            source: MountSource::Host(source) | MountSource::Volume(source),
            target,
            ..
        }) => {
            let mounts = control.store.storage().mounts(&app).await?;
            // By what was said at the mount, or by what lists show.
            let is_it = |held: &StorageMount| {
                held.mount.target == target
                    && [&held.entry.source, &held.entry.name].contains(&&source)
            };
            let held = mounts.into_iter().find(is_it);
            let name = held.map_or_else(|| unnamed(&source), |held| held.entry.name);
            (name, Some(target))
        }
        _ => {
            let target = call.args.value("--container-dir");
            let target = target.map(|path| absolute_path(path).map_err(Failure::new));
            (entry_name(text)?, target.transpose()?)
        }
    };
    let gone = control
        .store
        .storage()
        .unmount(&app, &entry, target.as_deref())
        .await?;
    if gone == 0 {
        return Err(Failure::new("Mount path does not exist."));
    }
    Ok(())
}

/// The mount as containers get it.
fn to_mount(entry: &StorageEntry, new: &NewMount) -> Outcome<Mount> {
    let below = match new.subpath.as_str() {
        "" => entry.source.clone(),
        path if entry.source.starts_with('/') => {
            absolute_path(&format!("{}/{path}", entry.source)).map_err(Failure::new)?
        }
        _ => entry.source.clone(),
    };
    let mut text = format!("{below}:{}", new.target);
    if !new.options.is_empty() {
        text = format!("{text}:{}", new.options);
    }
    let mut mount = parse_volume(&text).map_err(|why| {
        Failure::new(format!(
            "The mount of {} at {}: {why}",
            entry.name, new.target
        ))
    })?;
    mount.read_only |= new.read_only;
    if !entry.source.starts_with('/') && !new.subpath.is_empty() {
        mount.subpath = Some(new.subpath.clone());
    }
    Ok(mount)
}

impl Control {
    /// What an app mounts, as containers get it.
    pub(crate) async fn storage_mounts(
        &self,
        app: &AppName,
    ) -> Outcome<Vec<(StorageMount, Mount)>> {
        let mounts = self.store.storage().mounts(app).await?;
        mounts
            .into_iter()
            .map(|held| {
                let mount = to_mount(&held.entry, &held.mount)?;
                Ok((held, mount))
            })
            .collect()
    }

    /// Folders in data/storage must not lead out of it: a container can put symbolic links into what it mounts.
    pub(crate) async fn check_mounts(&self, paths: Vec<String>) -> Outcome {
        files::check_inside(self, paths).await
    }
}

#[cfg(test)]
mod tests;
