//! Pushes: what the hook sees, and what is left of those that are rejected or break off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sarsen_domain::Branch;
use sarsen_git::{GitError, Quarantine, RefUpdate};

use crate::front::Front;
use crate::world::{World, app, collect, git, said, unpack, until};

fn main() -> Branch {
    Branch::parse("main").unwrap()
}

#[tokio::test]
async fn the_hook_knows_the_push() {
    let world = World::new().await;
    let commit = world.commit(&[("Procfile", "web: x")]).await;
    let front = Front::open(&world);
    front.tell_hook("verdict", "0");
    let push = ["push", "-o", "a=b c", "sarsen:shop", "main"];
    let output = front.git(&world.at("work"), &push).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("remote: the hook is here"),
        "{}",
        said(&output)
    );
    for (key, value) in [
        ("SARSEN_PUSH_TOKEN", Some("t0ken")),
        ("SARSEN_SOCKET", Some("/run/sarsen.sock")),
        ("GIT_PUSH_OPTION_0", Some("a=b c")),
        ("GIT_CONFIG_GLOBAL", Some("/dev/null")),
        ("CARGO_MANIFEST_DIR", None),
        ("USER", None),
    ] {
        assert_eq!(front.hook_env(key).await.as_deref(), value, "{key}");
    }
    assert_eq!(front.heard("name").as_deref(), Some("pre-receive"));
    let updates = RefUpdate::parse_lines(&front.heard("updates").unwrap()).unwrap();
    assert_eq!(updates[0].name, "refs/heads/main");
    assert_eq!(updates[0].new, commit);
    assert_eq!(world.repos.head(&world.app, &main()).unwrap(), Some(commit));
    assert_eq!(world.repos.branches(&world.app).unwrap(), ["main"]);
    until("the end", || !front.ends.lock().unwrap().is_empty()).await;
    assert_eq!(front.ends.lock().unwrap().as_slice(), [Ok(0)]);
}

#[tokio::test]
async fn a_push_is_read_before_it_is_accepted() {
    let world = World::new().await;
    let big = "0123456789abcdef".repeat(1_200_000);
    let commit = world.commit(&[("a/b", "new"), ("big", &big)]).await;
    let front = Front::open(&world);
    let push = front
        .git(&world.at("work"), &["push", "sarsen:shop", "main"])
        .spawn()
        .unwrap();
    let quarantine = Quarantine {
        object_directory: front.hook_env("GIT_OBJECT_DIRECTORY").await.unwrap().into(),
        alternates: std::env::split_paths(
            &front
                .hook_env("GIT_ALTERNATE_OBJECT_DIRECTORIES")
                .await
                .unwrap(),
        )
        .collect(),
    };
    let closed = world.repos.source(&world.app, None, &commit, None);
    assert!(matches!(closed, Err(GitError::NoCommit(_))), "{closed:?}");
    let source = world
        .repos
        .source(&world.app, Some(&quarantine), &commit, None)
        .unwrap();
    assert_eq!(source.read("a/b").unwrap().unwrap(), b"new");
    let (_, files) = unpack(&collect(source.tar()).await.unwrap());
    assert_eq!(files["a/b"].content, b"new");
    assert!(files["big"].content == big.as_bytes());
    front.tell_hook("verdict", "0");
    assert!(push.wait_with_output().await.unwrap().status.success());
    assert_eq!(world.unfinished(), 0);
    assert!(world.repos.source(&world.app, None, &commit, None).is_ok());
}

#[tokio::test]
async fn a_quarantine_lies_in_its_repository() {
    let world = World::new().await;
    let commit = world.commit(&[("a", "b")]).await;
    world.put("work", &app("other")).await;
    let other = world.repos.path(&app("other")).join("objects");
    fs::create_dir(world.bare().join("objects/tmp_objdir-incoming-x")).unwrap();
    let ours = world.bare().join("objects/tmp_objdir-incoming-x");
    for (object_directory, alternates) in [
        (other.clone(), vec![]),
        (ours.clone(), vec![other]),
        (ours.join("../../../other/objects"), vec![]),
        (world.bare().join("objects/pack"), vec![]),
        (world.bare().join("objects/none"), vec![]),
    ] {
        let quarantine = Quarantine {
            object_directory,
            alternates,
        };
        let source = world
            .repos
            .source(&world.app, Some(&quarantine), &commit, None);
        assert!(
            !matches!(source, Ok(_) | Err(GitError::NoCommit(_))),
            "{quarantine:?} {source:?}"
        );
    }
    let relative = Quarantine {
        object_directory: PathBuf::from("./objects/tmp_objdir-incoming-x"),
        alternates: vec![PathBuf::from("objects")],
    };
    let source = world
        .repos
        .source(&world.app, Some(&relative), &commit, None);
    assert!(matches!(source, Err(GitError::NoCommit(_))), "{source:?}");
}

