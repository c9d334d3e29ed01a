//! `.dockerignore`, compared with what Docker's own client sends.

use std::collections::BTreeSet;
use std::path::Path;

use sarsen_domain::ImageRef;
use tokio::process::Command;

use crate::fixture::{Fixture, run, write_files};

const FILES: [&str; 16] = [
    "README.md",
    "a.log",
    "docs/README.md",
    "docs/guide/a.md",
    "docs/guide/b.txt",
    "node_modules/x/index.js",
    "src/a.go",
    "src/a.log",
    "src/deep/b.go",
    "src/deep/temp1",
    "src/node_modules/y.js",
    "temp1",
    "tempa",
    "we ird/[x].txt",
    "we ird/a*b",
    ".hidden/.keep",
];

/// All but one kind of rule: the classic client does not look into an ignored folder for what a wildcard takes
/// back, BuildKit's does, and so do we.
const RULES: [&str; 14] = [
    "",
    "*",
    "*\n!src\n",
    "**/*.log\n**/node_modules",
    "# a\n/docs/\n!docs/guide/a.md\n",
    "docs\n!docs/guide\ndocs/guide/b*\n",
    "*/temp*\n",
    "temp?\nsrc/**/temp*",
    "src/**\n!src/deep/b.go",
    "we ird/\\[x\\].txt\nwe ird/a\\*b",
    "[a-s]*/[^x]*",
    "*.md\n!README.md\n",
    "Dockerfile\n.dockerignore\n.*\n",
    "**/deep/\n!src/deep/b.go\n",
];

#[tokio::test]
async fn the_same_files_as_dockers_client_sends() {
    run(async |fixture| {
        for rules in RULES {
            let ours = ours(fixture, rules).await;
            let dockers = dockers(fixture, rules).await;
            assert_eq!(ours, dockers, "{rules:?}");
        }
    })
    .await;
}

fn files(rules: &str) -> Vec<(&str, &str)> {
    let dockerfile = "FROM scratch\nCOPY . /context/\nCMD [\"x\"]\n";
    let given = [("Dockerfile", dockerfile), (".dockerignore", rules)];
    FILES
        .map(|path| (path, "x"))
        .into_iter()
        .chain(given)
        .collect()
}

async fn ours(fixture: &Fixture, rules: &str) -> BTreeSet<String> {
    let built = fixture.build(&files(rules)).await.unwrap();
    listing(fixture, &built.image).await
}

async fn dockers(fixture: &Fixture, rules: &str) -> BTreeSet<String> {
    let folder = fixture.path("context");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    write_files(&folder, &files(rules));
    let image = docker_build(&folder, &fixture.settings.owner).await;
    listing(fixture, &image).await
}

/// The client's own classic builder, which filters before it sends.
async fn docker_build(folder: &Path, owner: &str) -> ImageRef {
    let output = Command::new("docker")
        .args(["build", "--quiet", "--label"])
        .arg(format!("com.sarsen.owner={owner}"))
        .arg(folder)
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let id = String::from_utf8(output.stdout).unwrap();
    ImageRef::parse(id.lines().last().unwrap().trim()).unwrap()
}

/// Files, not folders: an empty folder is not worth an argument. Docker's client does not send an ignored
/// Dockerfile as part of the context, but that is the only way for us.
async fn listing(fixture: &Fixture, image: &ImageRef) -> BTreeSet<String> {
    let bytes = fixture.contents(image, &["/context"]).await;
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    entries
        .filter(|entry| entry.header().entry_type().is_file())
        .map(|entry| entry.path().unwrap().display().to_string())
        .filter(|path| path != "context/Dockerfile")
        .collect()
}
