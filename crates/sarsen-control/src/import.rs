//! Taking over from Dokku: reads its two folders and writes what it finds into the store. Nothing there is trusted: links
//! are not followed, names and values pass the same checks as a user's, and what does not is told and left out.

mod app;
mod dotenv;
mod keys;
mod options;
mod report;
#[cfg(test)]
mod tests;
mod tree;

use std::path::{Path, PathBuf};

use sarsen_domain::{AppName, Config, Domain};
use sarsen_git::Repos;
use sarsen_store::{Conflict, ImportedApp, Scope, Store, StoreError};

use crate::failure::Outcome;
use report::Report;
use tree::Tree;

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Only tells what would be done.
    DryRun,
    /// Does it.
    Write,
}

/// Dokku's two folders.
#[derive(Debug, Clone)]
pub struct DokkuFolders {
    /// `/home/dokku`
    pub root: PathBuf,
    /// `/var/lib/dokku`
    pub lib: PathBuf,
}

/// Where things go.
pub struct Target<'a> {
    /// Settings.
    pub store: &'a Store,
    /// Repositories.
    pub repos: &'a Repos,
}

/// Takes over what the folders hold; gives the report. Whatever is here already is left as it is, so that a second run
/// adds only what is missing.
pub async fn import(from: &DokkuFolders, target: &Target<'_>, mode: ImportMode) -> Outcome<String> {
    let tree = Tree::open(from)?;
    let mut report = Report::new(mode);
    global(&tree, target, &mut report).await?;
    for name in tree.apps(&mut report) {
        one_app(&tree, target, &name, &mut report).await?;
    }
    for (key, line) in keys::read(&tree, &mut report) {
        one_key(target, &key, line, &mut report).await?;
    }
    app::leftovers(&tree, &mut report);
    Ok(report.text())
}

async fn global(tree: &Tree, target: &Target<'_>, report: &mut Report) -> Outcome {
    report.section("the host");
    let domains = tree.domains(Path::new("VHOST"), report);
    let vars = tree.config("--global", Path::new("ENV"), report);
    let properties = tree.properties("--global", report);
    report.count(domains.len(), "global domain");
    report.count(vars.len(), "global config var");
    report.count(properties.len(), "global property");
    if report.writes() {
        target
            .store
            .imports()
            .global(&domains, &vars, &properties)
            .await?;
        // The first start gives an installation its domain; this one has it.
        let adopted = [("domains", "seeded"), ("dokku", "adopted")];
        for (plugin, key) in adopted {
            target
                .store
                .properties()
                .set(&Scope::Global, plugin, key, "true")
                .await?;
        }
    }
    Ok(())
}

async fn one_app(tree: &Tree, target: &Target<'_>, name: &AppName, report: &mut Report) -> Outcome {
    report.section(name.as_str());
    if target.store.apps().exists(name).await? {
        report.say("is here already and is left as it is");
    } else {
        let global = tree.domains(Path::new("VHOST"), &mut Report::new(ImportMode::DryRun));
        let app: ImportedApp = app::read(tree, name, &global, report);
        app::tell(&app, report);
        if report.writes() {
            target.store.imports().app(&app).await?;
        }
    }
    let repository = tree.root_path(name.as_str());
    if !sarsen_git::is_repository(&repository) {
        report.say("has no repository");
    } else if target.repos.exists(name) {
        report.say("its repository is here");
    } else {
        report.say("its repository is copied");
        if report.writes()
            && let Err(error) = target.repos.adopt(&repository, name).await
        {
            // A second run tries it again.
            report.left_out(&format!("the repository: {error}"));
        }
    }
    Ok(())
}

async fn one_key(
    target: &Target<'_>,
    key: &sarsen_domain::SshKey,
    line: usize,
    report: &mut Report,
) -> Outcome {
    let known = target.store.ssh_keys().list().await?;
    if known.iter().any(|other| other == key) {
        report.say(&format!("the key of {} is here already", key.name));
        return Ok(());
    }
    let taken = known
        .iter()
        .find(|other| other.name == key.name || other.public_key == key.public_key);
    if taken.is_some() {
        report.left_out(&format!(
            "line {line} of authorized_keys: another key is called {}, or the key has another name here",
            key.name
        ));
        return Ok(());
    }
    report.say(&format!("the key of {}", key.name));
    if report.writes() {
        match target.store.ssh_keys().add(key).await {
            // Two lines with the same key.
            Err(StoreError::Conflict(Conflict::KeyName(_) | Conflict::PublicKey(_))) => {}
            added => added?,
        }
    }
    Ok(())
}

/// The names that an app has without any of its own.
fn default_domains(name: &AppName, global: &[Domain]) -> Vec<Domain> {
    crate::routes::effective_domains(name, &[], global)
}

/// What was read of config vars, and what they say about something else.
pub(crate) struct Vars {
    pub config: Config,
    /// `NO_VHOST=1`
    pub no_vhost: bool,
}
