//! What is heard in whatever order.

use super::*;
use sarsen_domain::Health;
use std::collections::BTreeMap;

fn id() -> ContainerId {
    ContainerId::parse("abc").unwrap()
}

fn sighting(started: i64) -> Sighting {
    let service = Service {
        id: format!("h:c:{started}"),
        name: "c".into(),
        address: "127.0.0.1:1".parse().unwrap(),
        tags: vec![],
        attributes: BTreeMap::new(),
        health: Health::Passing,
        container: id(),
        owner: None,
    };
    Sighting {
        id: id(),
        started,
        process: None,
        offers: vec![Offer {
            service,
            check: None,
        }],
        conditions: vec![],
    }
}

fn listing(running: Vec<Sighting>) -> Listing {
    Listing {
        running,
        ..Listing::default()
    }
}

/// The start times of all lives.
fn lives(ledger: &Ledger) -> Vec<i64> {
    ledger.lives().iter().map(|life| life.started).collect()
}

#[test]
fn a_dead_container_is_not_resurrected_by_a_late_listing() {
    let mut ledger = Ledger::default();
    let look = ledger.begin();
    ledger.saw(look, sighting(10));
    ledger.died(&id(), 20);
    assert!(lives(&ledger).is_empty());
    let later = ledger.begin();
    assert!(!ledger.saw(later, sighting(10)));
    ledger.compare(later, listing(vec![sighting(10)]));
    assert!(lives(&ledger).is_empty());
    assert!(ledger.saw(later, sighting(21)), "its next life counts");
}

#[test]
fn a_death_told_again_does_not_end_the_next_life() {
    let mut ledger = Ledger::default();
    let look = ledger.begin();
    ledger.died(&id(), 20);
    ledger.saw(look, sighting(21));
    ledger.died(&id(), 20);
    assert_eq!(lives(&ledger), [21]);
}

#[test]
fn a_listing_removes_what_it_lacks_but_nothing_seen_since() {
    let mut ledger = Ledger::default();
    let early = ledger.begin();
    let look = ledger.begin();
    ledger.saw(look, sighting(10));
    ledger.compare(early, listing(vec![]));
    assert_eq!(lives(&ledger), [10]);
    let late = ledger.begin();
    ledger.compare(late, listing(vec![]));
    assert!(lives(&ledger).is_empty());
}

#[test]
fn of_two_looks_the_one_that_began_later_counts() {
    let mut ledger = Ledger::default();
    let (early, late) = (ledger.begin(), ledger.begin());
    let mut renamed = sighting(10);
    renamed.offers[0].service.name = "new".into();
    ledger.saw(late, renamed);
    assert!(ledger.saw(early, sighting(10)));
    assert_eq!(ledger.lives()[0].offers[0].service.name, "new");
    ledger.is_gone(early, &id());
    assert_eq!(lives(&ledger), [10]);
}

#[test]
fn a_drain_outlives_looks_and_ends_with_the_life_or_the_patience() {
    let mut ledger = Ledger::default();
    let look = ledger.begin();
    ledger.saw(look, sighting(10));
    ledger.stops(&id(), 5);
    assert!(!ledger.lives()[0].is_draining(), "that was its last life");
    ledger.stops(&id(), 15);
    let look = ledger.begin();
    ledger.saw(look, sighting(10));
    assert!(ledger.lives()[0].is_draining());
    ledger.end_drains(15 + DRAIN_LIMIT);
    assert!(ledger.lives()[0].is_draining());
    ledger.end_drains(16 + DRAIN_LIMIT);
    assert!(!ledger.lives()[0].is_draining());
    ledger.stops(&id(), 17);
    ledger.saw(look, sighting(20));
    assert!(!ledger.lives()[0].is_draining());
}

#[test]
fn those_of_an_app_never_stay_when_it_fails() {
    let mut ledger = Ledger::default();
    let look = ledger.begin();
    let mut ours = sighting(10);
    ours.offers[0].service.owner = Some(sarsen_domain::service::ServiceOwner {
        app: sarsen_domain::AppName::parse("shop").unwrap(),
        process: sarsen_domain::ProcessType::parse("web").unwrap(),
        instance: 1,
        dyno: "web.1".into(),
    });
    ledger.saw(look, ours);
    ledger.failed(&id(), 20);
    assert!(lives(&ledger).is_empty(), "requests would be sent to it");
}

#[test]
fn the_services_of_one_that_failed_can_stay() {
    let mut ledger = Ledger::default();
    let look = ledger.begin();
    ledger.saw(look, sighting(10));
    ledger.failed(&id(), 20);
    let late = ledger.begin();
    ledger.is_gone(late, &id());
    let ended = HashSet::from([id()]);
    ledger.compare(
        late,
        Listing {
            ended,
            ..Listing::default()
        },
    );
    assert_eq!(lives(&ledger), [10]);
    ledger.compare(late, listing(vec![]));
    assert!(lives(&ledger).is_empty(), "it was removed");
}

#[test]
fn one_that_the_engine_is_stuck_with_is_left_alone() {
    let mut ledger = Ledger::default();
    let look = ledger.begin();
    ledger.saw(look, sighting(10));
    let late = ledger.begin();
    let unknown = HashSet::from([id()]);
    ledger.compare(
        late,
        Listing {
            unknown,
            ..Listing::default()
        },
    );
    assert_eq!(lives(&ledger), [10]);
}

#[test]
fn old_tombstones_are_forgotten() {
    let mut ledger = Ledger::default();
    ledger.died(&ContainerId::parse("def").unwrap(), 1);
    ledger.died(&id(), TOMBSTONE_LIFE + 2);
    assert_eq!(ledger.tombstones.len(), 1);
}

#[test]
#[expect(
    clippy::disallowed_types,
    reason = "a process is needed that ends, and nothing here is asynchronous"
)]
fn only_the_life_whose_process_is_over_ends() {
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let loopback = "127.0.0.1".parse().unwrap();
    let process = FirstProcess::behind(child.id(), loopback);
    assert!(process.is_some());
    let mut ledger = Ledger::default();
    let look = ledger.begin();
    let watched = Sighting {
        process,
        ..sighting(10)
    };
    ledger.saw(look, watched);
    ledger.bury_the_dead();
    assert!(ledger.is_alive(&id()));
    assert_eq!(ledger.watched().len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    ledger.bury_the_dead();
    assert!(!ledger.is_alive(&id()));
    let look = ledger.begin();
    assert!(
        !ledger.saw(look, sighting(10)),
        "the engine tells of it late"
    );
    assert!(ledger.saw(look, sighting(11)), "its next life counts");
    ledger.bury_the_dead();
    assert!(ledger.is_alive(&id()), "nobody can tell");
}
