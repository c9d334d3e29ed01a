//! What a `service.toml` says, read strictly.

use std::collections::BTreeMap;

use sarsen_domain::{AddonName, EnvKey, ImageRef, ServiceName};
use serde::Deserialize;

use crate::DefinitionError;
use crate::template::{PLAIN, Secrets, Template, generate};

/// An addon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addon {
    /// The noun of its commands: `redis`.
    pub name: AddonName,
    /// As people write it: `Redis`.
    pub title: String,
    pub(crate) repository: String,
    pub(crate) version: String,
    /// The first is the one that the URL speaks of.
    pub(crate) ports: Vec<u16>,
    /// Where the data is in the container; none when nothing is kept.
    pub(crate) data: Option<String>,
    /// Where a folder of the host with more configuration is shown in the container.
    pub(crate) config: Option<String>,
    /// The config var that a link sets: `REDIS_URL`.
    pub variable: EnvKey,
    pub(crate) url: Template,
    secrets: Vec<String>,
    pub(crate) env: BTreeMap<EnvKey, Template>,
    /// Files by their path in the container.
    pub(crate) files: BTreeMap<String, Template>,
    pub(crate) exec_env: BTreeMap<EnvKey, Template>,
    pub(crate) command: Vec<Template>,
    /// Ends with 0 when the service is ready; when there is none, its port answers.
    pub(crate) ready: Vec<Template>,
    pub(crate) connect: Vec<Template>,
    pub(crate) export: Option<Transfer>,
    pub(crate) import: Option<Transfer>,
    pub(crate) check: Option<Check>,
    /// Scripts that commands name by `{{hooks}}`, by their file names.
    pub(crate) hooks: BTreeMap<String, String>,
}

/// A command that prints how many of something the data holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) command: Vec<Template>,
    /// `tables`, `keys`
    pub counts: String,
}

