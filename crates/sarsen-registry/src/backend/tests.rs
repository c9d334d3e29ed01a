//! What the tests of several parts need.

use std::collections::BTreeMap;

use sarsen_domain::ContainerId;

use crate::{Instance, Source, Weights};

use super::Mark;

/// An instance of a container that listens on 10.0.0.9.
pub(super) fn instance(id: &str, name: &str, port: u16) -> Instance {
    Instance {
        node: None,
        id: id.to_owned(),
        name: name.to_owned(),
        address: "10.0.0.9".to_owned(),
        port,
        tags: Vec::new(),
        attributes: BTreeMap::new(),
        weights: Weights::default(),
        tagged_addresses: BTreeMap::new(),
        tags_are_open: false,
        mesh: crate::catalog::Mesh::default(),
        source: Source::Container {
            id: ContainerId::parse("abcdefabcdef0123456789").unwrap(),
            started: 1,
            owner: None,
        },
        checks: Vec::new(),
        create_index: 0,
        modify_index: 0,
    }
}

#[test]
fn only_ids_of_a_registrator_of_this_host_are_adopted() {
    let mark = Mark {
        owner: "me".to_owned(),
        adopt: Some("vm".to_owned()),
    };
    for (id, is_adopted) in [
        ("vm:web.1:5000", true),
        ("vm:web.1:5000:udp", true),
        ("vm2:web.1:5000", false),
        ("vm:web:port", false),
        ("vm:w:80", false),
        ("vm:-web:80", false),
        ("vm:a b:80", false),
        ("my-service", false),
    ] {
        assert_eq!(mark.adopts(id), is_adopted, "{id}");
    }
    assert!((1..1 << 31).contains(&mark.number()));
}
