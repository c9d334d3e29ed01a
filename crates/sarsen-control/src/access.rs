//! The one gate: may this actor do this to that? Deny by default.

use std::ops::Deref;

use crate::failure::{Failure, Outcome};
use crate::session::Actor;

/// What a command does to its object. Every command of the table declares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Looks.
    Read,
    /// Changes settings.
    Change,
    /// Changes what runs.
    Deploy,
    /// Runs commands inside the app's containers, or shows its secrets.
    Inside,
    /// Makes and removes apps, and changes settings of all.
    Host,
    /// Decides who may come in.
    Keys,
}

/// Proof that the gate let this actor act on this object. Cannot be made anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised<T>(T);

impl<T> Deref for Authorised<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Lets the actor act on the object, or says why not.
///
/// A key may do everything but hand out access: whoever may deploy runs code on this host anyway, so finer rights
/// between keys would promise what they cannot keep. Keys are given by people on the host itself.
pub(crate) fn authorise<T>(actor: &Actor, action: Action, object: T) -> Outcome<Authorised<T>> {
    match (actor, action) {
        (Actor::Local { .. }, _) => Ok(Authorised(object)),
        (
            Actor::Key { .. },
            Action::Read | Action::Change | Action::Deploy | Action::Inside | Action::Host,
        ) => Ok(Authorised(object)),
        (Actor::Key { .. }, Action::Keys) => Err(Failure::new(
            "This command must be run on the host itself, not over ssh",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_domain::KeyName;

    #[test]
    fn keys_cannot_hand_out_access() {
        let key = Actor::Key {
            name: KeyName::parse("ada").unwrap(),
            fingerprint: "SHA256:x".to_owned(),
            source: [127, 0, 0, 1].into(),
        };
        let local = Actor::Local {
            user: "root".to_owned(),
        };
        for action in [
            Action::Read,
            Action::Change,
            Action::Deploy,
            Action::Inside,
            Action::Host,
        ] {
            assert!(authorise(&key, action, ()).is_ok(), "{action:?}");
        }
        assert!(authorise(&key, Action::Keys, ()).is_err());
        assert!(authorise(&local, Action::Keys, ()).is_ok());
    }
}
