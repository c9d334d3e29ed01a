//! Clones, fetches and remote archives.

use crate::front::Front;
use crate::world::{World, app, git, said, unpack};

#[tokio::test]
async fn a_clone_gets_what_was_pushed() {
    let world = World::new().await;
    let commit = world.commit(&[("a/b", "1"), ("c", "2")]).await;
    world.put("work", &world.app).await;
    let front = Front::open(&world);
    for version in ["0", "2"] {
        let folder = format!("copy{version}");
        let config = format!("protocol.version={version}");
        let args = ["-c", &config, "clone", "sarsen:shop", &folder];
        let mut clone = front.git(world.dir.path(), &args);
        let output = clone.env("GIT_TRACE_PACKET", "1").output().await.unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(
            said(&output).contains("clone< version 2"),
            version == "2",
            "{}",
            said(&output)
        );
        assert_eq!(
            git(&world.at(&folder), &["rev-parse", "main"]).await.trim(),
            commit.as_str()
        );
    }
    let args = [
        "clone",
        "-q",
        "--filter=blob:none",
        "--no-checkout",
        "sarsen:shop",
        "partial",
    ];
    let output = front.git(world.dir.path(), &args).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        !said(&output).contains("filtering not recognized"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn an_archive_can_be_fetched() {
    let world = World::new().await;
    world.commit(&[("a/b", "1")]).await;
    world.put("work", &world.app).await;
    let front = Front::open(&world);
    let args = ["archive", "--remote=sarsen:shop", "main"];
    let output = front.git(world.dir.path(), &args).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(unpack(&output.stdout).1["a/b"].content, b"1");
}

#[tokio::test]
async fn without_a_repository_there_is_an_error() {
    let world = World::new().await;
    let front = Front::open(&world);
    let output = front
        .git(world.dir.path(), &["ls-remote", "sarsen:nope"])
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let wanted = Err(format!("{} has no repository", app("nope")));
    assert_eq!(front.ends.lock().unwrap().as_slice(), [wanted]);
}
