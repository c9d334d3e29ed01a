//! The keyspace as a model: whatever is done and undone, the rules hold.

use proptest::prelude::*;
use sarsen_store::{KvSession, KvState};

use super::Keyspace;

#[derive(Debug, Clone)]
enum Step {
    Set(usize, u8),
    SetIf(usize, u8, u64),
    Delete(usize),
    DeleteUnder,
    Lock(usize, usize),
    Unlock(usize, usize),
    End(usize),
}

const KEYS: [&str; 4] = ["a", "a/b", "a/c", "b"];
const SESSIONS: [&str; 2] = ["s", "t"];

fn step() -> impl Strategy<Value = Step> {
    let (key, session) = (0..KEYS.len(), 0..SESSIONS.len());
    prop_oneof![
        (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Set(k, v)),
        (key.clone(), any::<u8>(), 0..20_u64).prop_map(|(k, v, i)| Step::SetIf(k, v, i)),
        key.clone().prop_map(Step::Delete),
        Just(Step::DeleteUnder),
        (key.clone(), session.clone()).prop_map(|(k, s)| Step::Lock(k, s)),
        (key, session.clone()).prop_map(|(k, s)| Step::Unlock(k, s)),
        session.prop_map(Step::End),
    ]
}

fn session(id: &str) -> KvSession {
    KvSession {
        id: id.to_owned(),
        name: String::new(),
        node: "n".to_owned(),
        ttl: 0,
        lock_delay: 0,
        deletes: id == "t",
        node_checks: Vec::new(),
        service_checks: Vec::new(),
        create_index: 0,
        modify_index: 0,
    }
}

fn make(change: &mut super::Change<'_>, step: &Step) {
    match *step {
        Step::Set(key, value) => change.set(KEYS[key], &[value], 0),
        Step::SetIf(key, value, index) => {
            let known = change
                .space()
                .get(KEYS[key])
                .map_or(0, |entry| entry.modify_index);
            let done = change.set_if(KEYS[key], (&[value], 0), index);
            assert_eq!(done, known == index);
        }
        Step::Delete(key) => change.delete(KEYS[key]),
        Step::DeleteUnder => change.delete_under("a/"),
        Step::Lock(key, session) => {
            let id = SESSIONS[session];
            let holder = change
                .space()
                .get(KEYS[key])
                .and_then(|entry| entry.session.clone());
            let is_there = change.space().session(id).is_some();
            let done = change.lock(KEYS[key], (b"l", 0), id);
            assert_eq!(done.is_ok(), is_there);
            if let Ok(done) = done {
                assert_eq!(done, holder.is_none_or(|holder| holder == id));
            }
        }
        Step::Unlock(key, session) => {
            let id = SESSIONS[session];
            let holder = change
                .space()
                .get(KEYS[key])
                .and_then(|entry| entry.session.clone());
            if let Ok(done) = change.unlock(KEYS[key], (b"u", 0), id) {
                assert_eq!(done, holder.as_deref() == Some(id));
            }
        }
        Step::End(session) => change.end_session(SESSIONS[session]),
    }
}

/// Everything that can be seen, as text.
fn seen(space: &Keyspace) -> String {
    let touched: Vec<_> = KEYS.iter().map(|key| space.touched(key)).collect();
    let entries: Vec<_> = space.under("").collect();
    let sessions: Vec<_> = space.sessions().collect();
    format!(
        "{entries:?} {sessions:?} {touched:?} {}",
        space.touched_under("a/")
    )
}

proptest! {
    #[test]
    fn what_is_undone_has_never_been_and_what_is_kept_is_told(steps in prop::collection::vec((step(), any::<bool>()), 1..40)) {
        let mut space = Keyspace::new(KvState { index: 1, ..KvState::default() });
        let mut change = space.change();
        for id in SESSIONS {
            change.begin_session(session(id));
        }
        change.keep();
        for (step, keep) in steps {
            let before = seen(&space);
            let index = space.index();
            let mut change = space.change();
            make(&mut change, &step);
            let result = change.result();
            if keep && result.is_some() {
                change.keep();
                let result = result.unwrap();
                prop_assert_eq!(space.index(), index + 1);
                for entry in &result.entries {
                    prop_assert_eq!(space.get(&entry.key), Some(entry));
                    prop_assert_eq!(entry.modify_index, index + 1);
                }
                for key in &result.removed_entries {
                    prop_assert!(space.get(key).is_none());
                    prop_assert_eq!(space.touched(key), index + 1);
                }
            } else {
                change.undo();
                prop_assert_eq!(seen(&space), before);
            }
            for entry in space.under("") {
                let holder = entry.session.as_deref();
                prop_assert!(holder.is_none_or(|id| space.session(id).is_some()), "a lock without a holder");
            }
        }
    }
}
