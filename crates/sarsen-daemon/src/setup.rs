//! `sarsen setup`: what a new host needs before its first start. Safe to repeat.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sarsen_control::parse_key;
use sarsen_domain::{KeyName, SshKey};
use sarsen_store::Store;

use crate::command::{NamedKey, say, warn};
use crate::config::{DEFAULT_FILE, Loaded, TEMPLATE};
use crate::house::House;
use crate::probe::{Answer, ask, ask_with};

/// A key file is far smaller.
const KEY_MAX: u64 = 64 * 1024;

/// Runs it; gives the exit code.
pub fn run(loaded: &Loaded, key: Option<&NamedKey>) -> u8 {
    match prepare(loaded, key) {
        Ok(done) => say(&done.concat()),
        Err(error) => {
            warn(&format!("{error:#}"));
            1
        }
    }
}

fn prepare(loaded: &Loaded, key: Option<&NamedKey>) -> Result<Vec<String>> {
    let mut done = vec![write_config(loaded.file.as_deref())?];
    let key = key.map(read_key).transpose()?;
    let config = &loaded.config;
    if ask(&config.control.socket, &["version"]).is_ok_and(|answer| answer.is_some()) {
        if let Some(key) = key {
            done.push(add_by_daemon(&config.control.socket, &key)?);
        }
        done.push("-----> The daemon is running\n".to_owned());
        return Ok(done);
    }
    let house = House::enter(&config.data_dir)?;
    house.owner()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    done.push(runtime.block_on(async {
        let store = Store::open(&house.database(), &house.seal_key()).await?;
        let added = match &key {
            Some(key) => add_to_store(&store, key).await,
            None => Ok(String::new()),
        };
        store.close().await;
        added
    })?);
    done.push(format!(
        "-----> Data is kept in {}\n",
        config.data_dir.display()
    ));
    done.push(
        "-----> Start the daemon with 'sarsen serve', or 'systemctl enable --now sarsen'\n"
            .to_owned(),
    );
    Ok(done)
}

/// Puts the documented configuration where it will be looked for, unless there is one.
fn write_config(read: Option<&Path>) -> Result<String> {
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
            file.write_all(TEMPLATE.as_bytes())
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