#[tokio::test]
async fn a_rejected_push_leaves_nothing() {
    let world = World::new().await;
    let old = world.commit(&[("a", "1")]).await;
    let front = Front::open(&world);
    front.tell_hook("verdict", "0");
    let push = ["push", "sarsen:shop", "main"];
    assert!(
        front
            .git(&world.at("work"), &push)
            .status()
            .await
            .unwrap()
            .success()
    );
    front.tell_hook("verdict", "1");
    let new = world.commit(&[("a", "2")]).await;
    let output = front.git(&world.at("work"), &push).output().await.unwrap();
    assert!(!output.status.success());
    assert!(
        said(&output).contains("pre-receive hook declined"),
        "{}",
        said(&output)
    );
    assert_eq!(world.repos.head(&world.app, &main()).unwrap(), Some(old));
    assert_eq!(world.unfinished(), 0);
    assert!(world.repos.commit_info(&world.app, &new).is_err());
}

#[tokio::test]
async fn a_push_that_breaks_off_leaves_nothing() {
    let world = World::new().await;
    world.commit(&[("a", "1")]).await;
    let front = Front::open(&world);
    let mut push = front
        .git(&world.at("work"), &["push", "sarsen:shop", "main"])
        .spawn()
        .unwrap();
    let pid = front.hook_env("PID").await.unwrap();
    assert_eq!(world.unfinished(), 1);
    front.gone.cancel();
    assert!(!push.wait().await.unwrap().success());
    until("the end", || !front.ends.lock().unwrap().is_empty()).await;
    let gone = Err(GitError::Gone.to_string());
    assert_eq!(front.ends.lock().unwrap().as_slice(), [gone]);
    let hook = Path::new("/proc").join(pid);
    until("the hook's death", || !hook.exists() || is_zombie(&hook)).await;
    assert_eq!(world.unfinished(), 0);
    assert_eq!(world.repos.head(&world.app, &main()).unwrap(), None);
}

fn is_zombie(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test]
async fn a_killed_client_leaves_nothing() {
    let world = World::new().await;
    world.commit(&[("a", "1")]).await;
    let front = Front::open(&world);
    let mut push = front
        .git(&world.at("work"), &["push", "sarsen:shop", "main"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    front.hook_env("PID").await.unwrap();
    // The client's death closes the socket; the server notices when it writes, at the latest.
    push.kill().await.unwrap();
    front.tell_hook("verdict", "0");
    until("the end", || !front.ends.lock().unwrap().is_empty()).await;
    assert_eq!(world.unfinished(), 0);
}

#[tokio::test]
async fn a_shallow_clone_can_deploy() {
    let world = World::new().await;
    world.commit(&[("a", "1")]).await;
    world.commit(&[("a", "2")]).await;
    world.commit(&[("a", "3")]).await;
    let url = format!("file://{}", world.at("work").display());
    git(
        world.dir.path(),
        &["clone", "-q", "--depth=1", &url, "shallow"],
    )
    .await;
    let front = Front::open(&world);
    front.tell_hook("verdict", "0");
    let push = ["push", "sarsen:shop", "main"];
    let output = front
        .git(&world.at("shallow"), &push)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let commit = world.commit(&[("a", "4")]).await;
    let output = front.git(&world.at("work"), &push).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let source = world.repos.source(&world.app, None, &commit, None).unwrap();
    assert_eq!(source.read("a").unwrap().unwrap(), b"4");
    world.repos.gc(&world.app).await.unwrap();
    let output = front
        .git(world.dir.path(), &["clone", "sarsen:shop", "copy"])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
