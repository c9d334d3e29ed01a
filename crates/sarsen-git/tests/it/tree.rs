//! Source trees against `git archive`, and what is special about them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use futures_util::StreamExt;
use sarsen_domain::CommitId;
use sarsen_git::{ExtraFile, GitError, SourceTree, TarOptions, TreeLimits};

use crate::world::{
    Packed, World, collect, commit_in, executable, git, git_bytes, raw_commit, raw_object, unpack,
};

type Unpacked = (Vec<String>, BTreeMap<String, Packed>);

pub(crate) async fn archive(repo: &Path, commit: &str) -> Unpacked {
    unpack(&git_bytes(repo, &["archive", "--format=tar", commit]).await)
}

async fn ours(source: &SourceTree) -> Unpacked {
    unpack(&collect(source.tar()).await.unwrap())
}

#[tokio::test]
async fn a_tar_is_what_git_archives() {
    let world = World::new().await;
    let work = world.at("work");
    let deep = format!("{}end", "folder-with-a-long-name/".repeat(8));
    let long = "n".repeat(99);
    commit_in(
        &work,
        &[
            (".gitattributes", "*.md export-ignore\nsecret/ export-ignore\n/top export-ignore\ndocs/** export-ignore\n"),
            ("keep/.gitattributes", "*.md -export-ignore\nx/** export-ignore\n"),
            ("keep/readme.md", "stays"),
            ("keep/x/y/z", "goes"),
            ("readme.md", "goes"),
            ("secret/a/b", "goes"),
            ("not/secret", "a file of that name stays"),
            ("top", "goes"),
            ("sub/top", "stays"),
            ("docs/a", "goes, but not the folder"),
            ("a.b", ""),
            ("a/b", "sorts after a.b"),
            ("run", "#!/bin/sh\n"),
            ("grüße/日本 語\n.txt", "names"),
            (&deep, "deep"),
            (&long, "99"),
            (&format!("{long}1"), "100"),
            (&format!("{long}12"), "101"),
            (&format!("d/{}/x", "d".repeat(97)), "folder of 100 with its slash"),
        ],
    )
    .await;
    executable(&work.join("run"));
    symlink("a/b", work.join("link")).unwrap();
    symlink(format!("a/{}", "../a/".repeat(30)), work.join("longlink")).unwrap();
    symlink("/etc/passwd", work.join("absolute")).unwrap();
    symlink("../a.b", work.join("a/up")).unwrap();
    let commit = world.commit(&[]).await;
    world.put("work", &world.app).await;
    let wanted = archive(&world.bare(), commit.as_str()).await;
    let source = world.repos.source(&world.app, None, &commit, None).unwrap();
    let got = ours(&source).await;
    assert_eq!(got, wanted);
    assert_eq!(got.1["a.b"].mtime, 1_700_000_000);
    assert!(got.1["run"].executable && !got.1.contains_key("docs/a"));
    world.repos.gc(&world.app).await.unwrap();
    assert_eq!(ours(&source).await, wanted);
    assert_eq!(
        collect(source.tar()).await.unwrap(),
        collect(source.tar()).await.unwrap()
    );
}

#[tokio::test]
async fn a_folder_can_be_the_source() {
    let world = World::new().await;
    symlink("../shared", world.at("work").join("out")).unwrap();
    fs::create_dir_all(world.at("work").join("apps/web/x")).unwrap();
    symlink("../../lib", world.at("work").join("apps/web/out")).unwrap();
    symlink("../y", world.at("work").join("apps/web/x/in")).unwrap();
    let files = [
        (".gitattributes", "apps/web/skip export-ignore\n"),
        ("apps/.gitattributes", "*.md export-ignore\n"),
        ("apps/web/y", "1"),
        ("apps/web/skip", "1"),
        ("apps/web/z.md", "1"),
        ("apps/other", "1"),
    ];
    let commit = world.commit(&files).await;
    world.put("work", &world.app).await;
    let source = world
        .repos
        .source(&world.app, None, &commit, Some("./apps//web/"))
        .unwrap();
    assert_eq!(ours(&source).await.0, ["x/", "x/in", "y"]);
    assert_eq!(source.survey().unwrap().left_out, ["out"]);
    assert_eq!(
        source.list_root().unwrap(),
        ["out", "skip", "x", "y", "z.md"]
    );
    assert_eq!(source.read("x/in").unwrap().unwrap(), b"1");
    assert_eq!(source.read("out").unwrap(), None);
    let whole = git(&world.bare(), &["rev-parse", "main:apps/web"]).await;
    assert_eq!(source.tree_id(), whole.trim());
    for missing in ["apps/nope", "../x", "apps/../apps", "apps/other"] {
        let source = world.repos.source(&world.app, None, &commit, Some(missing));
        assert!(matches!(source, Err(GitError::NoDirectory(_))), "{missing}");
    }
}

