//! Submodules from other apps and from servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use sarsen_domain::{AppName, CommitId, Progress};
use sarsen_git::{GitError, SourceTree, SubmoduleContext};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use crate::world::{World, app, collect, commit_in, git, git_command, here, unpack, until};

#[derive(Default)]
struct Log(Mutex<String>);

impl Progress for Log {
    fn write(&self, bytes: &[u8]) {
        self.0
            .lock()
            .unwrap()
            .push_str(std::str::from_utf8(bytes).unwrap());
    }
}

struct Http {
    url: String,
    root: PathBuf,
    _child: Child,
}

/// A server of the bare repositories in a folder.
async fn serve(world: &World) -> Http {
    let root = world.at("www");
    fs::create_dir_all(&root).unwrap();
    let mut child = tokio::process::Command::new("python3")
        .arg(here("git_server.py"))
        .arg(&root)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut port = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut port).await.unwrap();
    Http {
        url: format!("http://127.0.0.1:{}", port.trim()),
        root,
        _child: child,
    }
}

impl Http {
    /// A bare repository of two commits; returns the older one.
    async fn publish(&self, world: &World, name: &str, files: &[(&str, &str)]) -> CommitId {
        let work = world.work(&format!("{name}-work")).await;
        let old = commit_in(&work, files).await;
        commit_in(&work, &[("newer", "x")]).await;
        let to = self.root.join(name);
        git(
            world.dir.path(),
            &[
                "clone",
                "-q",
                "--bare",
                work.to_str().unwrap(),
                to.to_str().unwrap(),
            ],
        )
        .await;
        git(&to, &["update-server-info"]).await;
        old
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }
}

async fn private(timeout: u64) -> World {
    World::with(|settings| {
        settings.submodules.allow_private_hosts = true;
        settings.submodules.timeout = Duration::from_secs(timeout);
    })
    .await
}

/// Puts a submodule into a working copy, without asking its URL.
async fn link(work: &Path, path: &str, url: &str, commit: &CommitId) {
    let modules = work.join(".gitmodules");
    let old = fs::read_to_string(&modules).unwrap_or_default();
    fs::write(
        &modules,
        format!("{old}[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"),
    )
    .unwrap();
    git(work, &["add", ".gitmodules"]).await;
    fs::create_dir_all(work.join(path)).unwrap();
    place(work, path, commit).await;
}

async fn place(work: &Path, path: &str, commit: &CommitId) {
    let info = format!("160000,{commit},{path}");
    git(work, &["update-index", "--add", "--cacheinfo", &info]).await;
}

async fn seal(work: &Path) -> CommitId {
    git(work, &["commit", "-q", "-m", "with submodules"]).await;
    CommitId::parse(git(work, &["rev-parse", "HEAD"]).await.trim()).unwrap()
}

async fn prepare(
    world: &World,
    commit: &CommitId,
    may_read: &[&str],
) -> (Result<SourceTree, GitError>, String) {
    prepare_until(world, commit, may_read, &CancellationToken::new()).await
}

async fn prepare_until(
    world: &World,
    commit: &CommitId,
    may_read: &[&str],
    cancel: &CancellationToken,
) -> (Result<SourceTree, GitError>, String) {
    world.put("work", &world.app).await;
    let log = Log::default();
    let mut source = world.repos.source(&world.app, None, commit, None).unwrap();
    let may_read = |app: &AppName| may_read.contains(&app.as_str());
    let context = SubmoduleContext {
        repos: &world.repos,
        app: &world.app,
        origin: None,
        may_read: &may_read,
        progress: &log,
        cancel,
    };
    let done = source.prepare_submodules(&context).await;
    (done.map(|()| source), log.0.into_inner().unwrap())
}

fn reason(done: Result<SourceTree, GitError>) -> String {
    done.expect_err("it was not refused").to_string()
}

/// `shop` holds `lib`, which holds `inner`; and two submodules that are not to be filled in.
async fn nest(world: &World) -> CommitId {
    let (work, inner, lib) = (
        world.at("work"),
        world.work("inner").await,
        world.work("lib").await,
    );
    let inner_commit = commit_in(
        &inner,
        &[
            ("deep", "3"),
            ("skip", "x"),
            (".gitattributes", "skip export-ignore"),
        ],
    )
    .await;
    world.put("inner", &app("inner")).await;
    commit_in(&lib, &[("code", "2")]).await;
    link(&lib, "in ner", "../inner.git", &inner_commit).await;
    let lib_commit = seal(&lib).await;
    world.put("lib", &app("lib")).await;
    commit_in(
        &work,
        &[
            ("a", "1"),
            (".gitattributes", "code export-ignore\ngone/ export-ignore"),
        ],
    )
    .await;
    link(&work, "vendor/lib", "../lib", &lib_commit).await;
    link(&work, "gone", "../nope", &lib_commit).await;
    place(&work, "unknown", &lib_commit).await;
    seal(&work).await
}

