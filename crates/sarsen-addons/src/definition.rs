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
}

/// A command that writes a service's data to standard output, or reads it from standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub(crate) command: Vec<Template>,
    /// Runs in a container of its own while the service stands still.
    pub(crate) while_stopped: bool,
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
    export: Option<TransferTable>,
    import: Option<TransferTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TransferTable {
    command: Vec<String>,
    #[serde(default)]
    while_stopped: bool,
}

impl Addon {
    /// Reads a definition; `place` says in messages where it stands.
    pub fn parse(place: &str, text: &str) -> Result<Self, DefinitionError> {
        let invalid = |problem: String| DefinitionError::Invalid {
            place: place.to_owned(),
            problem,
        };
        let file: File =
            toml::from_str(text).map_err(|error| invalid(error.to_string().trim().to_owned()))?;
        Self::from_file(file).map_err(invalid)
    }

    fn from_file(file: File) -> Result<Self, String> {
        let words = Words::of(&file)?;
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
        if let Some(path) = &file.data {
            absolute("data", path)?;
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
            export: words.transfer("export", file.export)?,
            import: words.transfer("import", file.import)?,
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
}

impl Words {
    fn of(file: &File) -> Result<Self, String> {
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
            let known = PLAIN.iter().copied();
            Template::parse(text, known).map_err(|problem| format!("{field}: {problem}"))
        };
        words.iter().map(word).collect()
    }

    fn transfer(
        &self,
        field: &str,
        table: Option<TransferTable>,
    ) -> Result<Option<Transfer>, String> {
        let Some(table) = table else { return Ok(None) };
        if table.command.is_empty() {
            return Err(format!("{field}: the command has no words"));
        }
        Ok(Some(Transfer {
            command: self.argv(field, &table.command)?,
            while_stopped: table.while_stopped,
        }))
    }
}

#[cfg(test)]
mod tests;
