//! The addons there are: the bundled ones, and those of the installation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_domain::AddonName;

use crate::{Addon, DefinitionError};

/// A folder of `plugins/`.
struct Bundled {
    place: &'static str,
    text: &'static str,
    hooks: &'static [(&'static str, &'static str)],
}

macro_rules! bundled {
    ($name:literal $(, $hook:literal)*) => {
        Bundled {
            place: concat!("plugins/", $name, "/service.toml"),
            text: include_str!(concat!("../../../plugins/", $name, "/service.toml")),
            hooks: &[$((
                $hook,
                include_str!(concat!("../../../plugins/", $name, "/hooks/", $hook)),
            )),*],
        }
    };
}

/// Each is a folder of its own; nothing else of the program knows them.
const BUNDLED: [Bundled; 8] = [
    bundled!("mariadb"),
    bundled!("meilisearch", "count", "export", "import"),
    bundled!("memcached"),
    bundled!("mongo"),
    bundled!("mysql"),
    bundled!("postgres"),
    bundled!("rabbitmq", "count", "import"),
    bundled!("redis", "import"),
];

/// Addons by name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Catalog(Arc<BTreeMap<AddonName, Addon>>);

impl Catalog {
    /// The bundled addons.
    pub fn bundled() -> Result<Self, DefinitionError> {
        let addons = BUNDLED.iter().map(|one| {
            let hooks = one.hooks.iter();
            let hooks = hooks.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            Addon::parse(one.place, one.text, hooks.collect())
        });
        let addons = addons.map(|addon| addon.map(|addon| (addon.name.clone(), addon)));
        Ok(Self(Arc::new(addons.collect::<Result<_, _>>()?)))
    }

    /// The bundled addons and those of `FOLDER/*/service.toml`, which may take the place of a bundled one. Names that
    /// are `reserved` are refused: they are other commands' nouns.
    pub fn load(folder: &Path, reserved: &[&str]) -> Result<Self, DefinitionError> {
        let mut addons = BTreeMap::clone(&*Self::bundled()?.0);
        for path in definitions(folder)? {
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            let place = path.display().to_string();
            let addon = Addon::parse(&place, &text, hooks_beside(&path)?)?;
            if reserved.contains(&addon.name.as_str()) {
                let problem = format!("name: '{}' is another command's", addon.name);
                return Err(DefinitionError::Invalid { place, problem });
            }
            addons.insert(addon.name.clone(), addon);
        }
        Ok(Self(Arc::new(addons)))
    }

    /// An addon by its name.
    pub fn get(&self, name: &str) -> Option<&Addon> {
        self.0.get(&AddonName::parse(name).ok()?)
    }

    /// All addons, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Addon> {
        self.0.values()
    }
}

/// The definitions of an installation, sorted; no folder means none.
fn definitions(folder: &Path) -> Result<Vec<PathBuf>, DefinitionError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(unreadable(folder))?
            .path()
            .join("service.toml");
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The scripts in the folder `hooks` beside a definition.
fn hooks_beside(definition: &Path) -> Result<BTreeMap<String, String>, DefinitionError> {
    let folder = definition.with_file_name("hooks");
    let mut hooks = BTreeMap::new();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(hooks),
        Err(error) => return Err(unreadable(&folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(unreadable(&folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|_| path.is_file()) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        hooks.insert(name.to_owned(), text);
    }
    Ok(hooks)
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> DefinitionError {
    let path = path.to_owned();
    move |source| DefinitionError::Unreadable {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_ones_can_be_read() {
        let catalog = Catalog::bundled().unwrap();
        let names: Vec<_> = catalog.iter().map(|addon| addon.name.as_str()).collect();
        let expected = [
            "mariadb",
            "meilisearch",
            "memcached",
            "mongo",
            "mysql",
            "postgres",
            "rabbitmq",
            "redis",
        ];
        assert_eq!(names, expected);
        let variable = |name: &str| catalog.get(name).unwrap().variable.to_string();
        assert_eq!(variable("postgres"), "DATABASE_URL");
        assert_eq!(variable("redis"), "REDIS_URL");
        assert!(catalog.get("oracle").is_none() && catalog.get("../x").is_none());
    }

    #[test]
    fn an_installation_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        assert_eq!(Catalog::load(&missing, &[]).unwrap().iter().count(), 8);
        let put = |name: &str, text: &str| {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("service.toml"), text).unwrap();
        };
        let memcached = BUNDLED[2].text;
        put("one", &memcached.replace("\"memcached\"", "\"cache\""));
        put("two", &memcached.replace("\"1.6\"", "\"9\""));
        let catalog = Catalog::load(folder.path(), &["apps"]).unwrap();
        assert_eq!(catalog.iter().count(), 9);
        assert_eq!(catalog.get("memcached").unwrap().version, "9");

        put(
            "three",
            &memcached.replace("name = \"memcached\"", "name = \"apps\""),
        );
        let error = Catalog::load(folder.path(), &["apps"]).unwrap_err();
        assert!(error.to_string().contains("another command's"), "{error}");
        let hook = "\n[export]\ncommand = [\"{{hooks}}/dump\"]\n";
        let search = memcached.replace("\"memcached\"", "\"search\"") + hook;
        put("three", &search);
        let error = Catalog::load(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("no file hooks/dump"), "{error}");
        std::fs::create_dir(folder.path().join("three/hooks")).unwrap();
        std::fs::write(folder.path().join("three/hooks/dump"), "#!/bin/sh").unwrap();
        let catalog = Catalog::load(folder.path(), &[]).unwrap();
        assert!(catalog.get("search").unwrap().exports());

        put("three", "name = 1");
        let error = Catalog::load(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("three/service.toml"), "{error}");
    }
}
