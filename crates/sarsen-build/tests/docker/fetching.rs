//! Buildpacks from git repositories and archives over HTTP.

use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use sarsen_domain::BuildpackRef;

use crate::fixture::{Fixture, commit, git, run};
use crate::web::Web;

const DETECT: &str = "#!/bin/sh\necho Fetched\n";

fn set(fixture: &mut Fixture, references: &[&str]) {
    let parse = |text: &&str| BuildpackRef::parse(text).unwrap();
    fixture.options.buildpacks = references.iter().map(parse).collect();
}

/// `NAME.git` with a branch `main` and a tag `v1` that says something else.
async fn repository(root: &Path, name: &str) {
    let work = root.join(format!("{name}-work"));
    let bare = root.join(format!("{name}.git"));
    commit(
        &work,
        &[
            ("bin/detect", DETECT),
            ("bin/compile", "#!/bin/sh\necho compiled by v1\n"),
        ],
    )
    .await;
    git(&work, &["tag", "--annotate", "--message", "x", "v1"]).await;
    std::fs::write(
        work.join("bin/compile"),
        "#!/bin/sh\necho compiled by main\n",
    )
    .unwrap();
    git(&work, &["commit", "--quiet", "--all", "--message", "y"]).await;
    git(
        root,
        &[
            "clone",
            "--quiet",
            "--bare",
            work.to_str().unwrap(),
            bare.to_str().unwrap(),
        ],
    )
    .await;
}

/// A gzipped tar with names that are written as given.
fn tarball(file: &Path, members: &[(&str, tar::EntryType, &str, &str)]) {
    let gzip = GzEncoder::new(std::fs::File::create(file).unwrap(), Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (path, kind, link, content) in members {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
}

/// As code hosts make them: one folder around everything.
fn good_archive(file: &Path) {
    tarball(
        file,
        &[
            (
                "pax",
                tar::EntryType::XGlobalHeader,
                "",
                "17 comment=abcde\n",
            ),
            ("arch-main/", tar::EntryType::Directory, "", ""),
            (
                "arch-main/bin/compile",
                tar::EntryType::Regular,
                "",
                "#!/bin/sh\necho compiled by the archive\n",
            ),
            ("arch-main/real", tar::EntryType::Regular, "", DETECT),
            (
                "arch-main/bin/detect",
                tar::EntryType::Symlink,
                "../real",
                "",
            ),
        ],
    );
}

#[tokio::test]
async fn git_tags_branches_archives_and_bundled_ones_in_order() {
    run(async |fixture| {
        let root = fixture.path("web");
        std::fs::create_dir(&root).unwrap();
        repository(&root, "pack").await;
        good_archive(&root.join("arch.tgz"));
        let web = Web::start(root.clone()).await;
        let repository = web.url("pack.git");
        let archive = web.url("arch.tgz");
        let redirected = format!("{}?/{}", web.url("to"), "arch.tgz");
        set(
            fixture,
            &[
                &format!("{repository}#v1"),
                &archive,
                &repository,
                &redirected,
                "heroku/procfile",
            ],
        );
        let files = [("Procfile", "web: x")];
        let built = fixture.build(&files).await.unwrap();
        assert_eq!(
            built.buildpacks,
            ["pack", "arch", "pack", "arch", "procfile"]
        );
        let text = fixture.progress.text();
        let order: Vec<_> = text
            .lines()
            .filter(|line| line.contains("compiled by"))
            .collect();
        let expected =
            ["v1", "the archive", "main", "the archive"].map(|who| format!("compiled by {who}"));
        assert_eq!(order, expected);
        drop(web);
        set(fixture, &[&repository]);
        fixture.build(&files).await.unwrap();
        let text = fixture.progress.text();
        assert!(
            text.contains(" !     Using the copy fetched earlier"),
            "{text}"
        );
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_had_is_named() {
    run(async |fixture| {
        let root = fixture.path("web");
        std::fs::create_dir(&root).unwrap();
        repository(&root, "pack").await;
        std::fs::write(root.join("text.tgz"), "no archive").unwrap();
        tarball(
            &root.join("empty.tgz"),
            &[("etc/passwd", tar::EntryType::Regular, "", "x")],
        );
        let web = Web::start(root).await;
        for (reference, expected) in [
            (web.url("absent.git"), "git failed: "),
            (format!("{}#nope", web.url("pack.git")), "nope"),
            (web.url("absent.tgz"), "curl failed: "),
            (web.url("text.tgz"), "it is no gzipped tar"),
            (
                web.url("empty.tgz"),
                "there is no bin/compile in the archive",
            ),
            (
                "cobol".to_owned(),
                "the stack image has none of that name; it has ",
            ),
            ("/etc".to_owned(), "there is no bin/detect in it"),
            ("/etc/passwd".to_owned(), "it is no gzipped tar"),
            ("/nonexistent".to_owned(), "it cannot be read"),
        ] {
            set(fixture, &[&reference]);
            let error = fixture.build(&[("a", "")]).await.unwrap_err().to_string();
            assert!(
                error.starts_with("Buildpack ") && error.contains(expected),
                "{reference}: {error}"
            );
        }
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn malicious_archives_are_refused() {
    run(async |fixture| {
        let root = fixture.path("web");
        std::fs::create_dir(&root).unwrap();
        let web = Web::start(root.clone()).await;
        let members = [
            ("../../../etc/cron.d/x", tar::EntryType::Regular, "", "x"),
            ("/etc/cron.d/x", tar::EntryType::Regular, "", "x"),
            ("escape", tar::EntryType::Symlink, "../../..", ""),
            ("escape", tar::EntryType::Symlink, "/etc", ""),
            ("escape", tar::EntryType::Link, "/etc/shadow", ""),
            ("disk", tar::EntryType::Block, "", ""),
        ];
        for (index, member) in members.into_iter().enumerate() {
            let name = format!("evil{index}.tgz");
            let compile = ("bin/compile", tar::EntryType::Regular, "", "#!/bin/sh\n");
            tarball(&root.join(&name), &[compile, member]);
            set(fixture, &[&web.url(&name)]);
            let error = fixture.build(&[("a", "")]).await.unwrap_err().to_string();
            let ours = ["outside of its folder", "leaves its folder", "special file"];
            let named = format!("Buildpack evil{index}: ");
            assert!(
                error.starts_with(&named) && ours.iter().any(|why| error.contains(why)),
                "{error}"
            );
        }
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn the_hosts_own_network_is_out_of_bounds() {
    run(async |fixture| {
        fixture.settings.allow_private_hosts = false;
        let root = fixture.path("web");
        std::fs::create_dir(&root).unwrap();
        let web = Web::start(root).await;
        for reference in [
            web.url("a.git"),
            web.url("a.tgz"),
            "http://169.254.169.254/a.tgz".to_owned(),
        ] {
            set(fixture, &[&reference]);
            let error = fixture.build(&[("a", "")]).await.unwrap_err().to_string();
            assert!(
                error.contains("an address of this host or its network"),
                "{error}"
            );
        }
    })
    .await;
}
