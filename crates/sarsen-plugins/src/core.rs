//! The shell libraries that plugins source, and the folders where they look for them. They are part of the binary, so
//! that every way of running the daemon finds the same ones.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::error::PluginError;
use crate::manifest::Manifest;

/// Files of one library.
type Library = (&'static str, &'static [(&'static str, &'static str)]);

macro_rules! library {
    ($name:literal: $($file:literal),*) => {
        ($name, &[$(($file, include_str!(concat!("../../../plugins/core/", $name, "/", $file)))),*])
    };
}

/// `docker-options/functions` is not there, as in Dokku 0.38: plugins that find none call the command instead.
const LIBRARIES: &[Library] = &[
    library!("certs": "plugin.toml", "functions"),
    library!("checks": "plugin.toml", "functions"),
    library!("common": "plugin.toml", "functions", "property-functions"),
    library!("config": "plugin.toml", "functions"),
    library!("domains": "plugin.toml", "functions"),
    library!("nginx-vhosts": "plugin.toml", "functions", "internal-functions"),
    library!("plugin": "plugin.toml", "functions"),
    library!("proxy": "plugin.toml", "functions"),
    library!("ps": "plugin.toml", "functions"),
];

/// Whether this is the name of a library of ours: no plugin can be called so.
pub(crate) fn is_core(name: &str) -> bool {
    LIBRARIES.iter().any(|(library, _)| *library == name)
}

/// Writes the libraries where plugins look for them: below `core`, and linked from the plugins' folder.
pub(crate) fn place(core: &Path, plugins: &Path) -> Result<(), PluginError> {
    put(core, plugins).map_err(PluginError::io("write the shell libraries into", core))
}

fn put(core: &Path, plugins: &Path) -> io::Result<()> {
    fs::create_dir_all(core.join("enabled"))?;
    for (name, files) in LIBRARIES {
        let folder = core.join("available").join(name);
        fs::create_dir_all(&folder)?;
        for (file, text) in *files {
            write(&folder.join(file), text)?;
        }
        link(&folder, &core.join("enabled").join(name))?;
        for place in ["available", "enabled"] {
            link(&folder, &plugins.join(place).join(name))?;
        }
    }
    Ok(())
}

/// Scripts of an earlier daemon may be reading it: whole or not at all, and only when it changes.
fn write(file: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let fresh = file.with_file_name(".fresh");
    fs::write(&fresh, text)?;
    fs::rename(fresh, file)
}

fn link(target: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, link)
}

/// Settings of plugins that somebody wrote into `config.toml` of the plugins' folder: `[NAME]` with `KEY = "value"`.
pub fn plugin_config(root: &Path, plugin: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(config_file(root)).unwrap_or_default();
    let file: toml::Table = match toml::from_str(&text) {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(%error, "config.toml of the plugins' folder is left out");
            return BTreeMap::new();
        }
    };
    let table = file.get(plugin).and_then(toml::Value::as_table);
    let text = |value: &toml::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    table
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

