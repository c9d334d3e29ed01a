//! Fetching a submodule's commit into a cache that all apps share.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sarsen_domain::CommitId;
use sarsen_domain::address::is_public;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::url::{Remote, redacted};
use crate::child::Git;
use crate::error::GitError;
use crate::repos::{Repos, is_whole, private_dir};
use crate::serve::checked;
use crate::tree::{Place, Store, to_oid};

/// How often the size of what came is looked at.
const CHECKED: Duration = Duration::from_millis(250);

type Lock = Arc<tokio::sync::Mutex<()>>;

/// One bare repository per URL.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
    /// Git's own locks make the second of two fetches fail; ours makes it wait.
    locks: Arc<Mutex<HashMap<String, Lock>>>,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            locks: Arc::default(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn lock(&self, key: &str) -> Lock {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds are made again when needed.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(key.to_owned()).or_default())
    }
}

/// Makes sure that the cache holds the commit; the error is a reason.
pub(crate) async fn fetch(
    repos: &Repos,
    remote: &Remote,
    commit: &CommitId,
    cancel: &CancellationToken,
) -> Result<Place, GitError> {
    let key = Sha256::digest(remote.url.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let cache = repos.cache();
    let lock = cache.lock(&key);
    let _guard = lock.lock().await;
    let path = cache.root.join(key);
    private_dir(&cache.root).map_err(GitError::io("make the submodules' folder"))?;
    if !is_whole(&path) {
        repos.init_at(&path).await?;
    }
    let place = Place::new(&path, None)?;
    if has(&place, commit)? {
        return Ok(place);
    }
    clear_unfinished(&path).map_err(GitError::io("clean the submodules' folder"))?;
    let packs = path.join("objects/pack");
    let most = size(&packs).saturating_add(repos.settings().max_pack_bytes);
    let work = ask(repos, remote, commit, &place);
    tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(GitError::Gone),
        done = work => done?,
        () = grown_beyond(&packs, most) => {}
    }
    if size(&packs) > most {
        // Kept, it would be used the next time.
        fs::remove_dir_all(&path).map_err(GitError::io("clean the submodules' folder"))?;
        return Err(refused(format!(
            "{} sends more than {} bytes",
            redacted(&remote.url),
            repos.settings().max_pack_bytes
        )));
    }
    if has(&place, commit)? {
        return Ok(place);
    }
    Err(refused(format!(
        "{} does not have commit {commit}; was it pushed there?",
        redacted(&remote.url)
    )))
}

fn refused(reason: String) -> GitError {
    GitError::Refused(reason)
}

/// Removes what a fetch left that was stopped half-way; ours is the only one here now.
fn clear_unfinished(path: &Path) -> io::Result<()> {
    if path.join("shallow.lock").exists() {
        fs::remove_file(path.join("shallow.lock"))?;
    }
    for entry in fs::read_dir(path.join("objects/pack"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("tmp_") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Bytes of the files in a folder. Those that vanish meanwhile do not count.
pub(crate) fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// Returns when a folder holds more than this. Git has no such limit for fetches.
pub(crate) async fn grown_beyond(folder: &Path, most: u64) {
    let mut ticks = tokio::time::interval(CHECKED);
    while size(folder) <= most {
        ticks.tick().await;
    }
}

/// Whether the whole commit is there: git writes objects before refs, but a fetch may have been killed in between.
pub(crate) fn has(place: &Place, commit: &CommitId) -> Result<bool, GitError> {
    let store = Store::at(place)?;
    let found = store.repository().find_commit(to_oid(commit)?);
    Ok(found.is_ok_and(|commit| commit.tree().is_ok()))
}

/// The commit alone if the server gives it, else all branches and tags.
async fn ask(
    repos: &Repos,
    remote: &Remote,
    commit: &CommitId,
    place: &Place,
) -> Result<(), GitError> {
    let git = prepare(repos, remote, place).await?;
    let limit = repos.settings().submodules.timeout;
    let keep = format!("{commit}:refs/keep/{commit}");
    let alone = git
        .clone()
        .arg("--depth=1")
        .arg("--")
        .arg(&remote.url)
        .arg(keep);
    if alone.output(limit).await?.status.success() {
        return Ok(());
    }
    let git = if place.repo.join("shallow").exists() {
        git.arg("--unshallow")
    } else {
        git
    };
    let all = git
        .arg("--")
        .arg(&remote.url)
        .arg("+refs/heads/*:refs/heads/*")
        .arg("+refs/tags/*:refs/tags/*");
    let output = all.output(limit).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(
        output.stderr.replace(&remote.url, &redacted(&remote.url)),
    ))
}

/// Git, ready to fetch from there: the addresses are looked at, the credentials lent.
pub(crate) async fn prepare(
    repos: &Repos,
    remote: &Remote,
    place: &Place,
) -> Result<Git, GitError> {
    let policy = &repos.settings().submodules;
    let mut git = repos
        .git("fetch from another server", "fetch")
        .in_repo(&place.repo)
        .config("protocol.https.allow", "always")
        .config("protocol.http.allow", "always")
        .config("protocol.ssh.allow", "always")
        .config("http.lowSpeedLimit", "1000")
        .config("http.lowSpeedTime", "60")
        // ssh asks nobody: an unknown host or a locked key is an error.
        .env("SSH_ASKPASS", "/bin/false")
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("GIT_SSH", repos.home().join("ssh"))
        .env("GIT_SSH_VARIANT", "ssh");
    if policy.is_proxied(remote) {
        // The proxy finds the address; only what is an address already can be looked at.
        git = git.config("http.followRedirects", "false");
        let literal = remote.host.parse::<IpAddr>();
        if !policy.allow_private_hosts && literal.is_ok_and(|address| !is_public(address)) {
            return Err(private(&remote.host));
        }
    } else if !policy.allow_private_hosts {
        let addresses = public_addresses(remote).await?;
        // Git must not resolve the name again, or be sent on to somewhere else.
        git = git.config("http.followRedirects", "false");
        if remote.web && remote.host.parse::<IpAddr>().is_err() {
            let pinned = format!("{}:{}:{}", remote.host, remote.port, addresses.join(","));
            git = git.config("http.curloptResolve", pinned);
        }
    }
    for (key, value) in &policy.env {
        git = git.env(key, value);
    }
    let flags = [
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--no-auto-maintenance",
    ];
    let git = repos.credentials().lend(git, remote);
    let git = flags
        .iter()
        .fold(checked(git, "fetch"), |git, flag| git.arg(flag));
    Ok(git)
}

fn private(host: &str) -> GitError {
    refused(format!(
        "{host} is in a private network; sources are fetched from public hosts only, unless the daemon's setting build.allow_private_hosts is true"
    ))
}

/// The host's addresses, all of which must be public.
pub(crate) async fn public_addresses(remote: &Remote) -> Result<Vec<String>, GitError> {
    let host = &remote.host;
    let found = tokio::net::lookup_host((host.as_str(), remote.port))
        .await
        .map_err(|error| refused(format!("{host} cannot be found: {error}")))?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if addresses.is_empty() || !addresses.iter().copied().all(is_public) {
        return Err(private(host));
    }
    let text = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    Ok(addresses.iter().map(text).collect())
}
