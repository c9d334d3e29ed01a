//! Archives, honest and otherwise.

use std::io::{Seek, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio_util::task::TaskTracker;
use zip::write::SimpleFileOptions;

use super::*;
use crate::repos::RepoSettings;
use crate::submodules::SubmodulePolicy;

const CAPS: Caps = Caps {
    members: 50,
    bytes: 10_000,
};

async fn repos(folder: &tempfile::TempDir) -> (Repos, AppName) {
    let repos = Repos::new(RepoSettings {
        root: folder.path().join("git"),
        work: None,
        hook_binary: "/bin/false".into(),
        hooks: None,
        max_pack_bytes: 1 << 20,
        submodules: SubmodulePolicy::default(),
        tasks: TaskTracker::new(),
    })
    .unwrap();
    let app = AppName::parse("app").unwrap();
    repos.init(&app).await.unwrap();
    (repos, app)
}

fn archive(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn import(bytes: &[u8], kind: Option<ArchiveType>) -> Import {
    Import {
        archive: archive(bytes),
        kind,
        caps: CAPS,
        author: ("Ada".to_owned(), "ada@example.com".to_owned()),
        message: "From an archive".to_owned(),
        branch: Branch::parse("master").unwrap(),
    }
}

/// Members as `path`, `path -> target`, `path => hard link`; content is the path.
fn tar_of(members: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if member.ends_with(".sh") {
            0o755
        } else {
            0o644
        });
        let link = |member: &str, arrow: &str| {
            member
                .split_once(arrow)
                .map(|(path, to)| (path.to_owned(), to.to_owned()))
        };
        let (path, data) = if let Some((path, target)) = link(member, " -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
            (path, Vec::new())
        } else if let Some((path, target)) = link(member, " => ") {
            header.set_entry_type(tar::EntryType::Link);
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
            (path, Vec::new())
        } else {
            ((*member).to_owned(), member.as_bytes().to_vec())
        };
        header.set_size(data.len() as u64);
        // The library's own setter would refuse what is tried here.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, &data[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(members: &[&str]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for member in members {
        writer
            .start_file(
                *member,
                SimpleFileOptions::default().unix_permissions(0o644),
            )
            .unwrap();
        writer.write_all(member.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

async fn files_of(repos: &Repos, app: &AppName, imported: Imported) -> String {
    let Imported::Commit(commit, _) = imported else {
        panic!("{imported:?}");
    };
    let branch = Branch::parse("master").unwrap();
    repos.set_branch(app, &branch, &commit).await.unwrap();
    let repository = Repository::open_bare(repos.path(app)).unwrap();
    let mut names = Vec::new();
    let tree = repository
        .find_commit(Oid::from_str(commit.as_str()).unwrap())
        .unwrap()
        .tree()
        .unwrap();
    tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() == Some(ObjectType::Blob) {
            names.push(format!(
                "{folder}{}:{:o}",
                entry.name().unwrap(),
                entry.filemode()
            ));
        }
        git2::TreeWalkResult::Ok
    })
    .unwrap();
    names.join(" ")
}

#[tokio::test]
async fn every_form_becomes_the_same_tree() {
    let folder = tempfile::tempdir().unwrap();
    let (repos, app) = repos(&folder).await;
    let members = ["app-1.0/a.b/x", "app-1.0/a/run.sh", "app-1.0/z"];
    let tar = tar_of(&members);
    let first = repos
        .import(&app, import(&tar, Some(ArchiveType::Tar)))
        .await
        .unwrap();
    let files = files_of(&repos, &app, first).await;
    assert_eq!(files, "a.b/x:100644 a/run.sh:100755 z:100644");
    for (bytes, kind) in [
        (gzip(&tar), Some(ArchiveType::TarGz)),
        (gzip(&tar), Some(ArchiveType::Tar)),
        (tar, None),
    ] {
        let again = repos.import(&app, import(&bytes, kind)).await.unwrap();
        assert!(matches!(again, Imported::Unchanged(_)));
    }
    let zip = repos
        .import(&app, import(&zip_of(&["a/x", "b"]), Some(ArchiveType::Zip)))
        .await
        .unwrap();
    assert_eq!(files_of(&repos, &app, zip).await, "a/x:100644 b:100644");
}

#[tokio::test]
async fn links_inside_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (repos, app) = repos(&folder).await;
    let tar = tar_of(&["a/x", "a/y -> ../b", "b", "c => b"]);
    let imported = repos.import(&app, import(&tar, None)).await.unwrap();
    assert_eq!(
        files_of(&repos, &app, imported).await,
        "a/x:100644 a/y:120000 b:100644 c:100644"
    );
}

#[tokio::test]
async fn what_no_honest_archive_holds_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (repos, app) = repos(&folder).await;
    let long = format!("{}x", "d/".repeat(45));
    for members in [
        &["../x"][..],
        &["/etc/passwd"],
        &["a/../../x"],
        &["x -> /etc/passwd"],
        &["x -> ../y"],
        &["x -> d", "x/y"],
        &["x", "x/y"],
        &["x/y", "x"],
        &["x => none"],
        &[".git/config"],
        &["a/.GIT/hooks/x"],
        &["a/git~1/x"],
        &[],
    ] {
        let refused = repos.import(&app, import(&tar_of(members), None)).await;
        assert!(refused.is_err(), "{members:?}: {refused:?}");
    }
    for members in [&["../x"][..], &["/x"], &[".git/config"]] {
        let refused = repos.import(&app, import(&zip_of(members), None)).await;
        assert!(refused.is_err(), "{members:?}: {refused:?}");
    }
    let many: Vec<String> = (0..60).map(|number| format!("f{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert!(
        repos
            .import(&app, import(&tar_of(&many), None))
            .await
            .is_err()
    );
    assert!(
        repos
            .import(&app, import(&tar_of(&[&long]), None))
            .await
            .is_ok()
    );
    for bytes in [
        &b""[..],
        b"PK\x03\x04 no zip",
        b"\x1f\x8b no gzip",
        b"no tar at all",
    ] {
        assert!(repos.import(&app, import(bytes, None)).await.is_err());
    }
    assert!(
        repos
            .import(&app, import(&tar_of(&["x"]), Some(ArchiveType::Zip)))
            .await
            .is_err()
    );
    assert!(
        repos
            .head(&app, &Branch::parse("master").unwrap())
            .unwrap()
            .is_none()
    );
}