#[tokio::test]
async fn single_files_can_be_read() {
    let world = World::new().await;
    let work = world.at("work");
    for (link, target) in [
        ("Procfile", "conf/./../conf/Procfile"),
        ("round", "round"),
        ("etc", "/etc/passwd"),
        ("up", "../../etc/passwd"),
        ("folder", "conf"),
    ] {
        symlink(target, work.join(link)).unwrap();
    }
    let commit = world
        .commit(&[("conf/Procfile", "web: x"), ("big", &"x".repeat(5_000_000))])
        .await;
    world.put("work", &world.app).await;
    git(&work, &["tag", "-a", "-m", "x", "v1"]).await;
    git(&work, &["push", "-q", world.bare().to_str().unwrap(), "v1"]).await;
    let tag = CommitId::parse(git(&work, &["rev-parse", "v1"]).await.trim()).unwrap();
    assert_ne!(tag, commit);
    let source = world.repos.source(&world.app, None, &tag, None).unwrap();
    assert_eq!(source.commit(), &commit);
    for (path, want) in [
        ("Procfile", Some("web: x")),
        ("/conf//Procfile", Some("web: x")),
        ("folder/Procfile", Some("web: x")),
        ("conf", None),
        ("Procfile/x", None),
        ("round", None),
        ("etc", None),
        ("up", None),
        ("../x", None),
        ("nope", None),
    ] {
        let got = source.read(path).unwrap();
        assert_eq!(got.as_deref(), want.map(str::as_bytes), "{path}");
    }
    assert!(source.exists("conf") && source.exists("Procfile") && !source.exists("etc"));
    assert!(matches!(source.read("big"), Err(GitError::Refused(_))));
}

#[tokio::test]
async fn more_files_and_a_prefix() {
    let world = World::new().await;
    let commit = world.commit(&[("Dockerfile", "old"), ("a", "1")]).await;
    world.put("work", &world.app).await;
    let source = world.repos.source(&world.app, None, &commit, None).unwrap();
    let file = |path: &str| ExtraFile {
        path: path.to_owned(),
        bytes: b"new".to_vec(),
        mode: 0o755,
    };
    let options = |prefix: &str, path: &str| TarOptions {
        prefix: Some(prefix.to_owned()),
        extra: vec![file(path)],
    };
    let (names, files) = unpack(
        &collect(source.tar_with(options("app/src/", "Dockerfile")))
            .await
            .unwrap(),
    );
    assert_eq!(names, ["app/src/a", "app/src/Dockerfile"]);
    assert_eq!(files["app/src/Dockerfile"].content, b"new");
    for (prefix, path) in [
        ("..", "a"),
        ("a", "../a"),
        ("/a", "a"),
        ("a", "/a"),
        ("a", "b/./c"),
    ] {
        assert!(
            collect(source.tar_with(options(prefix, path)))
                .await
                .is_err(),
            "{prefix} {path}"
        );
    }
}

#[tokio::test]
async fn large_files_are_streamed_and_can_be_left() {
    let world = World::new().await;
    let big = "some text that compresses well\n".repeat(1_500_000);
    let commit = world.commit(&[("big", &big), ("after", "x")]).await;
    world.put("work", &world.app).await;
    let source = world.repos.source(&world.app, None, &commit, None).unwrap();
    let (_, files) = ours(&source).await;
    assert!(files["big"].content == big.as_bytes() && files["after"].content == b"x");
    let mut stream = source.tar();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    let idle = async {
        world.tasks.close();
        world.tasks.wait().await;
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), idle)
        .await
        .unwrap();
}

#[tokio::test]
async fn bombs_and_dishonest_trees_are_refused() {
    let world = World::new().await;
    let work = world.at("work");
    let blob = raw_object(&work, "blob", b"x").await;
    let tree = |commit: String| {
        let work = work.clone();
        async move {
            git(&work, &["rev-parse", &format!("{commit}^{{tree}}")])
                .await
                .trim()
                .to_owned()
        }
    };
    let mut bomb = tree(raw_commit(&work, &[("100644", "f", &blob)]).await).await;
    let mut commit = String::new();
    for _ in 0..12 {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let entries: Vec<_> = names
            .iter()
            .map(|name| ("40000", *name, bomb.as_str()))
            .collect();
        commit = raw_commit(&work, &entries).await;
        bomb = tree(commit.clone()).await;
    }
    let open = |commit: &str| {
        let commit = CommitId::parse(commit).unwrap();
        SourceTree::open(&work.join(".git"), None, &commit, None).unwrap()
    };
    let limits = TreeLimits {
        entries: 1000,
        ..TreeLimits::default()
    };
    let refused = |source: &SourceTree, word: &str| {
        let error = source.survey().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(&open(&commit).with_limits(limits), "more than 1000");
    assert!(
        collect(open(&commit).with_limits(limits).tar())
            .await
            .is_err()
    );
    let one = raw_commit(&work, &[("100644", "f", &blob)]).await;
    refused(
        &open(&one).with_limits(TreeLimits { bytes: 0, ..limits }),
        "bytes",
    );
    let inner = tree(one.clone()).await;
    let evil: [&[(&str, &str, &str)]; 4] = [
        &[("40000", ".git", &inner)],
        &[("40000", "..", &inner)],
        &[("120000", "a", &blob), ("40000", "a", &inner)],
        &[("100644", "a/b", &blob)],
    ];
    for entries in evil {
        let commit = raw_commit(&work, entries).await;
        assert!(open(&commit).survey().is_err(), "{entries:?}");
    }
}