/// A plugin's settings as its scripts find them: what its plugin.toml says, over it config.toml, over it `PLUGIN_KEY`.
pub fn plugin_variables(
    root: &Path,
    plugin: &str,
    lookup: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<(String, OsString)> {
    let manifest = Manifest::read(&root.join("enabled").join(plugin)).unwrap_or_default();
    let mut settings = manifest.config;
    settings.extend(plugin_config(root, plugin));
    let variable = |(key, value): (String, String)| {
        let given = lookup(&format!("{}_{}", shouted(plugin), shouted(&key)));
        (
            format!("CONFIG_{}", shouted(&key)),
            given.unwrap_or_else(|| value.into()),
        )
    };
    settings.into_iter().map(variable).collect()
}

/// Triggers that the daemon has an answer to when plugins fire them; plugins that implement them are asked after it.
pub const ANSWERED: &[&str] = &[
    "app-create",
    "app-destroy",
    "app-exists",
    "app-list",
    "app-maybe-create",
    "app-restart",
    "builder-get-property",
    "certs-exists",
    "certs-get",
    "certs-remove",
    "certs-set",
    "checks-get-property",
    "config-export",
    "config-get",
    "config-get-global",
    "config-set",
    "config-unset",
    "cron-get-property",
    "deploy",
    "docker-args-build",
    "docker-args-deploy",
    "docker-args-run",
    "domains-add",
    "domains-disable",
    "domains-enable",
    "domains-list",
    "domains-urls",
    "domains-vhost-enabled",
    "git-deploy-branch",
    "git-get-property",
    "git-has-code",
    "git-revision",
    "logs-get-property",
    "network-get-ipaddr",
    "network-get-listeners",
    "network-get-property",
    "ports-clear",
    "ports-get",
    "ports-get-available",
    "ports-get-property",
    "procfile-exists",
    "procfile-get-command",
    "proxy-build-config",
    "proxy-is-enabled",
    "proxy-type",
    "ps-current-scale",
    "ps-get-property",
    "ps-set-scale",
    "receive-app",
    "release-and-deploy",
    "resource-get-property",
    "scheduler-app-status",
    "scheduler-detect",
    "scheduler-is-deployed",
];

/// Whether the daemon has an answer to a trigger.
pub fn is_answered(trigger: &str) -> bool {
    ANSWERED.contains(&trigger)
}

/// Keeps a setting of a plugin there.
pub fn set_plugin_config(root: &Path, plugin: &str, key: &str, value: &str) -> io::Result<()> {
    let path = config_file(root);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut file: toml::Table = toml::from_str(&text).map_err(io::Error::other)?;
    let table = file
        .entry(plugin)
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    let Some(table) = table.as_table_mut() else {
        return Err(io::Error::other(format!("{plugin} is no table")));
    };
    table.insert(key.to_owned(), value.into());
    let fresh = path.with_file_name(".config.toml.fresh");
    fs::write(&fresh, file.to_string())?;
    fs::rename(fresh, path)
}

fn config_file(root: &Path) -> PathBuf {
    root.join("config.toml")
}

fn shouted(text: &str) -> String {
    text.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_both_places_and_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let (core, plugins) = (folder.path().join("core"), folder.path().join("plugins"));
        for place in ["available", "enabled"] {
            fs::create_dir_all(plugins.join(place)).unwrap();
        }
        place(&core, &plugins).unwrap();
        let file = core.join("available/common/functions");
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(core.join("available/ps/functions"), "old").unwrap();
        place(&core, &plugins).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
        for place in ["available", "enabled"] {
            let text = fs::read_to_string(plugins.join(place).join("ps/functions")).unwrap();
            assert!(text.contains("ps_restore"), "{text}");
        }
        assert!(!core.join("available/docker-options/functions").exists());
        assert!(is_core("common") && !is_core("redis"));
    }

    #[test]
    fn the_docs_tell_of_every_trigger() {
        let text = include_str!("../../../docs/triggers.md");
        let sections: Vec<_> = text.split("\n## ").collect();
        let part = |title: &str| {
            sections
                .iter()
                .find(|part| part.starts_with(title))
                .unwrap()
        };
        let names = |title| {
            let quoted = part(title).split('`').skip(1).step_by(2);
            quoted
                .filter(|name| !name.contains(' '))
                .collect::<Vec<_>>()
        };
        let (fire, answered) = (names("These fire"), names("These are answered"));
        let silent = names("These do not fire");
        for name in crate::name::Trigger::NAMES {
            assert!(fire.contains(name) && !silent.contains(name), "{name}");
        }
        for name in ANSWERED {
            assert!(answered.contains(name) || fire.contains(name), "{name}");
            assert!(!silent.contains(name), "{name}");
        }
    }

    #[test]
    fn settings_are_kept_by_plugin() {
        let folder = tempfile::tempdir().unwrap();
        set_plugin_config(folder.path(), "a", "side", "left").unwrap();
        set_plugin_config(folder.path(), "b", "side", "right").unwrap();
        set_plugin_config(folder.path(), "a", "side", "up").unwrap();
        assert_eq!(plugin_config(folder.path(), "a")["side"], "up");
        assert_eq!(plugin_config(folder.path(), "b")["side"], "right");
        assert!(plugin_config(folder.path(), "c").is_empty());
        let manifest = "[plugin]\n[plugin.config]\nside = \"down\"\nmy-key = \"1\"\n";
        fs::create_dir_all(folder.path().join("enabled/a")).unwrap();
        fs::write(folder.path().join("enabled/a/plugin.toml"), manifest).unwrap();
        let variables = plugin_variables(folder.path(), "a", &|name| {
            (name == "A_MY_KEY").then(|| "2".into())
        });
        let pair = |key: &str, value: &str| (key.to_owned(), OsString::from(value));
        assert_eq!(
            variables,
            [pair("CONFIG_MY_KEY", "2"), pair("CONFIG_SIDE", "up")]
        );
    }
}
