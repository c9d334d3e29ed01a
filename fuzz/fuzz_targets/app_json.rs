//! app.json, Procfile and the small grammars of commands: whatever comes, an answer comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sarsen_domain::{AppJson, AppName, Branch, Domain, EnvKey, ImageRef, PortMapping, Procfile};

fuzz_target!(|text: &str| {
    let _ = AppJson::parse(text);
    if let Ok(procfile) = Procfile::parse(text) {
        let _ = format!("{procfile:?}");
    }
    let _ = AppName::parse(text);
    let _ = Branch::parse(text);
    let _ = Domain::parse(text);
    let _ = EnvKey::parse(text);
    let _ = ImageRef::parse(text);
    if let Ok(mapping) = text.parse::<PortMapping>() {
        assert_eq!(mapping.to_string().parse::<PortMapping>(), Ok(mapping));
    }
});
