//! Other people's servers: who we are to them, and which of them we know.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use sarsen_domain::git::Credential;
use sarsen_domain::{AppName, Branch, CommitId};
use tokio_util::sync::CancellationToken;

use crate::child::Git;
use crate::error::GitError;
use crate::repos::Repos;
use crate::submodules::fetch::{grown_beyond, prepare, public_addresses, size};
use crate::submodules::url::{Remote, redacted};
use crate::tree::Place;

/// How long a whole repository may take.
const FETCH_LIMIT: Duration = Duration::from_secs(30 * 60);
const KEYS_LIMIT: Duration = Duration::from_secs(30);
/// What a fetch brought; pushes and clones never see it.
const FETCHED: &str = "refs/sarsen/sync";

/// Starts ssh with our key and our known hosts beside the user's own. Git wants a program without arguments here; the
/// text is the same for everybody, and nothing is put into it.
const SSH: &str = "#!/bin/sh\n\
    here=${0%/*}\n\
    exec ssh -o IdentityFile=\"$here/.ssh/id_ed25519\" -o IdentityFile=~/.ssh/id_ed25519 -o IdentityFile=~/.ssh/id_rsa \\\n\
      -o UserKnownHostsFile=\"\\\"$here/.ssh/known_hosts\\\" ~/.ssh/known_hosts\" -o BatchMode=yes \"$@\"\n";

/// Who we are to whom; clones share the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(Arc<RwLock<Vec<Credential>>>);

impl Credentials {
    /// Tells git about the one for this host, through its environment: arguments and files would show it.
    pub(crate) fn lend(&self, git: Git, remote: &Remote) -> Git {
        let host = remote.host.to_ascii_lowercase();
        let mine = {
            let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
            list.iter().find(|one| one.host.as_str() == host).cloned()
        };
        let Some(mine) = mine else {
            return git;
        };
        // Never in the clear over the network.
        if !remote.web || !remote.url.to_ascii_lowercase().starts_with("https://") {
            return git;
        }
        let pair = format!("{}:{}", mine.username, mine.password.expose());
        let token = base64::engine::general_purpose::STANDARD.encode(pair);
        let key = format!("http.https://{host}:{}/.extraHeader", remote.port);
        git.config(&key, format!("Authorization: Basic {token}"))
    }
}

impl Repos {
    /// Says who we are to other servers.
    pub fn set_credentials(&self, credentials: Vec<Credential>) {
        let mut list = self
            .credentials()
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *list = credentials;
    }

