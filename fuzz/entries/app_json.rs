//! app.json, Procfile and the small grammars of commands: whatever comes, an answer comes back.

use sarsen_domain::{AppJson, AppName, Branch, Domain, EnvKey, ImageRef, PortMapping, Procfile};

/// Reads the text in every way.
pub(crate) fn run(text: &str) {
    AppJson::parse(text).ok();
    if let Ok(procfile) = Procfile::parse(text) {
        assert!(!format!("{procfile:?}").is_empty());
    }
    AppName::parse(text).ok();
    Branch::parse(text).ok();
    Domain::parse(text).ok();
    EnvKey::parse(text).ok();
    ImageRef::parse(text).ok();
    if let Ok(mapping) = text.parse::<PortMapping>() {
        assert_eq!(mapping.to_string().parse::<PortMapping>(), Ok(mapping));
    }
}
