//! What placeholders stand for in a service, and the files that they are filled into.

use std::collections::BTreeMap;

use bytes::Bytes;
use sarsen_domain::EnvKey;
use sarsen_runtime::RuntimeError;

use super::Service;
use crate::template::Template;
use crate::{Addon, Secrets};

/// Where an addon's scripts are in its containers.
const HOOKS: &str = "/usr/local/share/sarsen";

/// What placeholders stand for.
pub(crate) struct Values {
    host: String,
    port: String,
    name: String,
    database: String,
    secrets: Secrets,
}

impl Values {
    pub(crate) fn of(addon: &Addon, service: &Service) -> Self {
        let port = addon.ports.first().copied().unwrap_or_default();
        Self {
            host: addon.host(&service.name),
            port: port.to_string(),
            name: service.name.to_string(),
            database: service.name.as_str().replace('-', "_"),
            secrets: service.secrets.clone(),
        }
    }

    pub(crate) fn fill(&self, template: &Template) -> String {
        let plain = [
            ("host", self.host.as_str()),
            ("port", self.port.as_str()),
            ("name", self.name.as_str()),
            ("database", self.database.as_str()),
            ("hooks", HOOKS),
        ];
        let secrets = self.secrets.iter();
        let secrets = secrets.map(|(name, value)| (name.as_str(), value.expose().as_str()));
        template.fill(&plain.into_iter().chain(secrets).collect())
    }

    /// `KEY=value`
    pub(crate) fn env(&self, vars: &BTreeMap<EnvKey, Template>) -> Vec<String> {
        let vars = vars.iter();
        vars.map(|(key, value)| format!("{key}={}", self.fill(value)))
            .collect()
    }
}

/// The addon's files, readable for whoever the server becomes, and its scripts.
pub(crate) fn tar_of(addon: &Addon, values: &Values) -> Result<Bytes, RuntimeError> {
    let mut tar = tar::Builder::new(Vec::new());
    let files = addon.files.iter();
    let files = files.map(|(path, content)| (path.clone(), values.fill(content), 0o444));
    let hooks = addon.hooks.iter();
    let hooks = hooks.map(|(name, text)| (format!("{HOOKS}/{name}"), text.clone(), 0o555));
    for (path, content, mode) in files.chain(hooks) {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        let path = path.trim_start_matches('/');
        let packed = tar.append_data(&mut header, path, content.as_bytes());
        packed.map_err(|error| RuntimeError::Engine(format!("cannot pack {path}: {error}")))?;
    }
    let bytes = tar.into_inner();
    let bytes = bytes.map_err(|error| RuntimeError::Engine(format!("cannot pack: {error}")))?;
    Ok(bytes.into())
}
