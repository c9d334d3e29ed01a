//! Bringing a plugin's files onto this host. What comes is put together beside the shelf and moves there whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sarsen_domain::archive::Caps;
use sarsen_domain::{Branch, CommitId};
use tokio_util::task::TaskTracker;

use crate::error::PluginError;
use crate::manifest::Manifest;
use crate::name::PluginName;
use crate::output::Output;
use crate::process::{Env, Program, run};
use crate::shelf::Record;
use crate::source::Source;
use crate::unpack::{PLUGIN, hoist, unpack};

/// The longest that git or curl may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Bytes, packed.
const DOWNLOAD_MAX: &str = "104857600";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What git may do, whatever the configuration of this host says.
const GIT_CONFIG: [(&str, &str); 6] = [
    ("core.hooksPath", "/dev/null"),
    ("core.sshCommand", "ssh -oBatchMode=yes"),
    ("credential.helper", ""),
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("protocol.ssh.allow", "always"),
];

/// Brings one plugin.
pub(crate) struct Fetch<'a> {
    pub(crate) name: &'a PluginName,
    pub(crate) source: &'a Source,
    pub(crate) committish: Option<&'a Branch>,
    /// An empty folder to work in.
    pub(crate) workshop: &'a Path,
    pub(crate) home: OsString,
    /// For git and curl, such as a proxy's address.
    pub(crate) env: &'a [(OsString, OsString)],
    pub(crate) tasks: &'a TaskTracker,
}

impl Fetch<'_> {
    /// The folder that holds the plugin now, and where it came from.
    pub(crate) async fn fetch(&self) -> Result<(PathBuf, Record), PluginError> {
        let mut record = Record {
            source_url: self.source.shown(),
            ..Record::default()
        };
        if self.committish.is_some() && !self.is_git() {
            return Err(fetch_error("--committish belongs to a git repository"));
        }
        let into = self.workshop.join("plugin");
        let folder = match self.source {
            Source::Git(url) => self.clone_repository(url, &into, &mut record).await?,
            Source::Download(url) => {
                let file = self.download(url).await?;
                unpack_file(file, into).await?
            }
            Source::Archive(path) => unpack_file(path.clone(), into).await?,
            Source::Local(path) if is_repository(path) => {
                self.clone_repository(&record.source_url.clone(), &into, &mut record)
                    .await?
            }
            Source::Folder(path) | Source::Local(path) => copy_folder(path.clone(), into).await?,
        };
        Ok((folder, record))
    }

    fn is_git(&self) -> bool {
        match self.source {
            Source::Git(_) => true,
            Source::Local(path) => is_repository(path),
            Source::Download(_) | Source::Archive(_) | Source::Folder(_) => false,
        }
    }

    /// Brings a clone up to date, in place: what its scripts have put there stays. Without a committish, one that was
    /// asked for earlier holds.
    pub(crate) async fn update(
        &self,
        folder: &Path,
        mut record: Record,
    ) -> Result<Updated, PluginError> {
        if !folder.join(".git").exists() {
            return Ok(Updated::NotGit);
        }
        if self.committish.is_none() && record.branch.is_empty() {
            return Ok(Updated::Pinned(record.committish));
        }
        self.git(folder, &["fetch", "--quiet", "--tags", "--prune", "origin"])
            .await?;
        let branch = Branch::parse(&record.branch);
        let wanted = match self.committish {
            Some(wanted) => {
                wanted.as_str().clone_into(&mut record.committish);
                record.branch.clear();
                wanted.clone()
            }
            None => branch?,
        };
        let commit = self.resolve(folder, &wanted, &mut record).await?;
        self.git(
            folder,
            &["checkout", "--quiet", "--detach", commit.as_str(), "--"],
        )
        .await?;
        let before = std::mem::replace(&mut record.commit, commit.to_string());
        if let Err(why) = Manifest::read(folder) {
            self.git(folder, &["checkout", "--quiet", "--detach", &before, "--"])
                .await?;
            let name = self.name.clone();
            return Err(PluginError::Broken { name, why });
        }
        Ok(Updated::At(record))
    }

    async fn clone_repository(
        &self,
        url: &str,
        into: &Path,
        record: &mut Record,
    ) -> Result<PathBuf, PluginError> {
        let target = into.display().to_string();
        self.git(self.workshop, &["clone", "--quiet", "--", url, &target])
            .await?;
        match self.committish {
            None => record.branch = self.git(into, &["branch", "--show-current"]).await?,
            Some(wanted) => {
                wanted.as_str().clone_into(&mut record.committish);
                let commit = self.resolve(into, wanted, record).await?;
                self.git(
                    into,
                    &["checkout", "--quiet", "--detach", commit.as_str(), "--"],
                )
                .await?;
            }
        }
        record.commit = self.git(into, &["rev-parse", "HEAD"]).await?;
        Ok(into.to_owned())
    }

    /// A branch of theirs goes before a tag, a tag before a commit.
    async fn resolve(
        &self,
        repository: &Path,
        wanted: &Branch,
        record: &mut Record,
    ) -> Result<CommitId, PluginError> {
        for (prefix, is_branch) in [
            ("refs/remotes/origin/", true),
            ("refs/tags/", false),
            ("", false),
        ] {
            let revision = format!("{prefix}{wanted}^{{commit}}");
            let arguments = [
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &revision,
            ];
            if let Ok(commit) = self.git(repository, &arguments).await {
                if is_branch {
                    wanted.as_str().clone_into(&mut record.branch);
                }
                return Ok(CommitId::parse(&commit)?);
            }
        }
        Err(fetch_error(&format!(
            "the repository has no branch, tag or commit '{wanted}'"
        )))
    }

    async fn git(&self, folder: &Path, arguments: &[&str]) -> Result<String, PluginError> {
        let mut env: Env = vec![
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
            ("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()),
            ("GIT_TERMINAL_PROMPT".into(), "0".into()),
            (
                "GIT_CONFIG_COUNT".into(),
                (GIT_CONFIG.len() + 1).to_string().into(),
            ),
        ];
        // A repository of this host is read because somebody on this host named it.
        let file = if matches!(self.source, Source::Local(_)) {
            "user"
        } else {
            "never"
        };
        let config = GIT_CONFIG
            .into_iter()
            .chain([("protocol.file.allow", file)]);
        for (index, (key, value)) in config.enumerate() {
            env.push((format!("GIT_CONFIG_KEY_{index}").into(), key.into()));
            env.push((format!("GIT_CONFIG_VALUE_{index}").into(), value.into()));
        }
        self.helper("git", folder, arguments, env).await
    }

    async fn download(&self, url: &str) -> Result<PathBuf, PluginError> {
        let file = self.workshop.join("download");
        let target = file.display().to_string();
        // The first argument makes curl ignore configuration files.
        let arguments = [
            "--disable",
            "--silent",
            "--show-error",
            "--fail",
            "--globoff",
            "--location",
            "--max-redirs",
            "5",
            "--proto",
            "=https",
            "--proto-redir",
            "=https",
            "--connect-timeout",
            "20",
            "--max-filesize",
            DOWNLOAD_MAX,
            "--output",
            &target,
            "--",
            url,
        ];
        self.helper("curl", self.workshop, &arguments, Env::new())
            .await?;
        Ok(file)
    }

    /// Runs a program of this host; gives what it printed.
    async fn helper(
        &self,
        program: &str,
        folder: &Path,
        arguments: &[&str],
        mut env: Env,
    ) -> Result<String, PluginError> {
        env.extend([
            ("PATH".into(), PATH.into()),
            ("HOME".into(), self.home.clone()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ]);
        env.extend(self.env.iter().cloned());
        let program = Program {
            plugin: self.name,
            title: program,
            path: program.into(),
            args: arguments.iter().map(OsString::from).collect(),
            env,
            folder,
            stdin: None,
            limit: Some(FETCH_LIMIT),
        };
        let run = run(program, &mut Output::Kept, self.tasks).await;
        if run.exit.is_success() {
            return Ok(String::from_utf8_lossy(&run.stdout).trim().to_owned());
        }
        let reason = match run.last_words.as_str() {
            "" => String::new(),
            words => format!(": {words}"),
        };
        Err(fetch_error(&format!("{} {}{reason}", run.script, run.exit)))
    }
}

/// What came of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Updated {
    /// It is there now.
    At(Record),
    /// It stays at the tag or commit that was asked for.
    Pinned(String),
    /// It was copied or unpacked: there is nowhere to look for a newer one.
    NotGit,
}

