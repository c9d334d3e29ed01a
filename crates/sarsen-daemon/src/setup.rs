//! `sarsen setup`: what a new host needs before its first start. Safe to repeat.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sarsen_control::import::{DokkuFolders, ImportMode, Target, import};
use sarsen_control::parse_key;
use sarsen_domain::{KeyName, SshKey};
use sarsen_git::Repos;
use sarsen_store::Store;
use tokio_util::task::TaskTracker;

use crate::command::{NamedKey, say, warn};
use crate::config::{Config, DEFAULT_FILE, Loaded};
use crate::house::House;
use crate::probe::{Answer, ask, ask_with};
use crate::serve::{make_roots, repo_settings};

/// A key file is far smaller.
const KEY_MAX: u64 = 64 * 1024;

/// What is to be done beside the usual.
pub struct Wanted<'a> {
    pub key: Option<&'a NamedKey>,
    pub from_dokku: Option<&'a DokkuFolders>,
    pub dry_run: bool,
}

/// Runs it; gives the exit code.
pub fn run(loaded: &Loaded, wanted: &Wanted<'_>) -> u8 {
    let done = match wanted.from_dokku {
        Some(folders) if wanted.dry_run => rehearse(&loaded.config, folders),
        Some(_) | None => prepare(loaded, wanted),
    };
    match done {
        Ok(done) => say(&done.concat()),
        Err(error) => {
            warn(&format!("{error:#}"));
            1
        }
    }
}

fn prepare(loaded: &Loaded, wanted: &Wanted<'_>) -> Result<Vec<String>> {
    let config = &loaded.config;
    let runs = ask(&config.control.socket, &["version"]).is_ok_and(|answer| answer.is_some());
    if runs && wanted.from_dokku.is_some() {
        bail!(
            "the daemon is running: stop it first ('systemctl stop sarsen.service sarsen-control.socket')"
        );
    }
    let mut done = vec![write_config(loaded.file.as_deref(), &loaded.config_text())?];
    let key = wanted.key.map(read_key).transpose()?;
    if runs {
        if let Some(key) = key {
            done.push(add_by_daemon(&config.control.socket, &key)?);
        }
        done.push("-----> The daemon is running\n".to_owned());
        return Ok(done);
    }
    let house = House::enter(&config.data_dir)?;
    house.owner()?;
    done.push(in_store(&house, async |store: &Store| {
        let mut said = match wanted.from_dokku {
            Some(folders) => carry_over(config, folders, store, ImportMode::Write).await?,
            None => String::new(),
        };
        if let Some(key) = &key {
            said.push_str(&add_to_store(store, key).await?);
        }
        Ok(said)
    })?);
    done.push(format!(
        "-----> Data is kept in {}\n",
        config.data_dir.display()
    ));
    done.push(
        "-----> Start the daemon with 'sarsen serve', or 'systemctl enable --now sarsen'\n"
            .to_owned(),
    );
    if wanted.from_dokku.is_some() {
        done.push("-----> Then bring the apps up with 'sarsen ps:rebuild --all'\n".to_owned());
    }
    Ok(done)
}

/// Runs something with the store of a house, and closes it.
fn in_store(house: &House, work: impl AsyncFnOnce(&Store) -> Result<String>) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Store::open(&house.database(), &house.seal_key()).await?;
        let done = work(&store).await;
        store.close().await;
        done
    })
}

/// A dry run. Where there is nothing yet it plays in a folder that goes away again, so that there is nothing afterwards.
fn rehearse(config: &Config, folders: &DokkuFolders) -> Result<Vec<String>> {
    let is_new = !config.state("sarsen.db").exists();
    let mut config = config.clone();
    let stage = std::env::temp_dir().join(format!("sarsen-dry-run-{:08x}", rand::random::<u32>()));
    if is_new {
        config.data_dir.clone_from(&stage);
        config.dokku.prefix = None;
    }
    let played = House::enter(&config.data_dir).and_then(|house| {
        in_store(&house, async |store: &Store| {
            carry_over(&config, folders, store, ImportMode::DryRun).await
        })
    });
    if is_new {
        fs::remove_dir_all(&stage).ok();
    }
    Ok(vec![played?])
}

async fn carry_over(
    config: &Config,
    folders: &DokkuFolders,
    store: &Store,
    mode: ImportMode,
) -> Result<String> {
    let tasks = TaskTracker::new();
    make_roots(config)?;
    let binary = std::env::current_exe().context("cannot find our own executable")?;
    let repos = Repos::new(repo_settings(config, &binary, tasks, Vec::new()))?;
    let target = Target {
        store,
        repos: &repos,
    };
    let report = import(folders, &target, mode).await;
    report.map_err(|failure| anyhow::anyhow!("{failure}"))
}

/// Puts the documented configuration where it will be looked for, with what `--set` says, unless there is one.
fn write_config(read: Option<&Path>, text: &str) -> Result<String> {
    let path = read.unwrap_or(Path::new(DEFAULT_FILE));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path);
    match file {
        Ok(mut file) => {
            file.write_all(text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(format!(
                "-----> Wrote {}: every setting, with its default\n",
                path.display()
            ))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok(format!("-----> Configuration: {}\n", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

fn read_key(named: &NamedKey) -> Result<SshKey> {
    let path = &named.file;
    let size = fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    if size > KEY_MAX {
        bail!("{} is too large for a public key", path.display());
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = KeyName::parse(&named.name)?;
    let key = parse_key(name, &text)
        .map_err(|failure| anyhow::anyhow!("{}: {failure}", path.display()))?;
    Ok(key)
}

async fn add_to_store(store: &Store, key: &SshKey) -> Result<String> {
    let known = store.ssh_keys().list().await?;
    if known.iter().any(|other| other == key) {
        return Ok(already(key));
    }
    store.ssh_keys().add(key).await?;
    Ok(added(key))
}

/// A daemon that runs knows its database best.
fn add_by_daemon(socket: &Path, key: &SshKey) -> Result<String> {
    let list = command(
        socket,
        &["ssh-keys:list", "--format", "json", key.name.as_str()],
        "",
    )?;
    if list.code == 0 && list.stdout.contains(&key.fingerprint) {
        return Ok(already(key));
    }
    let answer = command(
        socket,
        &["ssh-keys:add", key.name.as_str()],
        &key.public_key,
    )?;
    if answer.code != 0 {
        bail!("{}", answer.stderr.trim().trim_start_matches('!').trim());
    }
    Ok(added(key))
}

fn command(socket: &Path, words: &[&str], stdin: &str) -> Result<Answer> {
    ask_with(socket, words, stdin.as_bytes())?
        .with_context(|| format!("the daemon at {} went away", socket.display()))
}

fn added(key: &SshKey) -> String {
    format!(
        "-----> Added the key of {}: {}\n",
        key.name, key.fingerprint
    )
}

fn already(key: &SshKey) -> String {
    format!("-----> The key of {} is there already\n", key.name)
}
