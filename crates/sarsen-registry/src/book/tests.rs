//! From what is known to what is shown.

use super::*;
use crate::ledger::Sighting;
use sarsen_domain::ContainerId;
use std::time::Duration;

fn offer(check: Option<CheckSpec>) -> Offer {
    Offer {
        service: Service {
            id: "h:c:80".into(),
            name: "c".into(),
            address: "127.0.0.1:8080".parse().unwrap(),
            tags: vec![],
            attributes: BTreeMap::new(),
            health: Health::Passing,
            container: ContainerId::parse("abc").unwrap(),
            owner: None,
        },
        check,
    }
}

fn see(book: &mut Book, started: i64, check: Option<CheckSpec>) {
    let look = book.ledger.begin();
    let sighting = Sighting {
        id: ContainerId::parse("abc").unwrap(),
        started,
        offers: vec![offer(check)],
        process: None,
        conditions: vec![],
    };
    book.ledger.saw(look, sighting);
}

fn tcp() -> CheckSpec {
    CheckSpec::new("service:h:c:80", "c", Probe::Tcp("127.0.0.1:8080".into()))
}

fn status(book: &mut Book) -> CheckStatus {
    let content = book.content();
    content.instances[&Place::here("h:c:80")].status()
}

#[test]
fn a_check_decides_and_begins_anew_with_each_life() {
    let mut book = Book::default();
    see(&mut book, 10, None);
    assert_eq!(status(&mut book), CheckStatus::Passing);
    see(&mut book, 10, Some(tcp()));
    assert_eq!(status(&mut book), CheckStatus::Critical);
    let content = book.content();
    assert_eq!(content.services["h:c:80"].health, Health::Critical);
    let place = Place::here("service:h:c:80");
    assert!(
        book.state_mut(&place)
            .unwrap()
            .observe(CheckStatus::Passing, "ok")
    );
    assert!(
        !book
            .state_mut(&place)
            .unwrap()
            .observe(CheckStatus::Passing, "ok")
    );
    assert_eq!(status(&mut book), CheckStatus::Passing);
    see(&mut book, 20, Some(tcp()));
    assert_eq!(status(&mut book), CheckStatus::Critical, "another life");
}

#[test]
fn it_takes_as_many_results_in_a_row_as_asked_for() {
    let mut spec = tcp();
    (spec.passes_needed, spec.failures_needed) = (2, 3);
    let mut state = CheckState::new(&spec, 0);
    let mut observe = |status| {
        state.observe(status, "");
        state.status
    };
    use CheckStatus::{Critical, Passing, Warning};
    for (result, shown) in [
        (Passing, Critical),
        (Critical, Critical),
        (Passing, Critical),
        (Warning, Warning),
        (Passing, Passing),
        (Critical, Passing),
        (Critical, Passing),
        (Passing, Passing),
        (Critical, Passing),
        (Critical, Passing),
        (Critical, Critical),
    ] {
        assert_eq!(observe(result), shown);
    }
}

#[test]
fn one_that_is_to_stop_gets_no_traffic_and_is_there_still() {
    let mut book = Book::default();
    see(&mut book, 10, None);
    book.ledger.stops(&ContainerId::parse("abc").unwrap(), 15);
    let content = book.content();
    let instance = &content.instances[&Place::here("h:c:80")];
    assert!(!instance.is_available());
    assert_eq!(instance.checks[0].spec.id, "_draining:h:c:80");
    assert_eq!(content.services["h:c:80"].health, Health::Critical);
}

#[test]
fn checks_of_others_count_and_containers_win_over_registrations() {
    let mut book = Book::default();
    see(&mut book, 10, None);
    let set = CheckRegistration {
        node: None,
        service: Some("h:c:80".into()),
        spec: CheckSpec::new("maintenance", "Maintenance", Probe::Set),
        registrant: "http".into(),
    };
    book.externals.enter(Entry::Check(set));
    assert_eq!(status(&mut book), CheckStatus::Critical);
    let mut same = crate::Registration {
        id: "h:c:80".into(),
        name: "impostor".into(),
        ..crate::Registration::default()
    };
    book.externals.enter(Entry::Service(same.clone()));
    assert_eq!(book.content().instances[&Place::here("h:c:80")].name, "c");
    same.node = Some("far".into());
    book.externals.enter(Entry::Service(same));
    assert_eq!(book.content().instances.len(), 2, "ids count per node");
    book.ledger.died(&ContainerId::parse("abc").unwrap(), 20);
    let content = book.content();
    let shadowed = &content.instances[&Place::here("h:c:80")];
    assert_eq!(shadowed.name, "impostor");
}

#[test]
fn what_was_kept_says_what_it_said() {
    let mut book = Book::default();
    let check = CheckRegistration {
        node: None,
        service: None,
        spec: CheckSpec::new("disk", "Disk", Probe::Ttl(Duration::from_secs(9))),
        registrant: "http".into(),
    };
    book.restore(check, CheckStatus::Warning, "nearly full");
    let content = book.content();
    let check = &content.node_checks[&Place::here("disk")];
    assert_eq!(
        (check.status, check.output.as_str()),
        (CheckStatus::Warning, "nearly full")
    );
    let state = book.state_mut(&Place::here("disk")).unwrap();
    state.expire();
    assert_eq!(state.status, CheckStatus::Critical);
}
