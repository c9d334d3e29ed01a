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
    /// Gives containers power over the host itself: its files, devices, namespaces.
    Root,
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
/// A key may do everything but hand out access and open the wall between containers and the host: whoever may deploy
/// runs code in containers anyway, so finer rights between keys would promise what they cannot keep. Keys are given,
/// and walls opened, by people on the host itself.
pub(crate) fn authorise<T>(actor: &Actor, action: Action, object: T) -> Outcome<Authorised<T>> {
    match (actor, action) {
        (Actor::Local { .. }, _) => Ok(Authorised(object)),
        (
            Actor::Key { .. },
            Action::Read | Action::Change | Action::Deploy | Action::Inside | Action::Host,
        ) => Ok(Authorised(object)),
        (Actor::Key { .. }, Action::Keys | Action::Root) => Err(Failure::new(
            "This command must be run on the host itself, not over ssh",
        )),
    }
}

/// Lets the actor give containers these powers over the host, or says which of them must be given there.
pub(crate) fn authorise_powers(actor: &Actor, powers: &[String]) -> Outcome {
    let Some(first) = powers.first() else {
        return Ok(());
    };
    authorise(actor, Action::Root, ()).map(|_| ()).map_err(|_| {
        Failure::new(format!(
            "{} gives the app power over the host itself: run this command on the host, not over ssh",
            first.escape_debug()
        ))
    })
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
        for action in [Action::Keys, Action::Root] {
            assert!(authorise(&key, action, ()).is_err());
            assert!(authorise(&local, action, ()).is_ok());
        }
    }
}
