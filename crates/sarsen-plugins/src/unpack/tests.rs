//! Archives of good and of bad will.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;

const SMALL: Caps = Caps {
    members: 10,
    bytes: 1000,
};

/// A member: its path, its kind, and its content or its target.
type Member<'a> = (&'a str, EntryType, &'a str);

fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, kind, text) in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        // The library refuses to write such paths, so they go in by hand.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        let content = if *kind == EntryType::Regular {
            *text
        } else {
            ""
        };
        if content.is_empty() {
            let link = &mut header.as_old_mut().linkname;
            link[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;

fn refusal(members: &[Member<'_>]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("into");
    fs::create_dir(&into).unwrap();
    let error = unpack(&archive(members)[..], &into, SMALL).unwrap_err();
    let outside: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(outside.len(), 1, "something was written outside");
    error.to_string()
}

#[test]
fn a_plugin_comes_out_whole_and_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let members = [
        ("x-1.0/", FOLDER, ""),
        ("x-1.0/plugin.toml", FILE, "[plugin]"),
        ("x-1.0/a/b/commands", FILE, "#!"),
        ("x-1.0/a/alias", LINK, "../plugin.toml"),
    ];
    unpack(&archive(&members)[..], folder.path(), SMALL).unwrap();
    let root = hoist(folder.path()).unwrap();
    assert_eq!(root, folder.path().join("x-1.0"));
    assert_eq!(
        fs::read_to_string(root.join("a/alias")).unwrap(),
        "[plugin]"
    );
    let mode = fs::metadata(root.join("a/b/commands"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o4111, 0o111, "executable, and not set-user-id");
}

#[test]
fn only_a_single_folder_is_hoisted() {
    let folder = tempfile::tempdir().unwrap();
    unpack(
        &archive(&[("a", FILE, "x"), ("b", FILE, "x")])[..],
        folder.path(),
        SMALL,
    )
    .unwrap();
    assert_eq!(hoist(folder.path()).unwrap(), folder.path());
}

#[test]
fn nothing_leaves_the_folder() {
    for path in ["/etc/x", "../x", "a/../../x"] {
        assert!(refusal(&[(path, FILE, "x")]).contains("outside"), "{path}");
    }
    for target in ["/etc/passwd", "..", "../../x", "a/../..", "b/../x"] {
        let said = refusal(&[("l", LINK, target)]);
        assert!(said.contains("out of the archive"), "{target}: {said}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let said = refusal(&[("d/", FOLDER, ""), ("l", LINK, "d"), ("l/x", FILE, "x")]);
    assert!(said.contains("behind a link"), "{said}");
    let said = refusal(&[("l", LINK, "d"), ("l", FILE, "x")]);
    assert!(said.contains("behind a link"), "{said}");
    // Link upon link: the second would climb from where the first leads.
    let deep = [("a/b/l", LINK, "../.."), ("m", LINK, "a/b/l/../x")];
    assert!(refusal(&deep).contains("out of the archive"));
}

#[test]
fn special_files_and_repeats_are_refused() {
    for kind in [
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
    ] {
        assert!(refusal(&[("x", kind, "y")]).contains("special file"));
    }
    assert!(refusal(&[("x", FILE, "y"), ("x", FILE, "z")]).contains("exists"));
}

#[test]
fn bombs_are_refused() {
    let large = "x".repeat(600);
    let said = refusal(&[("a", FILE, &large), ("b", FILE, &large)]);
    assert!(said.contains("too large"), "{said}");
    let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let members: Vec<Member<'_>> = many.iter().map(|n| (n.as_str(), FILE, "x")).collect();
    assert!(refusal(&members).contains("too many"));
    // A tar is never read further than its caps allow.
    let mut endless = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..1000 {
        endless.write_all(&[0xff; 1024]).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(unpack(&endless.finish().unwrap()[..], folder.path(), SMALL).is_err());
}
