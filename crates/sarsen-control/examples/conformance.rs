//! Prints `docs/conformance.md`.

use std::fs;
use std::path::{Path, PathBuf};

#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let facts = fs::read_to_string(root.join("docs/dokku-commands.tsv"))?;
    let facts = sarsen_control::conformance::facts(&facts)?;
    let mut tests = Vec::new();
    for folder in [
        "crates/sarsen-e2e/tests/scripts",
        "crates/sarsen-e2e/tests/e2e",
        "crates/sarsen-control/tests/golden",
        "crates/sarsen-control/tests/bad",
    ] {
        let mut paths: Vec<PathBuf> = fs::read_dir(root.join(folder))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.sort();
        for path in paths.into_iter().filter(|path| path.is_file()) {
            let kind = folder.rsplit('/').next().unwrap_or(folder);
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            tests.push((format!("{kind}/{name}"), fs::read_to_string(&path)?));
        }
    }
    print!("{}", sarsen_control::conformance::page(&facts, &tests));
    Ok(())
}
