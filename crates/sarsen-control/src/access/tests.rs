//! The gate, held against the whole command table.

use sarsen_domain::KeyName;

use super::*;
use crate::table::commands;

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn key(rights: Rights) -> Actor {
    Actor::Key {
        name: KeyName::parse("bob").unwrap(),
        fingerprint: "SHA256:x".to_owned(),
        source: [127, 0, 0, 1].into(),
        rights,
    }
}

/// A key with a right on `mine` alone.
fn with(right: Right) -> Actor {
    key(Rights {
        everywhere: None,
        apps: [(app("mine"), right)].into(),
    })
}

/// Every right that a key can have, on one app or everywhere, and none.
fn keys() -> Vec<(Option<Right>, Option<Right>, Actor)> {
    let rights = || [None].into_iter().chain(Right::ALL.map(Some));
    let make = |everywhere: Option<Right>, own: Option<Right>| {
        let apps = own.map(|right| (app("mine"), right)).into_iter().collect();
        (everywhere, own, key(Rights { everywhere, apps }))
    };
    rights()
        .flat_map(|everywhere| rights().map(move |own| make(everywhere, own)))
        .collect()
}

/// What a right is worth, said once more and in another way than the gate says it.
fn suffices(right: Option<Right>, action: Action) -> bool {
    match right {
        None => action == Action::List,
        Some(Right::Read) => matches!(action, Action::List | Action::Read | Action::Own),
        Some(Right::Deploy) => !matches!(action, Action::Host | Action::Keys | Action::Root),
        Some(Right::Admin) => !matches!(action, Action::Keys | Action::Root),
    }
}

#[test]
fn every_command_with_every_right_on_every_object() {
    for command in commands() {
        let usage = Usage::parse(command.usage).unwrap();
        let has = |word: &str| usage.position(word).is_some();
        let (takes_app, takes_service) = (has("app"), has("service"));
        for (everywhere, own, actor) in keys() {
            let said = format!("{} {everywhere:?} {own:?}", command.name);
            let host_wide = match command.action {
                Action::List => true,
                Action::Own => everywhere.or(own).is_some(),
                Action::Read => everywhere.is_some(),
                Action::Keys | Action::Root => false,
                Action::Change | Action::Deploy | Action::Inside | Action::Host => {
                    everywhere == Some(Right::Admin)
                }
            };
            assert_eq!(
                gate(command, &actor, None, Reached::Instead).is_ok(),
                host_wide,
                "{said} --global"
            );
            let without = if takes_app && !takes_service && command.action == Action::Read {
                everywhere.or(own).is_some()
            } else {
                host_wide
            };
            assert_eq!(
                gate(command, &actor, None, Reached::Named).is_ok(),
                without,
                "{said} without an app"
            );
            if !takes_app && !has("repo") {
                continue;
            }
            for (name, right) in [("mine", everywhere.max(own)), ("other", everywhere)] {
                let right = if command.action == Action::Host {
                    everywhere
                } else {
                    right
                };
                let expected = suffices(right, command.action) && (!takes_service || host_wide);
                let found = gate(command, &actor, Some(app(name)), Reached::Named);
                assert_eq!(found.is_ok(), expected, "{said} on {name}");
            }
        }
        let local = Actor::Local {
            user: "root".to_owned(),
        };
        assert!(
            gate(command, &local, None, Reached::Named).is_ok(),
            "{}",
            command.name
        );
    }
}

#[test]
fn what_is_not_mine_is_not_seen() {
    for right in Right::ALL {
        let bob = with(right);
        assert!(sees(&bob, &app("mine")) && !sees(&bob, &app("other")));
        let words = ["redis:create".to_owned()];
        assert!(authorise(&bob, Action::Host, words.as_slice()).is_err());
        let denied = authorise(&bob, Action::Read, app("other")).unwrap_err();
        assert!(denied.message.starts_with("Access denied"), "{denied}");
    }
    assert!(!sees(&key(Rights::default()), &app("mine")));
    assert!(sees(&key(Rights::admin()), &app("mine")));
}

#[test]
fn keys_cannot_hand_out_access() {
    let admin = key(Rights::admin());
    for action in [
        Action::List,
        Action::Read,
        Action::Change,
        Action::Deploy,
        Action::Inside,
        Action::Host,
        Action::Own,
    ] {
        assert!(authorise(&admin, action, ()).is_ok(), "{action:?}");
    }
    for action in [Action::Keys, Action::Root] {
        assert!(authorise(&admin, action, ()).is_err(), "{action:?}");
    }
}
