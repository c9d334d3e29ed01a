//! The config vars that app.json asks for: set before the release that needs them is made.

use rand::RngCore;
use sarsen_domain::app_json::env::plan;
use sarsen_domain::app_json::{Deploy, EnvValue};
use sarsen_domain::{AppJson, EnvKey, Progress};
use sarsen_store::Scope;

use crate::access::service_tie;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::Job;

impl Control {
    /// Gives the app what its app.json wants it to have. When a value is missing that only a person can give, nothing
    /// is set and the deploy ends.
    pub(crate) async fn set_wanted_env(&self, job: &Job, app_json: &AppJson) -> Outcome {
        if app_json.env.is_empty() {
            return Ok(());
        }
        let deploy = if self.store.apps().get(&job.app).await?.deployed {
            Deploy::Later
        } else {
            Deploy::First
        };
        let config = self.store.config().merged(&job.app).await?;
        let plan = plan(&app_json.env, &config, deploy);
        if !plan.missing.is_empty() {
            let names: Vec<_> = plan.missing.iter().map(EnvKey::as_str).collect();
            let (names, app) = (names.join(" "), &job.app);
            let pairs = names.replace(' ', "=… ");
            return Err(Failure::new(format!(
                "app.json requires config vars that are not set: {names}\nSet them with 'config:set {app} {pairs}=…' and deploy again"
            )));
        }
        let mut pairs = Vec::new();
        for (key, value) in plan.set {
            let value = give(value);
            // Whoever may push need not have the right to it.
            if let Some(tie) = service_tie(&job.app, key.as_str(), &value) {
                return Err(Failure::new(format!(
                    "app.json cannot set {tie}, because a service of another app may have this name: set it with 'config:set {} {tie}' and deploy again",
                    job.app
                )));
            }
            pairs.push((key, value));
        }
        if pairs.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = pairs.iter().map(|(key, _)| key.to_string()).collect();
        let scope = Scope::App(job.app.clone());
        self.store.config().set(&scope, pairs).await?;
        job.log.header(&format!(
            "Setting config vars from app.json: {}",
            names.join(", ")
        ));
        Ok(())
    }
}

fn give(value: EnvValue) -> String {
    match value {
        EnvValue::Given(text) => text,
        EnvValue::Secret => {
            let mut bytes = [0_u8; 32];
            rand::rng().fill_bytes(&mut bytes);
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        EnvValue::Absent => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_64_hex_digits_and_differ() {
        let secret = give(EnvValue::Secret);
        assert_eq!(secret.len(), 64);
        assert!(secret.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(secret, give(EnvValue::Secret));
    }
}