    /// Fetches a branch, a tag or a commit of another repository, its default branch when none is named. No branch of
    /// ours holds the commit yet: see [`Repos::set_branch`].
    pub async fn fetch(
        &self,
        app: &AppName,
        url: &str,
        reference: Option<&Branch>,
        cancel: &CancellationToken,
    ) -> Result<CommitId, GitError> {
        let remote = Remote::parse(url).map_err(GitError::Refused)?;
        let place = Place::new(&self.needed(app)?, None)?;
        let packs = place.repo.join("objects/pack");
        let most = size(&packs).saturating_add(self.settings().max_pack_bytes);
        let work = self.ask_for(&remote, reference, &place);
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(GitError::Gone),
            done = work => done,
            () = grown_beyond(&packs, most) => Err(GitError::Refused(format!(
                "{} sends more than {} bytes",
                redacted(url),
                self.settings().max_pack_bytes
            ))),
        }
    }

    async fn ask_for(
        &self,
        remote: &Remote,
        reference: Option<&Branch>,
        place: &Place,
    ) -> Result<CommitId, GitError> {
        let git = prepare(self, remote, place).await?;
        let wanted = reference.map_or("HEAD", Branch::as_str);
        let fetched = format!("+{wanted}:{FETCHED}");
        let one = git.clone().arg("--").arg(&remote.url).arg(&fetched);
        let output = one.output(FETCH_LIMIT).await?;
        if output.status.success() {
            return found(place, FETCHED);
        }
        // A commit that no branch or tag points to: most servers do not give it by itself.
        let hexadecimal =
            |text: &str| text.len() >= 7 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !hexadecimal(wanted) {
            return Err(refusal(remote, &output.stderr));
        }
        let all = git
            .arg("--")
            .arg(&remote.url)
            .arg(format!("+refs/heads/*:{FETCHED}-heads/*"));
        let output = all.output(FETCH_LIMIT).await?;
        if output.status.success() {
            return found(place, wanted);
        }
        Err(refusal(remote, &output.stderr))
    }

    /// Learns the keys of an ssh server, so that fetches from it are possible. Gives how many are new.
    pub async fn allow_host(&self, host: &str) -> Result<usize, GitError> {
        let remote = Remote::parse(&format!("ssh://{host}/x")).map_err(|_| {
            GitError::Refused(format!(
                "'{}' is not the name of a host",
                host.escape_debug()
            ))
        })?;
        if !self.settings().submodules.allow_private_hosts {
            public_addresses(&remote).await?;
        }
        let failed = |why: String| GitError::Command {
            action: format!("learn the keys of {host}"),
            detail: why,
        };
        let scan = tokio::process::Command::new("ssh-keyscan")
            .args([
                "-T",
                "10",
                "-p",
                &remote.port.to_string(),
                "--",
                &remote.host,
            ])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let scanned = tokio::time::timeout(KEYS_LIMIT, scan).await;
        let output = scanned
            .map_err(|_| failed("it does not answer".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let keys: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        if keys.is_empty() {
            return Err(failed("it shows no keys".to_owned()));
        }
        add_lines(&self.ssh_folder().join("known_hosts"), &keys)
            .map_err(GitError::io("write the known hosts"))
    }

    /// The key that other servers know us by, as they want it; none when none was made.
    pub fn public_key(&self) -> Result<Option<String>, GitError> {
        match fs::read_to_string(self.ssh_folder().join("id_ed25519.pub")) {
            Ok(key) => Ok(Some(key.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(GitError::io("read the public key")(error)),
        }
    }

    /// Makes the key that other servers know us by. One that is there stays.
    pub async fn generate_deploy_key(&self) -> Result<(), GitError> {
        if self.public_key()?.is_some() {
            return Err(GitError::Refused(
                "there is a deploy key already: see git:public-key".to_owned(),
            ));
        }
        let failed = |why: String| GitError::Command {
            action: "make a key".to_owned(),
            detail: why,
        };
        let make = tokio::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "dokku", "-f"])
            .arg(self.ssh_folder().join("id_ed25519"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let made = tokio::time::timeout(KEYS_LIMIT, make).await;
        let output = made
            .map_err(|_| failed("ssh-keygen does not end".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }

    fn ssh_folder(&self) -> PathBuf {
        self.home().join(".ssh")
    }
}

/// Makes the folder of keys and the program that uses them.
pub(crate) fn furnish(home: &Path) -> io::Result<()> {
    crate::repos::private_dir(&home.join(".ssh"))?;
    let program = home.join("ssh");
    // Renamed into place: a fetch may be starting the old one.
    let fresh = home.join(".ssh-new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o700)
        .open(&fresh)?;
    file.write_all(SSH.as_bytes())?;
    drop(file);
    fs::rename(fresh, program)
}

/// Adds those lines that the file does not have.
fn add_lines(path: &Path, lines: &[&str]) -> io::Result<usize> {
    let known = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let new: Vec<_> = lines
        .iter()
        .filter(|line| !known.lines().any(|old| old == **line))
        .collect();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    for line in &new {
        writeln!(file, "{line}")?;
    }
    Ok(new.len())
}

fn refusal(remote: &Remote, stderr: &str) -> GitError {
    GitError::Refused(stderr.replace(&remote.url, &redacted(&remote.url)))
}

fn found(place: &Place, name: &str) -> Result<CommitId, GitError> {
    let repository = git2::Repository::open_bare(&place.repo)?;
    let object = repository.revparse_single(name)?.peel_to_commit()?;
    CommitId::parse(&object.id().to_string()).map_err(|error| GitError::Refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_are_added_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        assert_eq!(
            add_lines(&path, &["a ssh-ed25519 x", "b ssh-ed25519 y"]).unwrap(),
            2
        );
        assert_eq!(
            add_lines(&path, &["a ssh-ed25519 x", "c ssh-ed25519 z"]).unwrap(),
            1
        );
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }

    #[test]
    fn the_ssh_program_is_private_and_holds_nobodys_text() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        furnish(folder.path()).unwrap();
        furnish(folder.path()).unwrap();
        let program = folder.path().join("ssh");
        assert_eq!(
            fs::metadata(&program).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert!(
            !fs::read_to_string(program)
                .unwrap()
                .contains(&folder.path().display().to_string())
        );
    }
}