#[tokio::test]
async fn other_apps_can_be_submodules() {
    let world = World::new().await;
    let commit = nest(&world).await;
    let (done, log) = prepare(&world, &commit, &["lib", "inner"]).await;
    let source = done.unwrap();
    assert_eq!(
        log,
        "-----> Fetching submodules\n !     unknown is not in .gitmodules; its folder stays empty\n       \
         vendor/lib from ../lib\n       vendor/lib/in ner from ../inner.git\n"
    );
    let (names, files) = unpack(&collect(source.tar()).await.unwrap());
    let wanted = [
        ".gitattributes",
        ".gitmodules",
        "a",
        "unknown/",
        "vendor/",
        "vendor/lib/",
        "vendor/lib/.gitmodules",
        "vendor/lib/code",
        "vendor/lib/in ner/",
        "vendor/lib/in ner/.gitattributes",
        "vendor/lib/in ner/deep",
    ];
    assert_eq!(names, wanted);
    assert_eq!(files["vendor/lib/in ner/deep"].content, b"3");
    assert_eq!(
        source.read("vendor/lib/in ner/deep").unwrap().unwrap(),
        b"3"
    );
    assert!(source.exists("vendor/lib/code") && !source.exists("unknown/x"));
    for may_read in [["inner", "x"], ["lib", "x"]] {
        let (done, _) = prepare(&world, &commit, &may_read).await;
        assert!(reason(done).contains("that you may read"), "{may_read:?}");
    }
    let missing = CommitId::parse(&"a".repeat(40)).unwrap();
    place(&world.at("work"), "vendor/lib", &missing).await;
    let commit = seal(&world.at("work")).await;
    let (done, _) = prepare(&world, &commit, &["lib"]).await;
    assert!(reason(done).contains("push it there first"));
}

