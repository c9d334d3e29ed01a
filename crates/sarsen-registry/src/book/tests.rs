//! From what is known to what is shown.

use super::*;
use crate::catalog::Node;
use crate::externals::Key;
use crate::ledger::Sighting;
use proptest::prelude::*;
use sarsen_domain::ContainerId;
use std::time::Duration;

fn offer(container: &ContainerId, check: Option<CheckSpec>) -> Offer {
    Offer {
        service: Service {
            id: "h:c:80".into(),
            name: "c".into(),
            address: "127.0.0.1:8080".parse().unwrap(),
            tags: vec![],
            attributes: BTreeMap::new(),
            health: Health::Passing,
            container: container.clone(),
            owner: None,
        },
        check,
    }
}

fn see(book: &mut Book, started: i64, check: Option<CheckSpec>) {
    see_one(book, "abc", started, check);
}

/// Any container: all claim the same service id.
fn see_one(book: &mut Book, container: &str, started: i64, check: Option<CheckSpec>) {
    let look = book.ledger.begin();
    let id = ContainerId::parse(container).unwrap();
    let sighting = Sighting {
        offers: vec![offer(&id, check)],
        id,
        started,
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
fn the_youngest_that_claims_an_id_has_it_and_its_check_goes_on() {
    let mut book = Book::default();
    see_one(&mut book, "abc", 10, Some(tcp()));
    see_one(&mut book, "def", 20, Some(tcp()));
    assert_eq!(
        status(&mut book),
        CheckStatus::Critical,
        "nobody looked yet"
    );
    let place = Place::here("service:h:c:80");
    let state = book.state_mut(&place).unwrap();
    assert_eq!(state.generation, 20);
    state.observe(CheckStatus::Passing, "ok");
    let catalog = Catalog::starting_at(1).followed_by(book.content()).0;
    let instance = catalog.instance(&Place::here("h:c:80")).unwrap();
    let Source::Container { id, .. } = &instance.source else {
        panic!("{instance:?}");
    };
    assert_eq!(id.as_str(), "def");
    assert_eq!(instance.status(), CheckStatus::Passing);
    // Neither when all is made anew nor when one spot is.
    let spot = BTreeSet::from([Spot::Instance(Place::here("h:c:80"))]);
    let patched = catalog.patched(book.patch(&spot, &catalog));
    assert_eq!(patched, catalog);
    let (_, changed) = catalog.followed_by(book.content());
    assert!(!changed);
    // The other one has it when the winner is gone, and a check of its own.
    book.ledger.died(&ContainerId::parse("def").unwrap(), 30);
    assert_eq!(status(&mut book), CheckStatus::Critical);
    assert_eq!(book.state_mut(&place).unwrap().generation, 10);
}

#[test]
fn of_two_that_began_at_once_always_the_same_one_wins() {
    let mut winners = BTreeSet::new();
    for (first, second) in [("a", "b"), ("b", "a")].repeat(8) {
        let mut book = Book::default();
        see_one(&mut book, first, 10, None);
        see_one(&mut book, second, 10, None);
        let (_, offer) = book.ledger.offer_of("h:c:80").unwrap();
        winners.insert(offer.service.container.to_string());
        winners.insert(book.content().services["h:c:80"].container.to_string());
    }
    assert_eq!(winners, BTreeSet::from(["b".to_owned()]));
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

/// Something that others do, with small numbers for all names.
#[derive(Debug, Clone)]
enum Deed {
    Service(u8, u16),
    Check(u8, Option<u8>, u64),
    Node(u8, u8),
    Forget(Key),
    Report(u8, CheckStatus),
    Container(&'static str, i64),
    Death(&'static str, i64),
}

/// One of the containers' services, and others.
fn place(number: u8) -> Place {
    match number {
        0 => Place::here("h:c:80"),
        1 => Place {
            node: Some("n0".into()),
            id: "s".into(),
        },
        other => Place::here(format!("s{other}")),
    }
}

/// One of two that claim the same service.
fn containers() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["abc", "def"])
}

fn check_place(number: u8, service: Option<u8>) -> Place {
    Place {
        node: service.and_then(|service| place(service).node),
        id: format!("c{number}"),
    }
}

fn deeds() -> impl Strategy<Value = Deed> {
    let status = prop::sample::select(vec![
        CheckStatus::Passing,
        CheckStatus::Warning,
        CheckStatus::Critical,
    ]);
    let forget = prop_oneof![
        (0..4u8).prop_map(|n| Key::of_service(&place(n))),
        (0..3u8, any::<bool>())
            .prop_map(|(n, far)| Key::of_check(&check_place(n, far.then_some(1)))),
        (0..2u8).prop_map(|n| Key::of_node(&format!("n{n}"))),
    ];
    prop_oneof![
        (0..4u8, 1..3u16).prop_map(|(n, port)| Deed::Service(n, port)),
        (0..3u8, prop::option::of(0..4u8), 1..3u64).prop_map(|(n, s, t)| Deed::Check(n, s, t)),
        (0..2u8, 0..2u8).prop_map(|(n, address)| Deed::Node(n, address)),
        forget.prop_map(Deed::Forget),
        (0..3u8, status).prop_map(|(n, status)| Deed::Report(n, status)),
        (containers(), 0..5i64).prop_map(|(id, at)| Deed::Container(id, at)),
        (containers(), 0..5i64).prop_map(|(id, at)| Deed::Death(id, at)),
    ]
}

/// What a deed enters, if that is what it does.
fn entry(deed: &Deed) -> Option<Entry> {
    Some(match *deed {
        Deed::Service(number, port) => {
            let Place { node, id } = place(number);
            Entry::Service(crate::Registration {
                node,
                id,
                name: format!("name{port}"),
                port,
                ..crate::Registration::default()
            })
        }
        Deed::Check(number, service, ttl) => Entry::Check(CheckRegistration {
            node: check_place(number, service).node,
            service: service.map(|service| place(service).id),
            spec: CheckSpec::new(
                format!("c{number}"),
                "check",
                Probe::Ttl(Duration::from_secs(ttl)),
            ),
            registrant: "test".into(),
        }),
        Deed::Node(number, address) => Entry::Node(Node {
            name: format!("n{number}"),
            address: format!("10.0.0.{address}"),
            ..Node::default()
        }),
        Deed::Forget(_) | Deed::Report(..) | Deed::Container(..) | Deed::Death(..) => return None,
    })
}

/// Does it as the registry does, and gives the catalog that follows.
fn done(book: &mut Book, catalog: &Catalog, deed: &Deed) -> Catalog {
    let mut spots = BTreeSet::new();
    if let Some(entry) = entry(deed) {
        let key = entry.key();
        spots.extend(book.externals.spot_of(&key));
        book.externals.enter(entry);
        spots.extend(book.externals.spot_of(&key));
    }
    match deed {
        Deed::Container(id, started) => {
            see_one(book, id, *started, Some(tcp()));
            return catalog.followed_by(book.content()).0;
        }
        Deed::Death(id, at) => {
            book.ledger.died(&ContainerId::parse(id).unwrap(), *at);
            return catalog.followed_by(book.content()).0;
        }
        Deed::Forget(key) => {
            spots.extend(book.externals.spot_of(key));
            book.externals.remove(key);
        }
        Deed::Report(number, status) => {
            let place = Place::here(format!("c{number}"));
            if let Some(check) = catalog.check(&place) {
                let spot = Spot::of_check(place.clone(), check.service.as_deref());
                book.state_mut(&place).unwrap().set(*status, "said");
                spots.insert(spot);
            }
        }
        Deed::Service(..) | Deed::Check(..) | Deed::Node(..) => {}
    }
    catalog.patched(book.patch(&spots, catalog))
}

proptest! {
    #[test]
    fn what_is_patched_is_what_would_be_made_anew(deeds in prop::collection::vec(deeds(), 1..40)) {
        let mut book = Book::default();
        let mut catalog = Catalog::starting_at(100);
        for deed in &deeds {
            let before = catalog;
            catalog = done(&mut book, &before, deed);
            let (whole, changed) = catalog.followed_by(book.content());
            prop_assert!(!changed, "after {:?}: {:#?} instead of {:#?}", deed, catalog, whole);
            prop_assert_eq!(&whole, &catalog);
            let grown = catalog.index() - before.index();
            prop_assert_eq!(grown, catalog.version() - before.version());
            prop_assert!(grown < 2);
            for instance in catalog.instances() {
                prop_assert!(catalog.service_index(&instance.name) >= instance.modify_index);
            }
        }
    }
}
