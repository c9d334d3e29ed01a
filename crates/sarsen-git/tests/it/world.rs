//! A folder with repositories of ours, working copies of a user's, and the means to look at both.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sarsen_domain::{AppName, CommitId};
use sarsen_git::{RepoSettings, Repos, SubmodulePolicy, TarStream};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::task::TaskTracker;

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) repos: Repos,
    pub(crate) app: AppName,
    pub(crate) tasks: TaskTracker,
}

pub(crate) fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(file)
}

pub(crate) fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

impl World {
    /// A world with the app `shop`, whose repository is empty, and a working copy `work` on branch `main`.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut RepoSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tasks = TaskTracker::new();
        let hook = dir.path().join("hook.py");
        fs::copy(here("hook.py"), &hook).unwrap();
        executable(&hook);
        let mut settings = RepoSettings {
            root: dir.path().join("data/apps"),
            work: None,
            hook_binary: hook,
            hooks: None,
            max_pack_bytes: 64 * 1024 * 1024,
            submodules: SubmodulePolicy::default(),
            tasks: tasks.clone(),
        };
        change(&mut settings);
        let repos = Repos::new(settings).unwrap();
        let world = Self {
            dir,
            repos,
            app: app("shop"),
            tasks,
        };
        world.repos.init(&world.app).await.unwrap();
        world.work("work").await;
        world
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.repos.path(&self.app)
    }

    /// An empty working copy.
    pub(crate) async fn work(&self, name: &str) -> PathBuf {
        let path = self.at(name);
        git(self.dir.path(), &["init", "-q", "-b", "main", name]).await;
        path
    }

    /// Writes files (`path`, `content`) and commits everything.
    pub(crate) async fn commit(&self, files: &[(&str, &str)]) -> CommitId {
        commit_in(&self.at("work"), files).await
    }

    /// Puts the working copy's commit straight into an app's repository.
    pub(crate) async fn put(&self, work: &str, app: &AppName) {
        self.repos.init(app).await.unwrap();
        let to = self.repos.path(app);
        git(
            &self.at(work),
            &["push", "-qf", to.to_str().unwrap(), "HEAD:refs/heads/main"],
        )
        .await;
    }

    /// What a push that is under way has left in the object store.
    pub(crate) fn unfinished(&self) -> usize {
        fs::read_dir(self.bare().join("objects"))
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with("tmp_objdir")
            })
            .count()
    }
}

pub(crate) fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) async fn commit_in(work: &Path, files: &[(&str, &str)]) -> CommitId {
    for (path, content) in files {
        let path = work.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    git(work, &["add", "-A", "-f"]).await;
    git(
        work,
        &["commit", "-q", "--allow-empty", "-m", "a change\n\nand why"],
    )
    .await;
    CommitId::parse(git(work, &["rev-parse", "HEAD"]).await.trim()).unwrap()
}

/// The user's git, untouched by the machine's settings.
pub(crate) fn git_command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ann")
        .env("GIT_AUTHOR_EMAIL", "ann@example.com")
        .env("GIT_COMMITTER_NAME", "Ann")
        .env("GIT_COMMITTER_EMAIL", "ann@example.com")
        .env("GIT_COMMITTER_DATE", "1700000000 +0100")
        .kill_on_drop(true);
    command
}

pub(crate) async fn git_bytes(folder: &Path, args: &[&str]) -> Vec<u8> {
    let output = git_command(folder, args).output().await.unwrap();
    assert!(output.status.success(), "git {args:?}: {}", said(&output));
    output.stdout
}

pub(crate) async fn git(folder: &Path, args: &[&str]) -> String {
    String::from_utf8(git_bytes(folder, args).await).unwrap()
}

/// Writes a raw object, however wrong, and says its id.
pub(crate) async fn raw_object(work: &Path, kind: &str, content: &[u8]) -> String {
    let file = work.with_extension("object");
    fs::write(&file, content).unwrap();
    let args = [
        "hash-object",
        "-w",
        "--literally",
        "-t",
        kind,
        file.to_str().unwrap(),
    ];
    git(work, &args).await.trim().to_owned()
}

/// A tree object of these entries, and a commit of it.
pub(crate) async fn raw_commit(work: &Path, entries: &[(&str, &str, &str)]) -> String {
    let mut tree = Vec::new();
    for (mode, name, id) in entries {
        tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        tree.extend((0..20).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).unwrap()));
    }
    let tree = raw_object(work, "tree", &tree).await;
    git(work, &["commit-tree", "-m", "raw", &tree])
        .await
        .trim()
        .to_owned()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until something is true, for ten seconds at most.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "waited in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a tar holds of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) kind: tar::EntryType,
    pub(crate) executable: bool,
    pub(crate) mtime: u64,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) content: Vec<u8>,
}

/// Unpacks a tar in memory: names in their order, and what is behind them.
pub(crate) fn unpack(bytes: &[u8]) -> (Vec<String>, BTreeMap<String, Packed>) {
    let (mut names, mut files) = (Vec::new(), BTreeMap::new());
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type() == tar::EntryType::XGlobalHeader {
            continue;
        }
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let packed = Packed {
            kind: entry.header().entry_type(),
            executable: entry.header().mode().unwrap() & 0o100 != 0,
            mtime: entry.header().mtime().unwrap(),
            link: entry.link_name_bytes().map(std::borrow::Cow::into_owned),
            content,
        };
        names.push(name.clone());
        assert!(files.insert(name, packed).is_none());
    }
    (names, files)
}

pub(crate) async fn collect(mut stream: TarStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}
