//! Honest archives come through changed as asked; malicious ones do not come through.

use super::rules::leaves;
use super::*;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sarsen_runtime::RuntimeError;

use crate::BuildError;
use crate::ignore::Ignore;

/// Writes headers as they are, with names that the library would refuse to write.
fn raw(members: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, link, content) in members {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o6755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn file(path: &'static str) -> (&'static str, EntryType, &'static str, &'static [u8]) {
    (path, EntryType::Regular, "", b"x")
}

async fn run(archive: Vec<u8>, change: Rewrite) -> Result<Vec<String>, BuildError> {
    // Small pieces, so that the seams between them are met too.
    let pieces: Vec<_> = archive
        .chunks(333)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let result = rewrite(Input::Stream(Box::pin(stream::iter(pieces))), change);
    let collected: Result<Vec<Bytes>, RuntimeError> = result.stream.try_collect().await;
    result.failure.check()?;
    Ok(listing(&collected.unwrap().concat()))
}

fn listing(bytes: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(bytes);
    let describe = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let header = entry.header();
        format!(
            "{} {:o} {}:{} {}{}",
            entry.path().unwrap().display(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry
                .link_name()
                .unwrap()
                .map(|link| format!("-> {}", link.display()))
                .unwrap_or_default(),
            content,
        )
    };
    archive.entries().unwrap().map(describe).collect()
}

async fn refusal(members: &[(&str, EntryType, &str, &[u8])], change: Rewrite) -> String {
    match run(raw(members), change).await {
        Err(BuildError::Archive(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn strict() -> Rewrite {
    Rewrite {
        owner: APP_USER,
        caps: BUILDPACK,
        rule: strictly_under(PathBuf::from("buildpacks/00-x"), 0),
    }
}

#[tokio::test]
async fn owners_and_modes_change_and_parents_appear() {
    let archive = raw(&[
        ("./", EntryType::Directory, "", b""),
        file("./a/b/c"),
        ("a/l", EntryType::Symlink, "../../etc/passwd", b""),
        ("a/h", EntryType::Link, "./a/b/c", b""),
    ]);
    let lines = run(archive, Rewrite::for_app(keep())).await.unwrap();
    assert_eq!(
        lines,
        [
            "a 755 32767:32767 ",
            "a/b 755 32767:32767 ",
            "a/b/c 755 32767:32767 x",
            "a/l 755 32767:32767 -> ../../etc/passwd",
            "a/h 755 32767:32767 -> a/b/c",
        ]
    );
}

#[tokio::test]
async fn a_folder_moves_with_its_hard_links() {
    let archive = raw(&[
        ("build", EntryType::Directory, "", b""),
        file("build/a"),
        ("build/b", EntryType::Link, "build/a", b""),
        ("build/pipe", EntryType::Fifo, "", b""),
        ("build/s", EntryType::Symlink, "/usr/bin/x", b""),
    ]);
    let lines = run(archive.clone(), Rewrite::for_app(rebase("build", "app")))
        .await
        .unwrap();
    let paths: Vec<_> = lines
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(paths, ["app", "app/a", "app/b", "app/s"]);
    assert!(lines[2].ends_with("-> app/a"), "{lines:?}");
    let lines = run(archive, Rewrite::for_app(rebase("build", "")))
        .await
        .unwrap();
    assert!(
        lines[1].starts_with("b ") && lines[1].ends_with("-> a"),
        "{lines:?}"
    );
    let elsewhere = run(
        raw(&[file("etc/x")]),
        Rewrite::for_app(rebase("build", "app")),
    )
    .await;
    assert!(matches!(elsewhere, Err(BuildError::Archive(_))));
}

#[tokio::test]
async fn ignored_files_and_empty_folders_stay_out() {
    let archive = raw(&[
        ("docs", EntryType::Directory, "", b""),
        file("docs/a"),
        file("src/a"),
        file("src/a.log"),
    ]);
    let ignore = Ignore::parse("docs\n**/*.log", "").unwrap();
    let change = Rewrite {
        owner: 0,
        caps: Caps::NONE,
        rule: without(ignore),
    };
    let lines = run(archive, change).await.unwrap();
    assert_eq!(lines, ["src 755 0:0 ", "src/a 755 0:0 x"]);
}

#[tokio::test]
async fn long_and_odd_names_survive() {
    let long = format!("{}/ü ñ\n{}", "d".repeat(90), "f".repeat(180));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    builder.append_data(&mut header, &long, &b"x"[..]).unwrap();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "l", &long).unwrap();
    let archive = builder.into_inner().unwrap();
    let lines = run(archive, Rewrite::for_app(keep())).await.unwrap();
    assert_eq!(lines[1], format!("{long} 644 32767:32767 x"));
    assert_eq!(lines[2], format!("l 644 32767:32767 -> {long}"));
}

#[tokio::test]
async fn climbing_and_absolute_paths_are_refused() {
    for path in ["/etc/passwd", "../x", "a/../../x", "a/.."] {
        let why = refusal(&[file(path)], Rewrite::for_app(keep())).await;
        assert!(why.contains("outside of its folder"), "{path}: {why}");
        let link = refusal(&[("h", EntryType::Link, path, b"")], strict()).await;
        assert!(link.contains("outside of its folder"), "{path}: {link}");
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let through = [("a", EntryType::Symlink, "b", &b""[..]), file("a/passwd")];
    let why = refusal(&through, Rewrite::for_app(keep())).await;
    assert!(why.contains("behind a link"), "{why}");
    let hard = [
        ("a", EntryType::Symlink, "/etc", &b""[..]),
        ("h", EntryType::Link, "a/shadow", b""),
    ];
    let why = refusal(&hard, Rewrite::for_app(keep())).await;
    assert!(why.contains("behind a link"), "{why}");
}

#[tokio::test]
async fn devices_are_refused() {
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::new(b'9'),
    ] {
        let why = refusal(&[("d", kind, "", b"")], Rewrite::for_app(keep())).await;
        assert!(why.contains("special file"), "{why}");
    }
}

#[tokio::test]
async fn a_strangers_links_stay_inside() {
    for target in ["/etc/passwd", "../../x", "a/../../../x"] {
        let why = refusal(&[("d/l", EntryType::Symlink, target, b"")], strict()).await;
        assert!(why.contains("leaves its folder"), "{target}: {why}");
    }
    let inside = raw(&[("d/l", EntryType::Symlink, "../x", b"")]);
    let lines = run(inside, strict()).await.unwrap();
    assert_eq!(lines[3], "buildpacks/00-x/d/l 755 32767:32767 -> ../x");
    assert!(leaves(Path::new("l"), Path::new("..")));
    assert!(!leaves(Path::new("a/l"), Path::new("..")));
}

#[tokio::test]
async fn the_top_folder_comes_off() {
    let archive = raw(&[
        ("top", EntryType::Directory, "", b""),
        file("top/bin/x"),
        ("top/bin/y", EntryType::Link, "top/bin/x", b""),
    ]);
    let change = Rewrite {
        rule: strictly_under(PathBuf::from("p"), 1),
        ..strict()
    };
    let lines = run(archive, change).await.unwrap();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[3].starts_with("p/bin/y") && lines[3].ends_with("-> p/bin/x"));
}

#[tokio::test]
async fn caps_hold() {
    let change = |members, bytes| Rewrite {
        caps: Caps { members, bytes },
        ..strict()
    };
    let two = [file("a"), file("b")];
    assert!(refusal(&two, change(1, 100)).await.contains("too many"));
    assert!(refusal(&two, change(9, 1)).await.contains("too large"));
    assert!(run(raw(&two), change(2, 2)).await.is_ok());
}

#[tokio::test]
async fn a_broken_source_breaks_the_result() {
    let archive = raw(&[file("a"), file("b")]);
    let pieces = vec![
        Ok(Bytes::copy_from_slice(&archive[..700])),
        Err(RuntimeError::Unreachable("gone".to_owned())),
    ];
    let mut result = rewrite(
        Input::Stream(Box::pin(stream::iter(pieces))),
        Rewrite::for_app(keep()),
    );
    let mut last = None;
    while let Some(item) = result.stream.next().await {
        last = Some(item);
    }
    assert!(last.unwrap().is_err());
    let error = result.failure.check().unwrap_err();
    assert!(
        matches!(&error, BuildError::Source(why) if why.contains("gone")),
        "{error}"
    );
}

#[tokio::test]
async fn dropping_the_result_ends_the_work() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    struct Tell(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.take().unwrap().send(()).unwrap();
        }
    }
    let tell = Tell(Some(sender));
    let mute = stream::pending().map(move |item| {
        let _held = &tell;
        item
    });
    let result = rewrite(Input::Stream(Box::pin(mute)), Rewrite::for_app(keep()));
    drop(result);
    receiver.await.unwrap();
}
