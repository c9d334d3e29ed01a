//! Tasks of the host: what plugins print for the trigger `cron-entries`, as Dokku puts it into its crontab. Each line's
//! command is a program and its words; no shell sees them. As with cron, what was due while nobody was there is missed.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sarsen_deploy::cron::{Schedule, Zone};
use sarsen_domain::{CronId, CronTask, Invalid, Progress};
use sarsen_plugins::{Call as Script, Output, PluginError, PluginName, Run, Trigger};

use crate::control::Control;
use crate::failure::Outcome;

/// Plugins are asked anew after so many seconds.
const ASK: i64 = 600;
/// What only a shell could do.
const OF_A_SHELL: [&str; 8] = ["|", ">", "<", "&", ";", "`", "$(", "\n"];

/// A task of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostTask {
    /// Whose it is.
    pub plugin: PluginName,
    pub task: CronTask,
    /// The program and its arguments.
    words: Vec<String>,
    /// Where the output goes.
    pub log: Option<PathBuf>,
}

/// What the scheduler knows of the host's tasks.
#[derive(Debug, Default)]
pub(super) struct HostTasks(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    asked_at: Option<i64>,
    tasks: Vec<HostTask>,
    /// Up to when the due times of each task were looked after.
    cursors: HashMap<CronId, i64>,
    running: BTreeSet<CronId>,
}

impl HostTask {
    /// `SCHEDULE;COMMAND[;LOGFILE]`
    fn parse(plugin: &PluginName, line: &str) -> Result<Self, Invalid> {
        let mut parts = line.splitn(3, ';').map(str::trim);
        let (schedule, command) = (parts.next(), parts.next());
        let (Some(schedule), Some(command)) = (schedule, command) else {
            return Err(Invalid::new("write it as SCHEDULE;COMMAND[;LOGFILE]"));
        };
        let task = CronTask::new(command, schedule)?;
        Schedule::parse(&task.schedule)?;
        let words = shlex::split(command).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| Invalid::new("the quotes do not match"))?;
        if let Some(sign) = OF_A_SHELL.iter().find(|sign| command.contains(**sign)) {
            return Err(Invalid::new(format!(
                "'{}' is for a shell, and none reads it: name a script, and the log file behind a second ';'",
                sign.escape_debug()
            )));
        }
        let log = parts.next().filter(|log| !log.is_empty());
        if let Some(log) = log.filter(|log| !log.starts_with('/')) {
            return Err(Invalid::new(format!(
                "the log file '{}' needs its whole path",
                log.escape_debug()
            )));
        }
        Ok(Self {
            plugin: plugin.clone(),
            task,
            words,
            log: log.map(PathBuf::from),
        })
    }

    pub(crate) fn id(&self) -> CronId {
        self.task.id_on_host()
    }
}

impl HostTasks {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has plugins asked anew at the next look.
    pub(super) fn forget(&self) {
        self.known().asked_at = None;
    }
}

impl Control {
    /// What plugins want done at certain times. A line that cannot be read is said in the daemon's log.
    pub(crate) async fn host_tasks(&self) -> Outcome<Vec<HostTask>> {
        let trigger = Trigger::CronEntries;
        if !self.plugins.implements(&trigger) {
            return Ok(Vec::new());
        }
        self.note_trigger(&trigger, &["docker-local"]).await;
        let call = Script::new(&["docker-local"], Output::Kept);
        let asked = Box::pin(self.plugins.trigger(&trigger, call)).await?;
        self.record(&asked).await;
        let mut tasks = Vec::new();
        for run in asked.runs.iter().filter(|run| run.exit.is_success()) {
            let text = String::from_utf8_lossy(&run.stdout);
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                match HostTask::parse(&run.plugin, line) {
                    Ok(task) => tasks.push(task),
                    Err(error) => {
                        let line = line.escape_debug();
                        tracing::warn!(plugin.name = %run.plugin, "the cron entry '{line}' of plugin {} is left out: {error}", run.plugin);
                    }
                }
            }
        }
        Ok(tasks)
    }

    /// Has plugins say anew what they want done.
    pub(crate) fn forget_host_tasks(&self) {
        self.cron.host.forget();
        self.cron.changed.notify_one();
    }

    /// Starts what has come due of the host's tasks; tells when something is due next.
    pub(crate) async fn host_tick(&self, now: i64) -> Outcome<Option<i64>> {
        let asked_at = self.cron.host.known().asked_at;
        if asked_at.is_none_or(|at| !(at..at + ASK).contains(&now)) {
            let tasks = self.host_tasks().await?;
            let mut known = self.cron.host.known();
            known.asked_at = Some(now);
            let ids: BTreeSet<_> = tasks.iter().map(HostTask::id).collect();
            known.cursors.retain(|id, _| ids.contains(id));
            known.tasks = tasks;
        }
        let mut next = None;
        let tasks = self.cron.host.known().tasks.clone();
        for one in tasks {
            let (schedule, zone) = (Schedule::parse(&one.task.schedule)?, Zone::system());
            let since = self.cron.host.known().cursors.insert(one.id(), now);
            if let Some(since) = since
                && schedule.due(since, now, &zone).is_some()
            {
                self.begin_host_task(one);
            }
            next = [next, schedule.next(now, &zone)]
                .into_iter()
                .flatten()
                .min();
        }
        Ok(next)
    }

    fn begin_host_task(&self, one: HostTask) {
        let id = one.id();
        if !self.cron.host.known().running.insert(id.clone()) {
            tracing::warn!(
                plugin.name = %one.plugin,
                "a task of plugin {} is left out: its last run has not ended", one.plugin
            );
            return;
        }
        let control = self.clone();
        self.tasks.spawn(async move {
            // The end of the daemon stops it.
            let run = control.run_host_task(&one);
            control.shutdown.run_until_cancelled(run).await;
            control.cron.host.known().running.remove(&id);
        });
    }

    async fn run_host_task(&self, one: &HostTask) {
        let plugin = &one.plugin;
        let log = match one.log.as_deref().map(LogFile::open).transpose() {
            Ok(log) => log,
            Err(error) => {
                tracing::error!(plugin.name = %plugin, %error, "a task of plugin {plugin} did not run: its log file cannot be written");
                return;
            }
        };
        let output = match &log {
            Some(log) => Output::Log(log),
            None => Output::Kept,
        };
        let run = Box::pin(self.plugins.run_entry(plugin, &one.words, output)).await;
        tell(plugin, run);
    }
}

