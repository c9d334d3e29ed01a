//! Dokku's community plugins, unmodified, by their own commands. Their sources come from a folder of git repositories
//! (`SARSEN_COMMUNITY_PLUGINS`) or from their public address; without either a test says that it was skipped.

mod builds;
mod datastores;
mod others;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::program::run;
use crate::world::World;

const SOURCES: &str = "SARSEN_COMMUNITY_PLUGINS";
/// A file that the test runner reads: what was not tested, and why.
const SKIPS: &str = "SARSEN_TEST_SKIPS";

/// Where a plugin can be had.
fn source(owner: &str, repository: &str) -> Result<String, String> {
    if let Some(folder) = std::env::var_os(SOURCES) {
        let path = Path::new(&folder).join(repository);
        return match path.is_dir() {
            true => Ok(format!("file://{}", path.display())),
            false => Err(format!("{} is not there", path.display())),
        };
    }
    let url = format!("https://github.com/{owner}/{repository}.git");
    let mut git = Command::new("timeout");
    git.args([
        "20",
        "git",
        "ls-remote",
        "--quiet",
        "--exit-code",
        &url,
        "HEAD",
    ])
    .env("GIT_TERMINAL_PROMPT", "0");
    match run(git, b"").code {
        0 => Ok(url),
        _ => Err(format!(
            "{url} cannot be reached; name a folder of repositories with {SOURCES}"
        )),
    }
}

/// Installs a plugin; false when it cannot be had.
fn install(world: &World, owner: &str, repository: &str) -> bool {
    install_as(world, owner, repository, &[])
}

/// The same with options such as `--name`.
fn install_as(world: &World, owner: &str, repository: &str, options: &[&str]) -> bool {
    match source(owner, repository) {
        Ok(source) => {
            let words = [&["plugin:install", &source], options].concat();
            world.local(&words, b"").succeeded();
            true
        }
        Err(why) => {
            skipped(&format!("{repository}: {why}"));
            false
        }
    }
}

/// Tells whoever runs the tests what could not be tried here.
pub(crate) fn skipped(what: &str) {
    println!("skipped: {what}");
    if let Some(file) = std::env::var_os(SKIPS) {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(file)
            .unwrap();
        writeln!(file, "{what}").unwrap();
    }
}

/// Variables for scripts of plugins, in a file of the name.
fn configure(world: &World, name: &str, text: &str) {
    let folder = world.daemon.data.join("git/.dokkurc");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}
