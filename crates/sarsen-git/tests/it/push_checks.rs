//! What a push may not hold.

use sarsen_domain::Branch;

use crate::front::Front;
use crate::world::{World, executable, git, raw_commit, raw_object, said};

/// Mode, name and object.
type Entries<'a> = &'a [(&'a str, &'a str, &'a str)];

/// Pushes a commit; what the client was told if it was refused.
async fn refusal(world: &World, front: &Front, commit: &str) -> Option<String> {
    let spec = format!("{commit}:refs/heads/main");
    let args = ["push", "-f", "sarsen:shop", &spec];
    let output = front.git(&world.at("work"), &args).output().await.unwrap();
    (!output.status.success()).then(|| said(&output))
}

#[tokio::test]
async fn path_tricks_are_refused() {
    let world = World::new().await;
    let front = Front::open(&world);
    front.tell_hook("verdict", "0");
    let work = world.at("work");
    let blob = raw_object(&work, "blob", b"x").await;
    let target = raw_object(&work, "blob", b"/etc").await;
    let inner = {
        let commit = raw_commit(&work, &[("100644", "x", &blob)]).await;
        git(&work, &["rev-parse", &format!("{commit}^{{tree}}")])
            .await
            .trim()
            .to_owned()
    };
    let trees: [(Entries<'_>, &str); 10] = [
        (&[("40000", ".git", &inner)], "hasDotgit"),
        (&[("40000", ".GIT", &inner)], "hasDotgit"),
        (&[("40000", ".g\u{200c}it", &inner)], "hasDotgit"),
        (&[("40000", "git~1", &inner)], "hasDotgit"),
        (&[("40000", "..", &inner)], "hasDotdot"),
        (&[("40000", ".", &inner)], "hasDot"),
        (&[("100644", "a/b", &blob)], "fullPathname"),
        (
            &[("100644", "a", &blob), ("40000", "a", &inner)],
            "duplicateEntries",
        ),
        (
            &[("100644", "b", &blob), ("100644", "a", &blob)],
            "treeNotSorted",
        ),
        (&[("120000", ".gitmodules", &target)], "gitmodulesSymlink"),
    ];
    for (entries, fault) in trees {
        let commit = raw_commit(&work, entries).await;
        let refused = refusal(&world, &front, &commit).await;
        assert!(
            refused.as_ref().is_some_and(|text| text.contains(fault)),
            "{fault}: {refused:?}"
        );
    }
    assert_eq!(front.heard("env"), None, "the hook was asked");
    assert_eq!(world.unfinished(), 0);
}

#[tokio::test]
async fn old_faults_are_forgiven() {
    let world = World::new().await;
    let front = Front::open(&world);
    front.tell_hook("verdict", "0");
    let work = world.at("work");
    let blob = raw_object(&work, "blob", b"x").await;
    let tree = git(&work, &["mktree"]).await;
    let inner = raw_commit(&work, &[("100664", "x", &blob)]).await;
    let inner = git(&work, &["rev-parse", &format!("{inner}^{{tree}}")]).await;
    let padded = raw_commit(&work, &[("040000", "d", inner.trim())]).await;
    assert_eq!(refusal(&world, &front, &padded).await, None);
    let text = format!(
        "tree {}\nauthor A <a@b>1 +0000\ncommitter A <a@b> 1 +51800\n\nm\n",
        tree.trim()
    );
    let dated = raw_object(&work, "commit", text.as_bytes()).await;
    assert_eq!(refusal(&world, &front, &dated).await, None);
}

#[tokio::test]
async fn a_large_pack_is_refused() {
    let world = World::with(|settings| settings.max_pack_bytes = 100_000).await;
    let front = Front::open(&world);
    front.tell_hook("verdict", "0");
    let mut state = 1_u32;
    let noise: String = (0..400_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b' ' + (state >> 24) as u8 % 90)
        })
        .collect();
    let commit = world.commit(&[("noise", &noise)]).await;
    let refused = refusal(&world, &front, commit.as_str()).await.unwrap();
    assert!(
        refused.contains("exceeds maximum allowed size"),
        "{refused}"
    );
    assert_eq!(world.unfinished(), 0);
}

#[tokio::test]
async fn only_our_hook_runs() {
    let world = World::new().await;
    let front = Front::open(&world);
    front.tell_hook("verdict", "0");
    let commit = world
        .commit(&[("a", "1"), ("hooks/pre-receive", "#!/bin/sh\nexit 1\n")])
        .await;
    let bare = world.bare();
    for (folder, hook) in [
        ("hooks", "pre-receive"),
        ("evil", "pre-receive"),
        ("evil", "post-receive"),
    ] {
        let path = bare.join(folder).join(hook);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(
            &path,
            format!("#!/bin/sh\ntouch {}\nexit 1\n", world.at("ran").display()),
        )
        .unwrap();
        executable(&path);
    }
    git(&bare, &["config", "core.hooksPath", "evil"]).await;
    git(&bare, &["config", "receive.fsckObjects", "false"]).await;
    assert_eq!(refusal(&world, &front, commit.as_str()).await, None);
    assert!(front.heard("env").is_some());
    assert!(!world.at("ran").exists());
    let main = Branch::parse("main").unwrap();
    assert_eq!(world.repos.head(&world.app, &main).unwrap(), Some(commit));
}

#[tokio::test]
async fn our_own_refs_are_out_of_reach() {
    let world = World::new().await;
    let front = Front::open(&world);
    front.tell_hook("verdict", "0");
    world.commit(&[("a", "1")]).await;
    let args = ["push", "sarsen:shop", "main:refs/sarsen/x"];
    let output = front.git(&world.at("work"), &args).output().await.unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("hidden ref"), "{}", said(&output));
}