/// A command that writes a service's data to standard output, or reads it from standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub(crate) command: Vec<Template>,
    /// Runs in a container of its own while the service stands still.
    pub(crate) while_stopped: bool,
    /// What files with such data are called behind the last dot.
    pub(crate) extension: String,
    /// Whether the data is compressed as it is.
    pub(crate) compressed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    name: String,
    title: String,
    image: String,
    version: String,
    ports: Vec<u16>,
    data: Option<String>,
    config: Option<String>,
    variable: String,
    url: String,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    exec_env: BTreeMap<String, String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    ready: Vec<String>,
    #[serde(default)]
    connect: Vec<String>,
    export: Option<ExportTable>,
    import: Option<ImportTable>,
    check: Option<CheckTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ExportTable {
    command: Vec<String>,
    #[serde(default = "data")]
    file: String,
    #[serde(default)]
    compressed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ImportTable {
    command: Vec<String>,
    #[serde(default)]
    while_stopped: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckTable {
    command: Vec<String>,
    counts: String,
}

fn data() -> String {
    "data".to_owned()
}

impl Addon {
    /// Reads a definition; `place` says in messages where it stands. Its hooks are scripts by their file names.
    pub fn parse(
        place: &str,
        text: &str,
        hooks: BTreeMap<String, String>,
    ) -> Result<Self, DefinitionError> {
        let invalid = |problem: String| DefinitionError::Invalid {
            place: place.to_owned(),
            problem,
        };
        let file: File =
            toml::from_str(text).map_err(|error| invalid(error.to_string().trim().to_owned()))?;
        Self::from_file(file, hooks).map_err(invalid)
    }

    fn from_file(file: File, hooks: BTreeMap<String, String>) -> Result<Self, String> {
        let words = Words::of(&file, hooks.keys().cloned().collect())?;
        let image = format!("{}:{}", file.image, file.version);
        ImageRef::parse(&image).map_err(|error| format!("image, version: {error}"))?;
        if file.ports.is_empty() || file.ports.contains(&0) {
            return Err("ports: give at least one port from 1 to 65535".to_owned());
        }
        let variable = EnvKey::parse(&file.variable).map_err(|e| format!("variable: {e}"))?;
        if !variable.as_str().ends_with("_URL") {
            return Err("variable: must end with _URL, as in REDIS_URL".to_owned());
        }
        if file.import.is_some() && file.data.is_none() {
            return Err("import: there is no data folder to import into".to_owned());
        }
        for (field, path) in [("data", &file.data), ("config", &file.config)] {
            path.as_deref()
                .map_or(Ok(()), |path| absolute(field, path))?;
        }
        for path in file.files.keys() {
            absolute("files", path)?;
        }
        Ok(Self {
            name: AddonName::parse(&file.name).map_err(|error| format!("name: {error}"))?,
            title: file.title,
            repository: file.image,
            version: file.version,
            ports: file.ports,
            data: file.data,
            config: file.config,
            variable,
            url: words.open("url", &file.url)?,
            env: words.env("env", &file.env)?,
            exec_env: words.env("exec-env", &file.exec_env)?,
            files: file
                .files
                .iter()
                .map(|(path, text)| Ok((path.clone(), words.open("files", text)?)))
                .collect::<Result<_, String>>()?,
            command: words.argv("command", &file.command)?,
            ready: words.argv("ready", &file.ready)?,
            connect: words.argv("connect", &file.connect)?,
            export: words.export(file.export)?,
            import: words.import(file.import)?,
            check: words.check(file.check)?,
            hooks,
            secrets: words.secrets,
        })
    }

    /// The image of a new service: the default one, or another repository, or another version.
    pub fn image(
        &self,
        repository: Option<&str>,
        version: Option<&str>,
    ) -> Result<ImageRef, sarsen_domain::Invalid> {
        let repository = repository.unwrap_or(&self.repository);
        let version = version.unwrap_or(&self.version);
        ImageRef::parse(&format!("{repository}:{version}"))
    }

    /// New passwords for a service.
    pub fn new_secrets(&self) -> Secrets {
        generate(&self.secrets)
    }

    /// Whether its services have a password of this name.
    pub fn has_secret(&self, name: &str) -> bool {
        self.secrets.iter().any(|secret| secret == name)
    }

    /// Where the data of services is in their containers; none when nothing is kept.
    pub fn data_folder(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// Whether its services read configuration from a folder of the host.
    pub fn has_config_folder(&self) -> bool {
        self.config.is_some()
    }

    /// The ports that services listen on.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// What is counted in services, when something is: `tables`.
    pub fn counts(&self) -> Option<&str> {
        self.check.as_ref().map(|check| check.counts.as_str())
    }

    /// What a file with an export is called behind its first dot, and whether it is yet to be compressed.
    pub fn export_form(&self) -> Option<(&str, bool)> {
        let export = self.export.as_ref()?;
        Some((export.extension.as_str(), !export.compressed))
    }

    /// The word before `_URL` of its variable: `REDIS`.
    pub fn alias(&self) -> &str {
        let variable = self.variable.as_str();
        variable.strip_suffix("_URL").unwrap_or(variable)
    }

    /// The name that linked apps find a service by.
    pub fn host(&self, service: &ServiceName) -> String {
        format!("dokku-{}-{service}", self.name)
    }

    /// Whether services can be talked to with a client of their own.
    pub fn connects(&self) -> bool {
        !self.connect.is_empty()
    }

    /// Whether the data of services can be written out.
    pub fn exports(&self) -> bool {
        self.export.is_some()
    }

    /// Whether the data of services can be replaced.
    pub fn imports(&self) -> bool {
        self.import.is_some()
    }
}

fn absolute(field: &str, path: &str) -> Result<(), String> {
    let odd = |c: char| c.is_control() || c == ':';
    let climbs = path.split('/').any(|part| part == "..");
    if !path.starts_with('/') || path.ends_with('/') || climbs || path.chars().any(odd) {
        return Err(format!(
            "{field}: '{}' is no absolute path of a container",
            path.escape_debug()
        ));
    }
    Ok(())
}

/// Reads texts with placeholders.
struct Words {
    secrets: Vec<String>,
    hooks: Vec<String>,
}

impl Words {
    fn of(file: &File, hooks: Vec<String>) -> Result<Self, String> {
        for name in &file.secrets {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || !name.chars().all(legal) || PLAIN.contains(&name.as_str()) {
                return Err(format!(
                    "secrets: '{}' cannot be the name of one: lowercase letters, digits and hyphens, and none of {}",
                    name.escape_debug(),
                    PLAIN.join(", ")
                ));
            }
        }
        Ok(Self {
            secrets: file.secrets.clone(),
            hooks,
        })
    }

    /// A text that only the service, and apps linked to it, get to see.
    fn open(&self, field: &str, text: &str) -> Result<Template, String> {
        let secrets = self.secrets.iter().map(String::as_str);
        let known = PLAIN.iter().copied().chain(secrets);
        Template::parse(text, known).map_err(|problem| format!("{field}: {problem}"))
    }

    fn env(
        &self,
        field: &str,
        vars: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<EnvKey, Template>, String> {
        let var = |(key, text): (&String, &String)| {
            let key = EnvKey::parse(key).map_err(|error| format!("{field}: {error}"))?;
            Ok((key, self.open(field, text)?))
        };
        vars.iter().map(var).collect()
    }

    /// Words of a command: whoever lists the host's processes sees them, so they carry no secrets.
    fn argv(&self, field: &str, words: &[String]) -> Result<Vec<Template>, String> {
        let word = |text: &String| {
            let secret = self
                .secrets
                .iter()
                .find(|n| text.contains(&format!("{{{{{n}}}}}")));
            if let Some(secret) = secret {
                return Err(format!(
                    "{field}: {{{{{secret}}}}} would show in the list of processes: put it in env, exec-env or files"
                ));
            }
            if let Some(hook) = text.strip_prefix("{{hooks}}/")
                && !self.hooks.iter().any(|name| name == hook)
            {
                let hook = hook.escape_debug();
                return Err(format!("{field}: there is no file hooks/{hook}"));
            }
            let known = PLAIN.iter().copied();
            Template::parse(text, known).map_err(|problem| format!("{field}: {problem}"))
        };
        words.iter().map(word).collect()
    }

    /// The same where there must be some.
    fn some_argv(&self, field: &str, words: &[String]) -> Result<Vec<Template>, String> {
        if words.is_empty() {
            return Err(format!("{field}: the command has no words"));
        }
        self.argv(field, words)
    }

    fn export(&self, table: Option<ExportTable>) -> Result<Option<Transfer>, String> {
        let Some(table) = table else { return Ok(None) };
        plain_word("export: file", &table.file)?;
        Ok(Some(Transfer {
            command: self.some_argv("export", &table.command)?,
            while_stopped: false,
            extension: table.file,
            compressed: table.compressed,
        }))
    }

    fn import(&self, table: Option<ImportTable>) -> Result<Option<Transfer>, String> {
        let Some(table) = table else { return Ok(None) };
        Ok(Some(Transfer {
            command: self.some_argv("import", &table.command)?,
            while_stopped: table.while_stopped,
            extension: data(),
            compressed: false,
        }))
    }

    fn check(&self, table: Option<CheckTable>) -> Result<Option<Check>, String> {
        let Some(table) = table else { return Ok(None) };
        plain_word("check: counts", &table.counts)?;
        Ok(Some(Check {
            command: self.some_argv("check", &table.command)?,
            counts: table.counts,
        }))
    }
}

fn plain_word(field: &str, word: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if word.is_empty() || word.len() > 16 || !word.chars().all(legal) {
        return Err(format!(
            "{field}: '{}' is not one word of lowercase letters and digits",
            word.escape_debug()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
