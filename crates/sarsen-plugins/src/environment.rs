//! What scripts find around them: Dokku's variables, and `dokku` and `plugn` in front of the path.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

use crate::error::PluginError;
use crate::plugins::PluginSettings;
use crate::process::Env;

const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Labels that Dokku puts on every container it starts, in the form of arguments for `docker run`.
const LABELS: &str = "--label=org.label-schema.schema-version=1.0 --label=org.label-schema.vendor=dokku --label=dokku";

const SUDO: &str = include_str!("../../../plugins/core/tools/sudo");
const CHOWN: &str = include_str!("../../../plugins/core/tools/chown");
/// The user that scripts give files to.
const DOKKU: &str = "dokku";

/// Says of a program that a script of a plugin started it.
pub const WITHIN: &str = "SARSEN_WITHIN_PLUGIN";

/// The variables that every script gets.
pub(crate) fn variables(settings: &PluginSettings, tools: &Path) -> Env {
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let group = Group::from_gid(Gid::effective()).ok().flatten();
    let name = user.as_ref().map_or("root", |user| user.name.as_str());
    let home = user.as_ref().map_or(Path::new("/"), |user| &user.dir);
    let mut path = OsString::from(tools);
    path.push(":");
    path.push(SYSTEM_PATH);
    let mut env: Env = vec![("PATH".into(), path), ("HOME".into(), home.into())];
    env.extend(places(settings));
    let group = group.as_ref().map_or(name, |group| group.name.as_str());
    for (key, value) in [
        (WITHIN, "1"),
        ("LANG", "C.UTF-8"),
        ("USER", name),
        ("LOGNAME", name),
        ("DOKKU_SYSTEM_USER", name),
        ("DOKKU_SYSTEM_GROUP", group),
        ("DOKKU_API_VERSION", "1"),
        ("DOKKU_NOT_IMPLEMENTED_EXIT", "10"),
        ("DOKKU_VALID_EXIT", "0"),
        ("DOKKU_CONTAINER_LABEL", "dokku"),
        ("DOKKU_GLOBAL_BUILD_ARGS", LABELS),
        ("DOKKU_GLOBAL_RUN_ARGS", LABELS),
        ("DOKKU_CNB_BUILDER", "heroku/builder:24"),
    ] {
        env.push((key.into(), value.into()));
    }
    env.extend(settings.env.iter().cloned());
    env
}

/// Where things are.
fn places(settings: &PluginSettings) -> Env {
    let core = settings.lib_root.join("core-plugins");
    let logs = settings.lib_root.join("logs");
    vec![
        ("SARSEN_SOCKET".into(), settings.socket.clone().into()),
        ("DOKKU_ROOT".into(), settings.dokku_root.clone().into()),
        ("DOKKU_HOST_ROOT".into(), settings.dokku_root.clone().into()),
        ("DOKKU_LIB_ROOT".into(), settings.lib_root.clone().into()),
        (
            "DOKKU_LIB_HOST_ROOT".into(),
            settings.lib_root.clone().into(),
        ),
        ("PLUGIN_PATH".into(), settings.root.clone().into()),
        (
            "PLUGIN_AVAILABLE_PATH".into(),
            settings.root.join("available").into(),
        ),
        (
            "PLUGIN_ENABLED_PATH".into(),
            settings.root.join("enabled").into(),
        ),
        (
            "PLUGIN_CORE_AVAILABLE_PATH".into(),
            core.join("available").into(),
        ),
        (
            "PLUGIN_CORE_ENABLED_PATH".into(),
            core.join("enabled").into(),
        ),
        ("PLUGIN_CORE_PATH".into(), core.into()),
        ("DOKKU_LOGS_DIR".into(), logs.clone().into()),
        ("DOKKU_LOGS_HOST_DIR".into(), logs.clone().into()),
        (
            "DOKKU_EVENTS_LOGFILE".into(),
            logs.join("events.log").into(),
        ),
        ("DOKKU_IMAGE".into(), settings.stack_image.clone().into()),
        ("DOKKU_DISTRO".into(), distribution().into()),
        ("DOKKU_PID".into(), std::process::id().to_string().into()),
    ]
}

/// `debian`, as the host calls itself.
fn distribution() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("ID="));
    id.unwrap_or("linux").trim_matches('"').to_owned()
}

/// Makes the folder that stands first in the path of scripts.
pub(crate) fn furnish(tools: &Path, binary: &Path) -> Result<(), PluginError> {
    let failed = PluginError::io("prepare", tools);
    make(tools, binary).map_err(failed)
}

fn make(tools: &Path, binary: &Path) -> io::Result<()> {
    fs::create_dir_all(tools)?;
    // Beside it first, then renamed: scripts of an earlier daemon may be running.
    let beside = tools.join(".new");
    // What the program is called says what it does.
    for name in ["dokku", "plugn", "sarsen"] {
        remove(&beside)?;
        symlink(binary, &beside)?;
        fs::rename(&beside, tools.join(name))?;
    }
    let mut folders = SYSTEM_PATH.split(':');
    let has_sudo = folders.any(|folder| Path::new(folder).join("sudo").is_file());
    let has_user = User::from_name(DOKKU).is_ok_and(|user| user.is_some());
    for (name, text, is_needed) in [("sudo", SUDO, !has_sudo), ("chown", CHOWN, !has_user)] {
        remove(&beside)?;
        if is_needed {
            write_script(&beside, text)?;
            fs::rename(&beside, tools.join(name))?;
        } else {
            remove(&tools.join(name))?;
        }
    }
    Ok(())
}

fn write_script(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Folders of the host that `install` scripts write into. A host without sudo or cron does not have them.
pub(crate) fn host_folders() {
    for folder in ["/etc/sudoers.d", "/etc/cron.d"] {
        if let Err(error) = fs::create_dir_all(folder) {
            tracing::info!(%error, "{folder} cannot be made: plugins that write there will say so");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
