//! Reading Dokku's folders: only plain files of a sensible size, only below the folders, never through a link.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sarsen_domain::{AppName, Config, Domain};

use super::report::Report;
use super::{DokkuFolders, dotenv};
use crate::failure::{Failure, Outcome};
use crate::verbs;

/// Settings are far smaller.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// The two folders.
pub(super) struct Tree {
    root: PathBuf,
    lib: PathBuf,
}

impl Tree {
    pub(super) fn open(from: &DokkuFolders) -> Outcome<Self> {
        for folder in [&from.root, &from.lib] {
            if !folder.is_dir() {
                let name = folder.display();
                return Err(Failure::new(format!(
                    "{name} is not a folder: give Dokku's two, /home/dokku and /var/lib/dokku"
                )));
            }
        }
        // Git works elsewhere.
        Ok(Self {
            root: std::path::absolute(&from.root)?,
            lib: std::path::absolute(&from.lib)?,
        })
    }

    pub(super) fn root_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// As Dokku has it: folders that begin neither with a dot nor with a capital letter.
    pub(super) fn apps(&self, report: &mut Report) -> Vec<AppName> {
        let mut apps = Vec::new();
        for (name, is_folder) in entries(&self.root) {
            if name.starts_with(|c: char| c == '.' || c.is_ascii_uppercase()) || name == "tls" {
                continue;
            }
            let looks_like_app =
                is_folder && is_real(&self.root, Path::new(&name).join("refs").as_path());
            match AppName::parse(&name) {
                Ok(app)
                    if is_folder
                        && (looks_like_app || self.root.join(&name).join("VHOST").exists()) =>
                {
                    apps.push(app);
                }
                Ok(_) if is_folder => {
                    report.left_out(&format!("{name} in Dokku's home: not an app"))
                }
                Err(_) if looks_like_app => {
                    report.left_out(&format!("app {name}: its name is not valid"))
                }
                Ok(_) | Err(_) => {}
            }
        }
        apps
    }

    /// A file under `DOKKU_ROOT`.
    pub(super) fn root_text(&self, path: &Path, report: &mut Report) -> Option<String> {
        text(&self.root, path, report)
    }

    /// A file under `DOKKU_LIB_ROOT`.
    pub(super) fn lib_text(&self, path: &Path, report: &mut Report) -> Option<String> {
        text(&self.lib, path, report)
    }

    /// The names in a folder under `DOKKU_LIB_ROOT`.
    pub(super) fn lib_names(&self, path: &str) -> Vec<String> {
        if !is_real(&self.lib, Path::new(path)) {
            return Vec::new();
        }
        let names = entries(&self.lib.join(path)).into_iter();
        names.map(|(name, _)| name).collect()
    }

    /// Whether there is such a file or folder in an app's folder.
    pub(super) fn has(&self, path: &Path) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok()
    }

    pub(super) fn lib_has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.lib.join(path)).is_ok()
    }

    pub(super) fn domains(&self, path: &Path, report: &mut Report) -> Vec<Domain> {
        let text = self.root_text(path, report).unwrap_or_default();
        let mut domains: Vec<Domain> = Vec::new();
        for line in text.split_whitespace() {
            match Domain::parse(line) {
                Ok(domain) if domains.contains(&domain) => {}
                Ok(domain) => domains.push(domain),
                Err(error) => report.left_out(&error.0),
            }
        }
        domains
    }

    /// Config vars: where they are now, and where Dokku had them before 0.38.
    pub(super) fn config(&self, scope: &str, old: &Path, report: &mut Report) -> Config {
        let new = Path::new("config").join(scope).join("ENV");
        let (mut config, mut problems) = (Config::default(), Vec::new());
        for text in [self.root_text(old, report), self.lib_text(&new, report)]
            .into_iter()
            .flatten()
        {
            let (pairs, wrong) = dotenv::read(&text);
            problems.extend(wrong);
            for (key, value) in pairs {
                if let Err(error) = config.set(key.clone(), value) {
                    problems.push(format!("config var {key}: {error}"));
                }
            }
        }
        for problem in problems {
            report.left_out(&problem);
        }
        config
    }

    /// `config/PLUGIN/SCOPE/KEY`, as far as we know such a property and its value will do.
    pub(super) fn properties(
        &self,
        scope: &str,
        report: &mut Report,
    ) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for plugin in self.lib_names("config") {
            let folder = format!("config/{plugin}/{scope}");
            for key in self.lib_names(&folder) {
                // Vars of an app that is called like a plugin; lists that others read.
                if key == "ENV" || is_list(&plugin, &key) {
                    continue;
                }
                let Some(value) = self.lib_text(&Path::new(&folder).join(&key), report) else {
                    continue;
                };
                let value = value.trim_end_matches('\n');
                if value.is_empty() {
                    continue;
                }
                // What is for every process type has no prefix here.
                let key = key.strip_prefix("_default_.").unwrap_or(&key).to_owned();
                match verbs::check_property(&plugin, &key, value) {
                    Ok(()) => found.push((plugin.clone(), key, value.to_owned())),
                    Err(why) => report.left_out(&format!("{plugin} property {key}: {why}")),
                }
            }
        }
        found
    }
}

/// What is kept as a list and has a table of its own here, or says nothing that lasts.
fn is_list(plugin: &str, key: &str) -> bool {
    matches!(
        (plugin, key),
        (
            "ps",
            "scale" | "procfile" | "restore" | "running" | "deployed" | "scale.old"
        ) | ("ports", "map" | "map-detected")
            | ("buildpacks", "buildpacks")
            | (
                "apps",
                "created-at" | "deploy-source" | "deploy-source-metadata"
            )
            | ("builder", "detected")
            | ("git", "last-updated-at" | "sha")
            | ("nginx", "last-visited-at")
            | ("common", _)
    ) || matches!(plugin, "docker-options" | "storage")
}

/// Name and whether it is a folder, sorted; links are neither.
fn entries(folder: &Path) -> Vec<(String, bool)> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<_> = found
        .filter_map(|entry| {
            let kind = entry.file_type().ok()?;
            let name = entry.file_name().into_string().ok()?;
            (kind.is_dir() || kind.is_file()).then_some((name, kind.is_dir()))
        })
        .collect();
    entries.sort();
    entries
}

fn text(base: &Path, path: &Path, report: &mut Report) -> Option<String> {
    let name = path.display();
    let full = base.join(path);
    let found = match fs::symlink_metadata(&full) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return None;
        }
        Err(error) => {
            report.left_out(&format!("{name}: {error}"));
            return None;
        }
        Ok(found) => found,
    };
    let parent = path.parent().unwrap_or(Path::new(""));
    if !found.is_file() || !is_real(base, parent) {
        report.left_out(&format!("{name}: it is a link, or no file"));
        return None;
    }
    let mut text = String::new();
    let read =
        fs::File::open(&full).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > FILE_MAX => {
            report.left_out(&format!("{name}: it is too large"))
        }
        Ok(_) => return Some(text),
        Err(error) => report.left_out(&format!("{name}: {error}")),
    }
    None
}

/// Whether every part of the path is a folder and no link.
fn is_real(base: &Path, path: &Path) -> bool {
    let mut folder = base.to_owned();
    path.iter().all(|part| {
        folder.push(part);
        fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir())
    })
}