/// Bare, or with a folder of files.
fn is_repository(path: &Path) -> bool {
    [path.to_owned(), path.join(".git")]
        .iter()
        .any(|path| path.join("objects").is_dir() && path.join("HEAD").is_file())
}

fn fetch_error(why: &str) -> PluginError {
    PluginError::Fetch(why.to_owned())
}

async fn unpack_file(file: PathBuf, into: PathBuf) -> Result<PathBuf, PluginError> {
    let shown = file.display().to_string();
    let work = move || -> io::Result<PathBuf> {
        let packed = File::open(file)?;
        fs::create_dir(&into)?;
        unpack(packed, &into, PLUGIN)?;
        hoist(&into)
    };
    aside(work)
        .await
        .map_err(|error| fetch_error(&format!("{shown}: {error}")))
}

async fn copy_folder(from: PathBuf, into: PathBuf) -> Result<PathBuf, PluginError> {
    let shown = from.display().to_string();
    let work = move || -> io::Result<PathBuf> {
        copy(&from, &into, &mut { PLUGIN })?;
        Ok(into)
    };
    aside(work)
        .await
        .map_err(|error| fetch_error(&format!("{shown}: {error}")))
}

async fn aside(work: impl FnOnce() -> io::Result<PathBuf> + Send + 'static) -> io::Result<PathBuf> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// Files, folders and links as they are; git's own folder stays behind.
fn copy(from: &Path, into: &Path, caps: &mut Caps) -> io::Result<()> {
    fs::create_dir(into)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), into.join(entry.file_name()));
        let metadata = entry.metadata()?;
        caps.count(metadata.len())
            .map_err(|error| io::Error::new(ErrorKind::FileTooLarge, error))?;
        if metadata.is_dir() {
            if entry.file_name() != ".git" {
                copy(&source, &target, caps)?;
            }
        } else if metadata.is_symlink() {
            symlink(fs::read_link(source)?, target)?;
        } else if metadata.is_file() {
            fs::copy(source, target)?;
        } else {
            return Err(io::Error::other(format!(
                "{} is a special file",
                source.display()
            )));
        }
    }
    Ok(())
}