#[tokio::test]
async fn a_checkout_by_git_has_the_same_files() {
    let world = private(60).await;
    let http = serve(&world).await;
    let work = world.at("work");
    let one = http
        .publish(&world, "one", &[("x/y", "1"), ("run", "2")])
        .await;
    commit_in(&work, &[("a", "1")]).await;
    link(&work, "lib/one", &format!("{}/smart/one", http.url), &one).await;
    let commit = seal(&work).await;
    let (done, log) = prepare(&world, &commit, &[]).await;
    let source = done.unwrap();
    assert!(log.contains("lib/one from http://127.0.0.1"), "{log}");
    let (names, _) = unpack(&collect(source.tar()).await.unwrap());
    let args = [
        "-c",
        "protocol.allow=always",
        "clone",
        "-q",
        "--recurse-submodules",
        "work",
        "copy",
    ];
    assert!(
        git_command(world.dir.path(), &args)
            .status()
            .await
            .unwrap()
            .success()
    );
    let listed = git(&world.at("copy"), &["ls-files", "--recurse-submodules"]).await;
    let mut wanted: Vec<_> = listed.lines().collect();
    let mut got: Vec<_> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !name.ends_with('/'))
        .collect();
    wanted.sort_unstable();
    got.sort_unstable();
    assert_eq!(got, wanted);
    let asked = http.log();
    let (again, _) = prepare(&world, &commit, &[]).await;
    assert!(again.unwrap().exists("lib/one/x/y"));
    assert_eq!(http.log(), asked, "the cache was not used");
    let cache = fs::read_dir(world.at("data/submodules"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    assert!(
        cache.join("shallow").exists(),
        "more than the commit was fetched"
    );
}

#[tokio::test]
async fn an_old_server_is_asked_for_everything() {
    let world = private(60).await;
    let http = serve(&world).await;
    let work = world.at("work");
    let one = http.publish(&world, "one", &[("x/y", "1")]).await;
    let url = http.url.replace("http://", "http://ann:pass@") + "/dumb/one";
    link(&work, "one", &url, &one).await;
    let commit = seal(&work).await;
    let (done, log) = prepare(&world, &commit, &[]).await;
    assert_eq!(done.unwrap().read("one/x/y").unwrap().unwrap(), b"1");
    assert!(
        log.contains("http://***@127.0.0.1") && !log.contains("pass"),
        "{log}"
    );
    let missing = CommitId::parse(&"b".repeat(40)).unwrap();
    place(&work, "one", &missing).await;
    let commit = seal(&work).await;
    let (done, _) = prepare(&world, &commit, &[]).await;
    let reason = reason(done);
    assert!(
        reason.contains("does not have commit bbbb") && !reason.contains("pass"),
        "{reason}"
    );
}

#[tokio::test]
async fn private_places_are_not_asked() {
    let world = World::new().await;
    let http = serve(&world).await;
    let work = world.at("work");
    let one = http.publish(&world, "one", &[("x", "1")]).await;
    let port = http.url.rsplit(':').next().unwrap();
    for (url, word) in [
        (format!("{}/smart/one", http.url), "private network"),
        (
            format!("http://localhost:{port}/smart/one"),
            "private network",
        ),
        (
            format!("http://2130706433:{port}/smart/one"),
            "private network",
        ),
        (
            format!("http://[::ffff:127.0.0.1]:{port}/smart/one"),
            "private network",
        ),
        (
            "http://169.254.169.254/latest".to_owned(),
            "private network",
        ),
        ("git@127.0.0.1:shop".to_owned(), "private network"),
        (
            format!("file://{}", http.root.join("one").display()),
            "only https",
        ),
        (http.root.join("one").display().to_string(), "only https"),
        ("ext::sh -c touch% /tmp/x".to_owned(), "not valid"),
        ("ext::x".to_owned(), "only https"),
        ("-u./x".to_owned(), "not valid"),
        ("../../x".to_owned(), "climbs"),
    ] {
        if work.join(".gitmodules").exists() {
            fs::remove_file(work.join(".gitmodules")).unwrap();
        }
        link(&work, "sub", &url, &one).await;
        let commit = seal(&work).await;
        let (done, _) = prepare(&world, &commit, &["shop"]).await;
        let reason = reason(done);
        assert!(
            reason.contains(word) && reason.contains("'sub'"),
            "{url}: {reason}"
        );
    }
    assert_eq!(http.log(), "");
}

#[tokio::test]
async fn a_fetch_can_be_stopped() {
    let world = private(60).await;
    let http = serve(&world).await;
    let work = world.at("work");
    let one = CommitId::parse(&"c".repeat(40)).unwrap();
    link(&work, "one", &format!("{}/slow/one", http.url), &one).await;
    let commit = seal(&work).await;
    let cancel = CancellationToken::new();
    let stop = async {
        until("the request", || http.log().contains("/slow/")).await;
        cancel.cancel();
    };
    let ((done, _), ()) = tokio::join!(prepare_until(&world, &commit, &[], &cancel), stop);
    assert!(matches!(done, Err(GitError::Gone)), "{done:?}");
    world.tasks.close();
    world.tasks.wait().await;
}

#[tokio::test]
async fn a_fetch_has_a_size_limit() {
    let world = World::with(|settings| {
        settings.submodules.allow_private_hosts = true;
        settings.max_pack_bytes = 50_000;
    })
    .await;
    let http = serve(&world).await;
    let work = world.at("work");
    http.publish(&world, "one", &[("a", "1")]).await;
    let huge = fs::read("/proc/self/exe").unwrap();
    fs::write(world.at("one-work/exe"), &huge[..2_000_000]).unwrap();
    let two = commit_in(&world.at("one-work"), &[]).await;
    git(
        &world.at("one-work"),
        &[
            "push",
            "-q",
            http.root.join("one").to_str().unwrap(),
            "main",
        ],
    )
    .await;
    link(&work, "one", &format!("{}/smart/one", http.url), &two).await;
    let commit = seal(&work).await;
    let (done, _) = prepare(&world, &commit, &[]).await;
    let reason = reason(done);
    assert!(reason.contains("more than 50000 bytes"), "{reason}");
}

#[tokio::test]
async fn a_fetch_has_a_time_limit() {
    let world = private(1).await;
    let http = serve(&world).await;
    let work = world.at("work");
    let one = CommitId::parse(&"c".repeat(40)).unwrap();
    link(&work, "one", &format!("{}/slow/one", http.url), &one).await;
    let commit = seal(&work).await;
    let (done, _) = prepare(&world, &commit, &[]).await;
    let reason = reason(done);
    assert!(reason.contains("no end after 1 seconds"), "{reason}");
}

#[tokio::test]
async fn what_nests_itself_ends() {
    let world = World::with(|settings| settings.submodules.max_depth = 3).await;
    let work = world.at("work");
    let mut last = commit_in(&work, &[("a", "1")]).await;
    for depth in 0..4 {
        link(&work, &format!("s{depth}"), "../shop", &last).await;
        last = seal(&work).await;
    }
    let (done, _) = prepare(&world, &last, &["shop"]).await;
    let reason = reason(done);
    assert!(reason.contains("nested too deeply"), "{reason}");
}

#[tokio::test]
async fn links_out_of_the_source_are_told_of() {
    let world = World::new().await;
    for number in 0..12 {
        std::os::unix::fs::symlink("../x", world.at(&format!("work/link{number:02}"))).unwrap();
    }
    let commit = world.commit(&[]).await;
    let (done, log) = prepare(&world, &commit, &[]).await;
    assert!(
        log.starts_with(" !     link00 is left out: it is a link out of the source\n"),
        "{log}"
    );
    assert!(log.ends_with(
        "link09 is left out: it is a link out of the source\n !     and so are 2 other links\n"
    ));
    assert_eq!(collect(done.unwrap().tar()).await.unwrap().len(), 1024);
}
