//! Making, moving and tidying repositories.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sarsen_domain::{Branch, CommitId};
use sarsen_git::GitError;

use crate::world::{World, app, git};

fn branch(name: &str) -> Branch {
    Branch::parse(name).unwrap()
}

#[tokio::test]
async fn a_repository_is_made_once_and_whole() {
    let world = World::new().await;
    let (repos, shop) = (&world.repos, &world.app);
    assert!(repos.exists(shop) && !repos.exists(&app("nope")));
    let head = || fs::read_to_string(world.bare().join("HEAD")).unwrap();
    assert_eq!(head(), "ref: refs/heads/main\n");
    assert!(!world.bare().join("hooks").exists());
    for file in ["HEAD", "config"] {
        fs::write(world.bare().join(file), "").unwrap();
        assert!(!repos.exists(shop));
        repos.init(shop).await.unwrap();
        assert!(repos.exists(shop), "{file}");
        assert_eq!(head(), "ref: refs/heads/main\n");
    }
    fs::create_dir_all(repos.path(&app("half")).join("objects")).unwrap();
    repos.init(&app("half")).await.unwrap();
    assert!(repos.exists(&app("half")));
    let both = app("both");
    let (one, two) = tokio::join!(repos.init(&both), repos.init(&both));
    assert!(one.is_ok() && two.is_ok() && repos.exists(&both));
    let left = fs::read_dir(world.at("data/apps")).unwrap();
    assert_eq!(left.count(), 3);
    let mode = fs::metadata(world.at("data/apps"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn branches_and_commits() {
    let world = World::new().await;
    let (repos, shop) = (&world.repos, &world.app);
    let commit = world.commit(&[("a", "1")]).await;
    assert_eq!(repos.head(shop, &branch("main")).unwrap(), None);
    assert_eq!(repos.head(&app("nope"), &branch("main")).unwrap(), None);
    world.put("work", shop).await;
    assert_eq!(
        repos.head(shop, &branch("main")).unwrap().as_ref(),
        Some(&commit)
    );
    let info = repos.commit_info(shop, &commit).unwrap();
    assert_eq!(
        (info.summary.as_str(), info.author.as_str()),
        ("a change", "Ann <ann@example.com>")
    );
    assert_eq!(info.time.unix_timestamp(), 1_700_000_000);
    repos
        .set_branch(shop, &branch("a/b"), &commit)
        .await
        .unwrap();
    repos
        .set_default_branch(shop, &branch("a/b"))
        .await
        .unwrap();
    repos.gc(shop).await.unwrap();
    assert_eq!(
        repos.head(shop, &branch("a/b")).unwrap().as_ref(),
        Some(&commit)
    );
    assert_eq!(
        git(&world.bare(), &["symbolic-ref", "HEAD"]).await.trim(),
        "refs/heads/a/b"
    );
    git(&world.bare(), &["tag", "-a", "-m", "x", "v1", "main"]).await;
    assert_eq!(
        repos.head(shop, &branch("v1")).unwrap().as_ref(),
        Some(&commit)
    );
    let unknown = CommitId::parse(&"a".repeat(40)).unwrap();
    let moved = repos.set_branch(shop, &branch("main"), &unknown).await;
    assert!(
        moved
            .unwrap_err()
            .to_string()
            .contains("nonexistent object")
    );
    assert!(matches!(
        repos.commit_info(shop, &unknown),
        Err(GitError::NoCommit(_))
    ));
}

#[tokio::test]
async fn moving_copying_and_removing() {
    let world = World::new().await;
    let (repos, shop, other) = (&world.repos, &world.app, app("other"));
    let commit = world.commit(&[("a", "1")]).await;
    world.put("work", shop).await;
    repos
        .set_branch(shop, &branch("dev"), &commit)
        .await
        .unwrap();
    repos
        .set_default_branch(shop, &branch("dev"))
        .await
        .unwrap();
    repos.copy(shop, &other).await.unwrap();
    assert_eq!(
        repos.head(&other, &branch("main")).unwrap().as_ref(),
        Some(&commit)
    );
    assert_eq!(
        git(&repos.path(&other), &["symbolic-ref", "HEAD"])
            .await
            .trim(),
        "refs/heads/dev"
    );
    assert!(matches!(
        repos.copy(shop, &other).await,
        Err(GitError::Taken(_))
    ));
    assert!(matches!(
        repos.rename(shop, &other).await,
        Err(GitError::Taken(_))
    ));
    repos.remove(&other).await.unwrap();
    repos.remove(&other).await.unwrap();
    repos.rename(shop, &other).await.unwrap();
    assert!(repos.exists(&other) && !repos.exists(shop));
    assert!(matches!(
        repos.rename(shop, &app("x")).await,
        Err(GitError::NoRepository(_))
    ));
    assert_eq!(
        repos.head(&other, &branch("main")).unwrap().as_ref(),
        Some(&commit)
    );
    repos.init(shop).await.unwrap();
    repos.copy(shop, &app("empty")).await.unwrap();
    assert!(repos.exists(&app("empty")));
}

#[tokio::test]
async fn a_crash_is_swept_up() {
    let world = World::new().await;
    let commit = world.commit(&[("a", "1")]).await;
    world.put("work", &world.app).await;
    let bare = world.bare();
    let leftovers = [
        "objects/tmp_objdir-incoming-x/pack/a",
        "HEAD.lock",
        "packed-refs.lock",
        "refs/heads/a/b.lock",
        "refs/heads/main.lock",
        "../.new-x/y",
        "../.old-x/y",
    ];
    for leftover in leftovers {
        let path = bare.join(leftover);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    assert!(
        world
            .repos
            .set_branch(&world.app, &branch("main"), &commit)
            .await
            .is_err()
    );
    world.repos.sweep().await.unwrap();
    for leftover in leftovers {
        assert!(!bare.join(leftover).exists(), "{leftover}");
    }
    world
        .repos
        .set_branch(&world.app, &branch("main"), &commit)
        .await
        .unwrap();
}
