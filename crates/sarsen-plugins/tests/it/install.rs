//! Installing, enabling, disabling, removing.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use sarsen_plugins::{Installation, PluginError, Source};

use crate::world::{World, name, script};

#[tokio::test]
async fn a_plugin_comes_and_goes() {
    let world = World::new();
    assert!(world.own().is_empty());
    world.plugin("hello", &[("go", "echo hi")]).await;
    let hello = name("hello");
    let listed = world.own();
    let [plugin] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    let manifest = plugin.manifest.as_ref().unwrap();
    assert_eq!(
        (manifest.description.as_str(), manifest.version.as_str()),
        ("about hello", "1.2")
    );
    assert!(plugin.enabled);
    assert!(
        plugin
            .record
            .as_ref()
            .unwrap()
            .source_url
            .starts_with("file:///")
    );

    assert!(matches!(
        world.plugins.enable(&hello).await,
        Err(PluginError::Enabled(_))
    ));
    world.plugins.disable(&hello).await.unwrap();
    assert!(matches!(
        world.plugins.disable(&hello).await,
        Err(PluginError::Disabled(_))
    ));
    assert!(world.fire("go", &[]).await.runs.is_empty());
    world.plugins.enable(&hello).await.unwrap();
    assert_eq!(world.fire("go", &[]).await.runs.len(), 1);

    world.plugins.remove(&hello).await.unwrap();
    assert!(matches!(
        world.plugins.find(&hello),
        Err(PluginError::Missing(_))
    ));
    assert!(matches!(
        world.plugins.remove(&hello).await,
        Err(PluginError::Missing(_))
    ));
    assert!(!world.path("plugins/available/hello").exists());
    leaves_nothing(&world);
}

/// No half installation lies about.
fn leaves_nothing(world: &World) {
    for entry in fs::read_dir(world.path("plugins")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().starts_with(".incoming"), "{name:?}");
    }
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_and_leaves_nothing() {
    let world = World::new();
    let empty = world.path("empty");
    fs::create_dir(&empty).unwrap();
    let error = world
        .install(empty.to_str().unwrap(), "x")
        .await
        .unwrap_err();
    assert_eq!(error, "Plugin x is broken: it has no plugin.toml");
    let error = world.install("/no/such/folder", "x").await.unwrap_err();
    assert!(
        error.starts_with("Cannot fetch the plugin: /no/such/folder: "),
        "{error}"
    );
    let fifo = world.draft("fifo", &[]);
    nix::unistd::mkfifo(&fifo.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = world
        .install(fifo.to_str().unwrap(), "x")
        .await
        .unwrap_err();
    assert!(error.contains("special file"), "{error}");
    world.plugin("x", &[]).await;
    let again = world.draft("again", &[]);
    let error = world
        .install(again.to_str().unwrap(), "x")
        .await
        .unwrap_err();
    assert!(error.contains("installed already"), "{error}");
    leaves_nothing(&world);
}

fn pack(folder: &Path, top: &str, into: &Path) {
    let file = fs::File::create(into).unwrap();
    let mut builder = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    builder.append_dir_all(top, folder).unwrap();
    builder.into_inner().unwrap().finish().unwrap();
}

#[tokio::test]
async fn archives_with_and_without_a_folder_around_them() {
    let world = World::new();
    let draft = world.draft("packed", &[("go", "echo from the archive")]);
    for (top, called) in [("packed-1.0", "one"), (".", "two")] {
        let archive = world.path(&format!("{called}.tar.gz"));
        pack(&draft, top, &archive);
        world
            .install(archive.to_str().unwrap(), called)
            .await
            .unwrap();
    }
    let report = world.fire("go", &[]).await;
    assert_eq!(report.runs.len(), 2);
    assert_eq!(report.stdout(), b"from the archive\n".repeat(2));
}

#[tokio::test]
async fn a_malicious_archive_is_refused_and_leaves_nothing() {
    let world = World::new();
    let archive = world.path("evil.tgz");
    let file = fs::File::create(&archive).unwrap();
    let mut builder = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    };
    add("plugin.toml", b"[plugin]\n");
    add("../../enabled/evil/commands", b"#!/bin/sh\n");
    builder.into_inner().unwrap().finish().unwrap();
    let error = world
        .install(archive.to_str().unwrap(), "evil")
        .await
        .unwrap_err();
    assert!(error.contains("outside of its folder"), "{error}");
    assert!(world.own().is_empty());
    leaves_nothing(&world);
}

async fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = tokio::process::Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Stands in for ssh: serves the repository from the disk.
const SSH: &str = "for last; do :; done
path=${last#git-upload-pack \\'}
exec git-upload-pack \"${path%\\'}\"";

#[tokio::test]
async fn a_repository_at_a_branch_a_tag_or_a_commit() {
    let world = World::new();
    script(&world.path("ssh"), SSH);
    let draft = world.draft("repo", &[("go", "echo one")]);
    git(&draft, &["init", "-q"]).await;
    let commit = async |text: &str| {
        script(&draft.join("go"), &format!("echo {text}"));
        git(&draft, &["add", "."]).await;
        git(&draft, &["commit", "-qm", text]).await;
        git(&draft, &["rev-parse", "HEAD"]).await
    };
    let one = commit("one").await;
    git(&draft, &["tag", "-a", "-m", "x", "v1"]).await;
    let two = commit("two").await;
    git(&draft, &["checkout", "-qb", "feature/x"]).await;
    let three = commit("three").await;
    git(&draft, &["checkout", "-q", "main"]).await;

    let url = format!("git@host.example:{}", draft.display());
    for (called, committish, expected, branch) in [
        ("head", None, &two, "main"),
        ("branch", Some("feature/x"), &three, "feature/x"),
        ("tag", Some("v1"), &one, ""),
        ("commit", Some(&one[..8]), &one, ""),
    ] {
        let wanted = Installation {
            source: Source::parse(&url).unwrap(),
            name: name(called),
            committish: committish.map(str::to_owned),
        };
        let record = world
            .plugins
            .install(&wanted)
            .await
            .unwrap()
            .record
            .unwrap();
        assert_eq!(
            (&record.commit, record.branch.as_str()),
            (expected, branch),
            "{called}"
        );
        assert_eq!(record.source_url, url);
    }
    let said = world.fire("go", &[]).await.stdout();
    assert_eq!(String::from_utf8(said).unwrap(), "three\none\ntwo\none\n");
    leaves_nothing(&world);
}

#[tokio::test]
async fn a_committish_that_is_not_there_or_is_none() {
    let world = World::new();
    script(&world.path("ssh"), SSH);
    let draft = world.draft("repo", &[]);
    git(&draft, &["init", "-q"]).await;
    git(&draft, &["add", "."]).await;
    git(&draft, &["commit", "-qm", "x"]).await;
    let url = format!("git@host.example:{}", draft.display());
    for (committish, reason) in [
        ("none", "no branch, tag or commit"),
        ("-x", "Invalid committish"),
    ] {
        let wanted = Installation {
            source: Source::parse(&url).unwrap(),
            name: name("x"),
            committish: Some(committish.to_owned()),
        };
        let error = world
            .plugins
            .install(&wanted)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
    leaves_nothing(&world);
}

#[tokio::test]
async fn no_transport_but_https_and_ssh_is_used_for_git() {
    let world = World::new();
    let draft = world.draft("repo", &[]);
    git(&draft, &["init", "-q"]).await;
    for bad in [
        "file:///x.git.tar",
        "http://example.org/x",
        "git://example.org/x",
        "ext::sh -c id",
    ] {
        let parsed = Source::parse(bad);
        assert!(!matches!(parsed, Ok(Source::Git(_))), "{bad}");
    }
    // Built by hand, as no text parses to it: git itself refuses.
    let wanted = Installation {
        source: Source::Git(format!("file://{}", draft.display())),
        name: name("x"),
        committish: None,
    };
    let error = world
        .plugins
        .install(&wanted)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("transport 'file' not allowed"), "{error}");
    let wanted = Installation {
        source: Source::Folder(draft),
        name: name("x"),
        committish: Some("main".to_owned()),
    };
    let error = world
        .plugins
        .install(&wanted)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("belongs to a git repository"), "{error}");
    leaves_nothing(&world);
}
