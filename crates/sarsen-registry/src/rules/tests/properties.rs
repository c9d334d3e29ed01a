//! What holds for every container.

use super::*;
use proptest::prelude::*;

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("SERVICE_NAME".to_owned()),
        Just("SERVICE_80_NAME".to_owned()),
        Just("SERVICE_TAGS".to_owned()),
        Just("SERVICE_IGNORE".to_owned()),
        Just("SERVICE_81_IGNORE".to_owned()),
        Just("SERVICE_CHECK_HTTP".to_owned()),
        Just("SERVICE_CHECK_INTERVAL".to_owned()),
        "SERVICE_[0-9a-zA-Z_.é]{0,12}",
        "[A-Z_]{0,8}",
    ]
}

fn any_container() -> impl Strategy<Value = ContainerInfo> {
    let ports = prop::collection::btree_map(79_u16..84, prop::option::of(1_u16..), 0..5);
    let env = prop::collection::vec((any_key(), "[ -~é]{0,12}"), 0..6);
    let labels = prop::collection::btree_map(any_key(), "[ -~é]{0,12}", 0..4);
    (ports, env, labels, any::<bool>()).prop_map(|(ports, env, labels, host_network)| {
        let ports: Vec<_> = ports.into_iter().collect();
        let mut info = container(&[], &[], &ports);
        info.env = env.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        info.labels = labels;
        info.host_network = host_network;
        info
    })
}

proptest! {
    #[test]
    fn every_service_can_be_found_and_named(info in any_container()) {
        let services = services(&info);
        prop_assert!(services.len() <= info.ports.len());
        for service in &services {
            prop_assert!(!service.name.is_empty());
            prop_assert!(service.address.port() != 0);
            prop_assert!(!service.address.ip().is_unspecified());
            for key in service.attributes.keys() {
                let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                prop_assert!(key.chars().all(is_legal), "{key}");
            }
            for tag in &service.tags {
                prop_assert!(!tag.is_empty());
            }
        }
    }

    #[test]
    fn ids_are_told_apart_unless_they_are_given(info in any_container()) {
        let services = services(&info);
        let is_given = |line: &String| line.contains("_ID=") ;
        prop_assume!(!info.env.iter().any(is_given) && !info.labels.keys().any(|k| k.ends_with("_ID")));
        let ids: std::collections::BTreeSet<_> = services.iter().map(|s| &s.id).collect();
        prop_assert_eq!(ids.len(), services.len());
        for service in &services {
            prop_assert!(service.id.starts_with("box:shop.web.1:"), "{}", service.id);
        }
    }

    #[test]
    fn the_order_of_the_environment_does_not_matter_across_keys(info in any_container()) {
        let mut other = info.clone();
        // A stable sort keeps the order of lines with one key.
        other.env.sort_by_key(|line| line.split_once('=').map(|(k, _)| k.to_lowercase()));
        other.env.dedup();
        let mut distinct = other.env.clone();
        distinct.dedup_by_key(|line| line.split_once('=').map(|(k, _)| k.to_lowercase()));
        prop_assume!(distinct.len() == info.env.len());
        prop_assert_eq!(services(&info), services(&other));
    }

    #[test]
    fn a_group_has_suffixes_and_a_single_port_has_none(port in 1_u16.., second in 1_u16..) {
        prop_assume!(port != second);
        let one = services(&container(&[], &["SERVICE_NAME=n"], &[(port, Some(1))]));
        prop_assert_eq!(&one[0].name, "n");
        let two = container(&[], &["SERVICE_NAME=n"], &[(port, Some(1)), (second, Some(2))]);
        let names: Vec<_> = services(&two).into_iter().map(|s| s.name).collect();
        prop_assert_eq!(names, [format!("n-{port}"), format!("n-{second}")]);
    }

    #[test]
    fn comma_lists_can_hold_anything(parts in prop::collection::vec("[a-z,]{1,6}", 0..6)) {
        let text: Vec<_> = parts.iter().map(|part| part.replace(',', r"\,")).collect();
        prop_assert_eq!(comma_list(&text.join(",")), parts);
    }

    #[test]
    fn no_text_upsets_the_reading_of_times(text in "[0-9.a-zµ+-]{0,12}") {
        duration(&text);
    }
}
