//! Certificates that people send: two files on the host, or a tar with one `.crt` and one `.key`.

use std::io::Read;
use std::path::{Component, Path};

use sarsen_domain::Secret;
use tar::{Archive, EntryType};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::failure::{Failure, Outcome};

/// The most that a certificate with its chain, or a tar of both, may take.
const MAX_BYTES: u64 = 1024 * 1024;

/// The most entries that a tar may have.
const MAX_ENTRIES: usize = 64;

/// A certificate and its key, as they were sent.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub chain: String,
    pub key: Secret<String>,
}

/// Reads one file of a caller on this host. `what` is `CRT` or `KEY`.
pub(crate) async fn read_file(path: &Path, what: &str) -> Outcome<String> {
    let missing = |_| {
        Failure::new(format!(
            "{what} file specified not found, please check file paths"
        ))
    };
    let found = tokio::fs::metadata(path).await.map_err(missing)?;
    // A pipe or a device would hold us up.
    if !found.is_file() || found.len() > MAX_BYTES {
        return Err(Failure::new(format!(
            "{what} file must be a file of at most 1 MiB"
        )));
    }
    let bytes = tokio::fs::read(path).await.map_err(missing)?;
    text(bytes, what)
}

/// Reads a tar from standard input.
pub(crate) async fn read_tar(input: Box<dyn AsyncRead + Send + Unpin>) -> Outcome<Upload> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes).await?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Failure::new("The tar archive is larger than 1 MiB"));
    }
    if bytes.is_empty() {
        return Err(Failure::new(
            "Tar archive containing server.crt and server.key expected on stdin",
        ));
    }
    unpack(&bytes)
}

fn unpack(bytes: &[u8]) -> Outcome<Upload> {
    let broken =
        |error: std::io::Error| Failure::new(format!("The tar archive cannot be read: {error}"));
    let (mut crt, mut key) = (None, None);
    let mut archive = Archive::new(bytes);
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count == MAX_ENTRIES {
            return Err(Failure::new(format!(
                "The tar archive holds more than {MAX_ENTRIES} entries"
            )));
        }
        let path = entry.path().map_err(broken)?.into_owned();
        check(&path, entry.header().entry_type())?;
        let (place, what) = match path.extension().and_then(|name| name.to_str()) {
            _ if is_hidden(&path) || entry.header().entry_type().is_dir() => continue,
            Some("crt") => (&mut crt, "crt"),
            Some("key") => (&mut key, "key"),
            _ => continue,
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        if place.replace(text(content, what)?).is_some() {
            return Err(Failure::new(format!(
                "Tar archive contains more than one .{what} file"
            )));
        }
    }
    let missing = |what| Failure::new(format!("Tar archive is missing .{what} file"));
    Ok(Upload {
        chain: crt.ok_or_else(|| missing("crt"))?,
        key: Secret::new(key.ok_or_else(|| missing("key"))?),
    })
}

// Nothing is written to disk; but who sends such an archive did not mean a certificate.
fn check(path: &Path, kind: EntryType) -> Outcome {
    let shown = path.display().to_string();
    let shown = shown.escape_debug();
    let climbs = |part| !matches!(part, Component::Normal(_) | Component::CurDir);
    if path.components().any(climbs) {
        return Err(Failure::new(format!(
            "The tar archive has an entry outside its folder: {shown}"
        )));
    }
    let is_plain = kind.is_file() || kind.is_dir();
    let is_note = kind.is_pax_global_extensions();
    if !is_plain && !is_note {
        return Err(Failure::new(format!(
            "The tar archive has an entry that is neither file nor folder: {shown}"
        )));
    }
    Ok(())
}

// Such as the `._server.crt` that macOS adds.
fn is_hidden(path: &Path) -> bool {
    path.components().any(
        |part| matches!(part, Component::Normal(name) if name.as_encoded_bytes().starts_with(b".")),
    )
}

fn text(bytes: Vec<u8>, what: &str) -> Outcome<String> {
    String::from_utf8(bytes).map_err(|_| {
        Failure::new(format!(
            "The {what} file is not PEM: convert it with openssl first"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(entries: &[(&str, EntryType)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(if kind.is_file() { 4 } else { 0 });
            header.set_mode(0o644);
            // Written by hand: the library refuses to write what an attacker would.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            let content: &[u8] = if kind.is_file() { b"text" } else { b"" };
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    const FILE: EntryType = EntryType::Regular;

    #[test]
    fn one_certificate_and_one_key_at_any_depth() {
        let archive = tar(&[
            ("a/", EntryType::Directory),
            ("a/._server.crt", FILE),
            ("./a/server.crt", FILE),
            ("a/README", FILE),
            ("x.key", FILE),
        ]);
        let upload = unpack(&archive).unwrap();
        assert_eq!(
            (upload.chain.as_str(), upload.key.expose().as_str()),
            ("text", "text")
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for (entries, reason) in [
            (&[("a.key", FILE)][..], "missing .crt"),
            (&[("a.crt", FILE)], "missing .key"),
            (
                &[("a.crt", FILE), ("b.crt", FILE), ("a.key", FILE)],
                "more than one .crt",
            ),
            (
                &[("a.crt", FILE), ("b.key", FILE), ("a.key", FILE)],
                "more than one .key",
            ),
            (&[("../a.crt", FILE), ("a.key", FILE)], "outside its folder"),
            (&[("/a.crt", FILE), ("a.key", FILE)], "outside its folder"),
            (
                &[("a/../../a.crt", FILE), ("a.key", FILE)],
                "outside its folder",
            ),
            (
                &[("a.crt", EntryType::Symlink), ("a.key", FILE)],
                "neither file nor folder",
            ),
            (
                &[("a.crt", FILE), ("a.key", EntryType::Link)],
                "neither file nor folder",
            ),
            (
                &[("a.crt", FILE), ("a.key", EntryType::Fifo)],
                "neither file nor folder",
            ),
        ] {
            let error = unpack(&tar(entries)).unwrap_err();
            assert!(error.message.contains(reason), "{entries:?}: {error}");
        }
        assert!(unpack(b"no archive at all").is_err());
        let many: Vec<_> = (0..65).map(|_| ("a", FILE)).collect();
        assert!(unpack(&tar(&many)).is_err());
    }

    #[tokio::test]
    async fn size_is_bounded() {
        assert!(read_tar(Box::new(tokio::io::repeat(0))).await.is_err());
        assert!(read_tar(Box::new(tokio::io::empty())).await.is_err());
        assert!(read_file(Path::new("/dev/zero"), "CRT").await.is_err());
        assert!(read_file(Path::new("/nowhere"), "KEY").await.is_err());
    }
}