/// Says how a task ended.
fn tell(plugin: &PluginName, run: Result<Run, PluginError>) {
    match run {
        Ok(run) if run.exit.is_success() => {
            tracing::info!(plugin.name = %plugin, "{run}");
        }
        Ok(run) => {
            tracing::error!(plugin.name = %plugin, "{run}: {}", run.last_words.escape_debug());
        }
        Err(error) => {
            tracing::error!(plugin.name = %plugin, %error, "a task of plugin {plugin} did not run");
        }
    }
}

/// A file that output is added to.
struct LogFile(Arc<Mutex<File>>);

impl LogFile {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }
}

impl Progress for LogFile {
    fn write(&self, bytes: &[u8]) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(bytes) {
            tracing::warn!(%error, "the output of a task cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sarsen_runtime::fake::Behaviour;

    use super::*;
    use crate::testing::World;

    #[test]
    fn entries_have_a_form() {
        let plugin = PluginName::parse("certs-r-us").unwrap();
        let parse = |line| HostTask::parse(&plugin, line);
        let good = parse("@daily;dokku certs-r-us:renew 'a b';/var/log/renew.log").unwrap();
        assert_eq!(good.words, ["dokku", "certs-r-us:renew", "a b"]);
        assert_eq!(good.log, Some(PathBuf::from("/var/log/renew.log")));
        assert_eq!(parse("0 3 * * *; true").unwrap().log, None);
        for bad in [
            "@daily",
            "61 * * * *;true",
            "* * * *;true",
            "@daily;",
            "@daily;true;log",
            "@daily;true > /dev/null",
            "@daily;true && false",
            "@daily;echo $(id)",
            "@daily;echo 'x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_plugins_want_done_is_listed_and_done() {
        let world = World::new(Behaviour::default()).await;
        let root = world.folder.path();
        let plugin = root.join("renewer");
        std::fs::create_dir(&plugin).unwrap();
        let log = root.join("renewer.log");
        let script = format!(
            "#!/bin/sh\necho '*/5 * * * *;/bin/echo renewed for '$1';{}'\necho 'nonsense'\n",
            log.display()
        );
        let manifest = "[plugin]\ndescription = \"renews\"\nversion = \"1\"\n[plugin.config]\n";
        for (file, text) in [("plugin.toml", manifest), ("cron-entries", &script)] {
            std::fs::write(plugin.join(file), text).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(plugin.join(file), mode).unwrap();
        }
        world
            .ok(&format!("plugin:install {}", plugin.display()))
            .await;
        let listed = world.ok("cron:list --global").await;
        assert!(listed.contains("renewed for docker-local"), "{listed}");
        assert!(!listed.contains("nonsense"), "{listed}");
        // 10:00:30, then 10:04:59, then past 10:05.
        let hour = 1_780_000_000 / 3600 * 3600;
        let next = world.control.host_tick(hour + 30).await.unwrap();
        assert_eq!(next, Some(hour + 300));
        world.control.host_tick(hour + 299).await.unwrap();
        assert!(!log.exists());
        world.control.host_tick(hour + 301).await.unwrap();
        for _ in 0..500 {
            if std::fs::read_to_string(&log).is_ok_and(|text| text.contains('\n')) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, "renewed for docker-local\n");
        world.ok("plugin:disable renewer").await;
        assert!(world.control.host_tasks().await.unwrap().is_empty());
    }
}
