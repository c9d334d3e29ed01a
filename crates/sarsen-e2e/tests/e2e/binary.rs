//! The program under test: `sarsen` of the same target folder, built when it is missing or older than its sources.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Names another binary, such as a release build; it is taken as it is.
const OTHER: &str = "SARSEN_TEST_BINARY";

pub(crate) fn path() -> PathBuf {
    if let Some(other) = std::env::var_os(OTHER) {
        return other.into();
    }
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/e2e-0123456789abcdef
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("a target folder");
    let binary = profile.join("sarsen");
    // Tests are processes of their own: only one of them builds.
    let turn = File::create(profile.join(".sarsen-e2e-build")).unwrap();
    turn.lock().unwrap();
    if !is_fresh(&binary) {
        build(profile);
    }
    binary
}

/// Whether the binary was built from this very working copy, and is newer than every source that cargo noted for it.
fn is_fresh(binary: &Path) -> bool {
    let Some(built) = modified(binary) else {
        return false;
    };
    let Ok(noted) = fs::read_to_string(binary.with_extension("d")) else {
        return false;
    };
    let noted = noted.split_once(": ").map_or("", |(_, sources)| sources);
    let sources: Vec<&Path> = noted.split_whitespace().map(Path::new).collect();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    sources.contains(&crates.join("sarsen-daemon/src/main.rs").as_path())
        && sources
            .iter()
            .all(|source| modified(source).is_some_and(|changed| changed <= built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}

fn build(profile: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "sarsen-daemon",
        "--target-dir",
    ]);
    cargo.arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(
        status.success(),
        "`cargo build --package sarsen-daemon` failed: see above"
    );
    // Cargo leaves a binary alone whose sources were only touched.
    let binary = File::options()
        .append(true)
        .open(profile.join("sarsen"))
        .unwrap();
    binary.set_modified(SystemTime::now()).unwrap();
}
