//! Prints `docs/conformance.md`.

use std::fs;
use std::path::Path;

use sarsen_control::conformance;

#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let facts = fs::read_to_string(root.join("docs/dokku-commands.tsv"))?;
    let facts = conformance::facts(&facts)?;
    let tests = conformance::tests(&root)?;
    print!("{}", conformance::page(&facts, &tests));
    Ok(())
}
