//! Who is woken by what.

use super::*;
use crate::check::{CheckSpec, CheckStatus, Probe};
use crate::externals::Registration;

fn instance(id: &str, name: &str, port: u16) -> Instance {
    let registration = Registration {
        id: id.into(),
        name: name.into(),
        address: "10.0.0.1".into(),
        port,
        tags: vec![format!("p{port}")],
        ..Registration::default()
    };
    registration.instance()
}

fn check(status: CheckStatus, output: &str) -> Check {
    Check {
        spec: CheckSpec::new("c", "c", Probe::Set),
        node: None,
        service: None,
        status,
        output: output.into(),
        create_index: 0,
        modify_index: 0,
    }
}

fn content(instances: Vec<Instance>) -> Content {
    let instances = instances.into_iter().map(|i| (i.place(), i)).collect();
    Content {
        instances,
        ..Content::default()
    }
}

#[test]
fn each_service_has_an_index_of_its_own() {
    let start = Catalog::starting_at(100);
    let both = || vec![instance("a", "web", 1), instance("b", "db", 2)];
    let (one, changed) = start.followed_by(content(both()));
    assert!(changed);
    assert_eq!((one.index(), one.service_index("web")), (101, 101));
    let (same, changed) = one.followed_by(content(both()));
    assert!(!changed);
    assert_eq!(same, one);
    let (two, _) = one.followed_by(content(vec![
        instance("a", "web", 9),
        instance("b", "db", 2),
    ]));
    assert_eq!(
        (two.service_index("web"), two.service_index("db")),
        (102, 101)
    );
    let web = two.instance(&Place::here("a")).unwrap();
    assert_eq!((web.create_index, web.modify_index), (101, 102));
    let (three, _) = two.followed_by(content(vec![instance("a", "web", 9)]));
    assert_eq!(three.service_index("db"), 103, "its end is news");
    assert_eq!(three.service_index("never"), 103);
    assert_eq!(three.service_index("web"), 102);
    let (four, _) = three.followed_by(content(vec![instance("a", "shop", 9)]));
    assert_eq!(four.service_index("shop"), 104);
    assert_eq!(four.service_index("web"), 104);
}

#[test]
fn the_words_of_a_check_wake_nobody() {
    let with = |status, output| {
        let mut one = instance("a", "web", 1);
        one.checks.push(check(status, output));
        content(vec![one])
    };
    let start = Catalog::starting_at(0);
    let (one, _) = start.followed_by(with(CheckStatus::Passing, "4 ms"));
    let (two, changed) = one.followed_by(with(CheckStatus::Passing, "5 ms"));
    assert!(!changed);
    assert_eq!(two.index(), one.index());
    let web = two.instance(&Place::here("a")).unwrap();
    assert_eq!(web.checks[0].output, "5 ms");
    let (three, changed) = two.followed_by(with(CheckStatus::Critical, "5 ms"));
    assert!(changed);
    let web = three.instance(&Place::here("a")).unwrap();
    assert_eq!(
        (web.checks[0].create_index, web.checks[0].modify_index),
        (1, 2)
    );
    assert!(!web.is_available());
}

#[test]
fn queries_find_by_name_and_tag() {
    let all = vec![
        instance("a", "web", 1),
        instance("b", "web", 2),
        instance("c", "db", 2),
    ];
    let (catalog, _) = Catalog::starting_at(0).followed_by(content(all));
    assert_eq!(catalog.named("web").count(), 2);
    assert_eq!(catalog.tagged("web", "p2").count(), 1);
    let names = catalog.names();
    assert_eq!(
        names["web"].iter().copied().collect::<Vec<_>>(),
        ["p1", "p2"]
    );
    assert_eq!(catalog.index_of(&Scope::Nodes), 1);
    assert!(catalog.nodes().is_empty());
}

#[test]
fn nodes_and_their_checks_have_indexes() {
    let node = Node {
        name: "far".into(),
        address: "10.9.9.9".into(),
        ..Node::default()
    };
    let with = |status| Content {
        nodes: BTreeMap::from([("far".to_owned(), node.clone())]),
        node_checks: BTreeMap::from([(Place::here("c"), check(status, ""))]),
        ..Content::default()
    };
    let start = Catalog::starting_at(0);
    let (one, _) = start.followed_by(with(CheckStatus::Passing));
    assert_eq!(one.index_of(&Scope::Nodes), 1);
    assert_eq!(one.nodes()["far"].create_index, 1);
    let (two, _) = one.followed_by(with(CheckStatus::Critical));
    assert_eq!(two.index_of(&Scope::Nodes), 2);
    assert_eq!(two.nodes()["far"].modify_index, 1);
    assert_eq!(two.node_checks(None).next().unwrap().modify_index, 2);
    let (_, changed) = two.followed_by(with(CheckStatus::Critical));
    assert!(!changed);
}
