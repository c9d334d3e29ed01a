//! A host with plugins, and ways to write bad ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sarsen_domain::Progress;
use sarsen_plugins::{
    Call, Installation, Output, PluginName, PluginSettings, Plugins, Source, Trigger, TriggerReport,
};
use tokio_util::task::TaskTracker;

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) plugins: Plugins,
    pub(crate) tasks: TaskTracker,
}

#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<u8>>);

impl Progress for Log {
    fn write(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_limit(Duration::from_secs(30))
    }

    pub(crate) fn with_limit(trigger_time_limit: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tasks = TaskTracker::new();
        let plugins = Plugins::new(&PluginSettings {
            root: folder.path().join("plugins"),
            lib_root: folder.path().to_owned(),
            dokku_root: folder.path().join("git"),
            socket: folder.path().join("control.sock"),
            binary: PathBuf::from("/bin/echo"),
            stack_image: "sarsen/stack:latest".to_owned(),
            env: vec![
                ("DOCKER_HOST".into(), "unix:///x".into()),
                ("GIT_SSH_COMMAND".into(), folder.path().join("ssh").into()),
                ("GIT_SSH_VARIANT".into(), "simple".into()),
            ],
            trigger_time_limit,
            tasks: tasks.clone(),
        })
        .unwrap();
        Self {
            folder,
            plugins,
            tasks,
        }
    }

    /// The plugins that somebody installed.
    pub(crate) fn own(&self) -> Vec<sarsen_plugins::Plugin> {
        let mut plugins = self.plugins.list().unwrap();
        plugins.retain(|plugin| !plugin.core);
        plugins
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A plugin in a folder outside of the host, with these scripts.
    pub(crate) fn draft(&self, name: &str, scripts: &[(&str, &str)]) -> PathBuf {
        let folder = self.path("drafts").join(name);
        fs::create_dir_all(&folder).unwrap();
        let manifest = format!(
            "[plugin]\ndescription = \"about {name}\"\nversion = \"1.2\"\n[plugin.config]\nside = \"left\"\n"
        );
        fs::write(folder.join("plugin.toml"), manifest).unwrap();
        for (place, text) in scripts {
            script(&folder.join(place), text);
        }
        folder
    }

    /// The same, installed and enabled.
    pub(crate) async fn plugin(&self, name: &str, scripts: &[(&str, &str)]) -> PathBuf {
        let draft = self.draft(name, scripts);
        self.install(&format!("file://{}", draft.display()), name)
            .await
            .unwrap();
        self.path("plugins/enabled").join(name)
    }

    pub(crate) async fn install(&self, source: &str, called: &str) -> Result<(), String> {
        let wanted = Installation {
            source: Source::parse(source).unwrap(),
            name: name(called),
            committish: None,
        };
        let installed = self.plugins.install(&wanted).await;
        installed.map(|_| ()).map_err(|error| error.to_string())
    }

    pub(crate) async fn fire(&self, trigger: &str, args: &[&str]) -> TriggerReport {
        self.fire_into(trigger, Call::new(args, Output::Kept)).await
    }

    pub(crate) async fn fire_into(&self, trigger: &str, call: Call<'_>) -> TriggerReport {
        let trigger = Trigger::parse(trigger).unwrap();
        self.plugins.trigger(&trigger, call).await.unwrap()
    }
}

/// Writes a script for the shell, or one with its own first line.
pub(crate) fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = if text.starts_with("#!") {
        text.to_owned()
    } else {
        format!("#!/bin/sh\n{text}\n")
    };
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn name(text: &str) -> PluginName {
    PluginName::parse(text).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until something is true.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process runs; one that has ended and was not waited for does not.
pub(crate) fn runs(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = status.rsplit(") ").next().unwrap_or_default();
    !state.is_empty() && !state.starts_with('Z')
}
