//! Who a command is carried out for, as scripts of plugins are told.

use std::collections::BTreeMap;

use sarsen_domain::SshKey;
use sarsen_plugins::WITHIN;

use crate::session::Actor;

/// The user that Dokku's ssh entry runs as, whatever the key.
const SSH_USER: &str = "dokku";
/// The name of whoever has no key.
const NO_KEY: &str = "default";

/// Who a command is carried out for. A script of a plugin that calls back does so for whoever called it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `SSH_USER`: the login name, or `dokku` for who came by ssh.
    pub user: String,
    /// `SSH_NAME`: the key's name.
    pub name: String,
    /// `FINGERPRINT`
    fingerprint: Option<String>,
    /// Whether a script of a plugin asks: whatever it was started for was let in already.
    pub within: bool,
}

impl Identity {
    /// What is passed on counts only when a script of ours passes it.
    pub(crate) fn of(actor: &Actor, variables: &BTreeMap<String, String>) -> Self {
        let within = variables.contains_key(WITHIN);
        match actor {
            Actor::Key {
                name, fingerprint, ..
            } => Self {
                user: SSH_USER.to_owned(),
                name: name.to_string(),
                fingerprint: Some(fingerprint.clone()),
                within,
            },
            Actor::Web(web) => Self {
                user: match &web.fingerprint {
                    Some(_) => SSH_USER.to_owned(),
                    None => web.holder.name().to_owned(),
                },
                name: match &web.fingerprint {
                    Some(_) => web.holder.name().to_owned(),
                    None => NO_KEY.to_owned(),
                },
                fingerprint: web.fingerprint.clone(),
                within,
            },
            Actor::Local { user } => {
                let passed = |name| variables.get(name).filter(|_| within).cloned();
                Self {
                    user: passed("SSH_USER").unwrap_or_else(|| user.clone()),
                    name: passed("SSH_NAME").unwrap_or_else(|| NO_KEY.to_owned()),
                    fingerprint: passed("FINGERPRINT"),
                    within,
                }
            }
        }
    }

    /// Who set off a deploy, of whom the name is left: a key's name belongs to somebody who came by ssh.
    pub(crate) fn of_author(author: &str, keys: &[SshKey]) -> Self {
        let is_key = keys.iter().any(|key| key.name.as_str() == author);
        let key = is_key.then(|| author.to_owned());
        Self {
            user: key.as_ref().map_or(author, |_| SSH_USER).to_owned(),
            name: key.unwrap_or_else(|| NO_KEY.to_owned()),
            ..Self::default()
        }
    }

    /// Variables for scripts. `NAME` is there for keys only: plugins take its absence for somebody on the host.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let mut env = vec![
            ("SSH_USER".to_owned(), self.user.clone()),
            ("SSH_NAME".to_owned(), self.name.clone()),
        ];
        if self.name != NO_KEY {
            env.push(("NAME".to_owned(), self.name.clone()));
        }
        if let Some(fingerprint) = &self.fingerprint {
            env.push(("FINGERPRINT".to_owned(), fingerprint.clone()));
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_of_ours_speak_for_others() {
        let local = Actor::Local {
            user: "root".to_owned(),
        };
        let mut variables = BTreeMap::from([
            ("SSH_NAME".to_owned(), "ada".to_owned()),
            ("SSH_USER".to_owned(), "dokku".to_owned()),
        ]);
        let own = Identity::of(&local, &variables);
        assert_eq!((own.user.as_str(), own.name.as_str()), ("root", "default"));
        assert!(!own.env().iter().any(|(key, _)| key == "NAME"));
        variables.insert(WITHIN.to_owned(), "1".to_owned());
        let passed = Identity::of(&local, &variables);
        assert_eq!(
            (passed.user.as_str(), passed.name.as_str()),
            ("dokku", "ada")
        );
        assert!(passed.within && passed.env().iter().any(|(key, _)| key == "NAME"));
    }
}
