//! The entry of `fuzz/` for archives, on inputs that were good until something happened to them.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

#[path = "../../../../fuzz/entries/archive.rs"]
mod entry;

/// A tar with a file, a folder, a link and a name that climbs.
fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in [("app/Procfile", "web: serve"), ("app/deep/er/file", "x")] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "app/link", "Procfile").unwrap();
    let mut climbing = tar::Header::new_gnu();
    climbing.set_size(3);
    let name = b"../../outside";
    climbing.as_mut_bytes()[..name.len()].copy_from_slice(name);
    climbing.set_cksum();
    tar.append(&climbing, &b"bad"[..]).unwrap();
    tar.into_inner().unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn zip() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in [("Procfile", "web: serve"), ("deep/file", "x")] {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn seeds() -> [Vec<u8>; 3] {
    [tar(), gzipped(&tar()), zip()]
}

/// What happens to an archive: where, what, and with which bytes.
fn changed(mut bytes: Vec<u8>, (at, kind, piece): (usize, u8, Vec<u8>)) -> Vec<u8> {
    let at = at % (bytes.len() + 1);
    match kind % 4 {
        0 => bytes.truncate(at),
        1 => {
            let end = (at + piece.len()).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        2 => {
            bytes.splice(at..at, piece);
        }
        _ => bytes.extend_from_within(at..),
    }
    bytes
}

#[test]
fn a_good_archive_is_taken() {
    assert!(entry::run(&zip()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn damaged_archives_stay_inside(
        seed in 0..3_usize,
        changes in prop::collection::vec((any::<usize>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..16)), 1..5),
    ) {
        let seed = seeds()[seed].clone();
        entry::run(&changes.into_iter().fold(seed, changed));
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        entry::run(&bytes);
    }
}
