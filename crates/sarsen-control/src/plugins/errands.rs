//! Whom scripts act for. A command of a plugin calls the daemon back with the rights of whoever gave it: what it is told to
//! do is what they say, and they could otherwise do through it what they may not.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Outcome};
use crate::session::Actor;
use crate::web::secrets;

/// Scripts may live on when their command has ended; those of older commands are not known any more.
const REMEMBERED: usize = 1024;
/// What scripts carry that act for the host, as those of triggers do.
const OF_THE_HOST: &str = "1";

/// Commands of plugins, and who gave them.
#[derive(Debug, Default)]
pub(crate) struct Errands(Mutex<VecDeque<(String, Actor)>>);

impl Errands {
    /// What a script is to carry; nothing special for those whom nothing is forbidden.
    pub(crate) fn begin(&self, actor: &Actor) -> Option<String> {
        actor.rights()?;
        let token = secrets::make();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.pop_front();
        }
        known.push_back((token.clone(), actor.clone()));
        drop(known);
        Some(token)
    }

    /// Whom a script that carries this acts for; none for the host.
    pub(crate) fn actor(&self, carried: &str) -> Outcome<Option<Actor>> {
        if carried == OF_THE_HOST {
            return Ok(None);
        }
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().rev().find(|(token, _)| token == carried);
        let actor = found.map(|(_, actor)| actor.clone());
        drop(known);
        actor.map(Some).ok_or_else(|| {
            Failure::new(
                "This script belongs to a command that nobody remembers: the daemon was started anew, or it was long ago",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use sarsen_domain::Rights;

    use super::*;

    #[test]
    fn a_script_acts_for_whoever_gave_the_command() {
        let errands = Errands::default();
        let key = |name: &str| Actor::Key {
            name: name.parse().unwrap(),
            fingerprint: format!("SHA256:{name}"),
            source: "127.0.0.1".parse().unwrap(),
            rights: Rights::default(),
        };
        let local = Actor::Local {
            user: "root".to_owned(),
        };
        assert_eq!(errands.begin(&local), None);
        assert_eq!(errands.actor("1").unwrap(), None);
        let first = errands.begin(&key("ada")).unwrap();
        let second = errands.begin(&key("bob")).unwrap();
        assert_eq!(errands.actor(&first).unwrap(), Some(key("ada")));
        assert_eq!(errands.actor(&second).unwrap(), Some(key("bob")));
        assert!(errands.actor("guessed").is_err());
        for _ in 0..REMEMBERED {
            errands.begin(&key("eve"));
        }
        assert!(errands.actor(&first).is_err());
    }
}
