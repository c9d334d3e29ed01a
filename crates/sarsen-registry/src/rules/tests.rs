//! One table per rule.

use super::*;
use sarsen_domain::ContainerId;
use std::collections::BTreeMap;

mod golden;
mod properties;

const OURS: &[(&str, &str)] = &[
    (label::OWNER, "me"),
    (label::APP, "shop"),
    (label::CONTAINER_TYPE, "deploy"),
    (label::PROCESS, "web"),
    (label::DYNO, "web.1"),
    (label::INSTANCE, "7"),
];

fn container(labels: &[(&str, &str)], env: &[&str], ports: &[(u16, Option<u16>)]) -> ContainerInfo {
    ContainerInfo {
        id: ContainerId::parse("abc").unwrap(),
        name: "shop.web.1".into(),
        image: "localhost:5000/team/img0:v1".into(),
        image_id: "sha256:00".into(),
        command: Vec::new(),
        status: ContainerStatus::Running,
        health: ImageHealth::None,
        health_output: None,
        pid: 1,
        exit_code: None,
        oom_killed: false,
        error: None,
        restart_count: 0,
        env: env.iter().map(|e| (*e).to_owned()).collect(),
        labels: labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        addresses: BTreeMap::from([("bridge".to_owned(), "172.17.0.9".parse().unwrap())]),
        ports: ports
            .iter()
            .map(|(port, published)| ContainerPort {
                port: *port,
                udp: false,
                published: published.map(|number| (Ipv4Addr::UNSPECIFIED.into(), number)),
            })
            .collect(),
        host_network: false,
        network_of: None,
        tty: false,
        created_at: "2026-01-01T00:00:00Z".into(),
        started_at: Some("2026-01-01T00:00:01Z".into()),
    }
}

fn offers(info: &ContainerInfo, rules: &Rules) -> Vec<Offer> {
    let subject = Subject {
        info,
        image: None,
        tags: &[],
    };
    services_of(subject, rules, "me")
}

fn services(info: &ContainerInfo) -> Vec<Service> {
    let offers = offers(info, &Rules::new(Host::local("box")));
    offers.into_iter().map(|offer| offer.service).collect()
}

/// `name address tags` of each.
fn shown(info: &ContainerInfo) -> Vec<String> {
    services(info)
        .iter()
        .map(|s| format!("{} {} {}", s.name, s.address, s.tags.join("/")))
        .collect()
}

#[test]
fn ours_are_found_inside_and_have_an_owner() {
    let found = services(&container(OURS, &["SERVICE_NAME=shop"], &[(5000, None)]));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, "box:shop.web.1:5000");
    assert_eq!(found[0].name, "shop");
    assert_eq!(found[0].address, "172.17.0.9:5000".parse().unwrap());
    let owner = found[0].owner.as_ref().unwrap();
    assert_eq!((owner.app.as_str(), owner.instance), ("shop", 7));
    assert_eq!((owner.process.as_str(), &*owner.dyno), ("web", "web.1"));
}

#[test]
fn foreign_ones_are_found_where_they_are_published() {
    for labels in [&[][..], &[(label::OWNER, "someone-else")]] {
        let info = container(labels, &[], &[(80, Some(8080)), (81, None)]);
        assert_eq!(shown(&info), ["img0 127.0.0.1:8080 "]);
        assert_eq!(services(&info)[0].id, "box:shop.web.1:80");
        assert_eq!(services(&info)[0].owner, None);
    }
}

#[test]
fn a_binding_to_one_address_keeps_it() {
    let mut info = container(&[], &[], &[(80, Some(8080))]);
    info.ports[0].published = Some(("10.1.2.3".parse().unwrap(), 8080));
    assert_eq!(shown(&info), ["img0 10.1.2.3:8080 "]);
}

#[test]
fn host_network_counts_as_published() {
    let mut info = container(&[], &[], &[(80, None)]);
    info.host_network = true;
    info.addresses.clear();
    assert_eq!(shown(&info), ["img0 127.0.0.1:80 "]);
}

#[test]
fn nothing_without_a_network_or_for_short_lived_ones() {
    let mut info = container(OURS, &[], &[(80, None)]);
    info.addresses.clear();
    assert!(services(&info).is_empty());
    for kind in ["run", "cron", "build"] {
        let labels = [(label::OWNER, "me"), (label::CONTAINER_TYPE, kind)];
        assert!(services(&container(&labels, &[], &[(80, Some(1))])).is_empty());
    }
}

#[test]
fn names_of_one_port_and_of_a_group() {
    let two = &[(80, Some(8080)), (81, Some(8081))];
    for (env, expected) in [
        (vec![], ["img0-80", "img0-81"]),
        (vec!["SERVICE_NAME=x"], ["x-80", "x-81"]),
        (vec!["SERVICE_NAME=x", "SERVICE_81_NAME=y"], ["x-80", "y"]),
    ] {
        let found = services(&container(&[], &env, two));
        let names: Vec<_> = found.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, expected, "{env:?}");
    }
}

#[test]
fn the_nearer_value_wins() {
    let port = &[(80, Some(8080))];
    for (labels, env, name) in [
        (
            &[("SERVICE_NAME", "label")][..],
            &["SERVICE_NAME=env"][..],
            "label",
        ),
        (
            &[("SERVICE_NAME", "label")],
            &["SERVICE_80_NAME=env"],
            "env",
        ),
        (
            &[("SERVICE_80_NAME", "label")],
            &["SERVICE_80_NAME=env"],
            "label",
        ),
        (&[], &["service_name=x", "SERVICE_NAME=y"], "y"),
    ] {
        let found = services(&container(labels, env, port));
        assert_eq!(found[0].name, name, "{labels:?} {env:?}");
    }
    let labels: Vec<_> = OURS
        .iter()
        .copied()
        .chain([("SERVICE_NAME", "base-image")])
        .collect();
    let ours = container(&labels, &["SERVICE_NAME=shop"], port);
    assert_eq!(
        services(&ours)[0].name,
        "shop",
        "an image cannot rename our app"
    );
}

#[test]
fn tags_and_attributes() {
    let env = [
        r"SERVICE_TAGS=a,b\,c,,d",
        "SERVICE_REGION=eu",
        "SERVICE_80_REGION=us",
        "SERVICE_CHECK_HTTP=/up",
    ];
    let found = services(&container(&[], &env, &[(80, Some(1)), (81, Some(2))]));
    assert_eq!(found[0].tags, ["a", "b,c", "d"]);
    assert_eq!(found[0].attributes["region"], "us");
    assert_eq!(found[1].attributes["region"], "eu");
    assert_eq!(found[0].attributes["check_http"], "/up");
    assert!(!found[0].attributes.contains_key("tags"));
    let replaced = container(
        &[],
        &["SERVICE_TAGS=a", "SERVICE_80_TAGS=b"],
        &[(80, Some(1))],
    );
    assert_eq!(services(&replaced)[0].tags, ["b"]);
}

#[test]
fn ignored_means_not_offered() {
    for (value, count) in [("1", 0), ("yes", 0), ("false", 1), ("", 1), ("0", 1)] {
        let env = format!("SERVICE_IGNORE={value}");
        let found = services(&container(&[], &[&env], &[(80, Some(1))]));
        assert_eq!(found.len(), count, "{value:?}");
    }
    let one = container(
        &[],
        &["SERVICE_80_IGNORE=1"],
        &[(80, Some(1)), (81, Some(2))],
    );
    assert_eq!(shown(&one), ["img0-81 127.0.0.1:2 "]);
    let ours = services(&container(OURS, &["SERVICE_IGNORE=1"], &[(80, None)]));
    assert_eq!(
        ours[0].attributes["ignore"], "1",
        "the router still needs it"
    );
}

#[test]
fn udp_is_told_apart() {
    let mut info = container(&[], &[], &[(53, Some(53)), (53, Some(53))]);
    info.ports[1].udp = true;
    let found = services(&info);
    assert_eq!(found[1].id, "box:shop.web.1:53:udp");
    assert_eq!(found[1].tags, ["udp"]);
}

#[test]
fn health_follows_the_container() {
    for (status, image, health) in [
        (ContainerStatus::Running, ImageHealth::None, Health::Passing),
        (
            ContainerStatus::Running,
            ImageHealth::Healthy,
            Health::Passing,
        ),
        (
            ContainerStatus::Running,
            ImageHealth::Starting,
            Health::Starting,
        ),
        (
            ContainerStatus::Running,
            ImageHealth::Unhealthy,
            Health::Critical,
        ),
        (
            ContainerStatus::Paused,
            ImageHealth::Healthy,
            Health::Critical,
        ),
    ] {
        let mut info = container(OURS, &[], &[(80, None)]);
        (info.status, info.health) = (status, image);
        assert_eq!(services(&info)[0].health, health, "{status:?} {image:?}");
    }
}

#[test]
fn images_give_names() {
    for (image, name) in [
        ("nginx", "nginx"),
        ("nginx:1", "nginx"),
        ("team/x@sha256:00", "x"),
        ("sha256:00ff", "sha256"),
    ] {
        assert_eq!(image_name(image), name);
    }
}

#[test]
fn an_empty_value_counts_as_none_and_hides_the_one_for_all() {
    let env = ["SERVICE_NAME=all", "SERVICE_80_NAME="];
    let found = services(&container(&[], &env, &[(80, Some(1))]));
    assert_eq!(found[0].name, "img0");
    let other_port = [
        "SERVICE_NAME=all",
        "SERVICE_080_NAME=no",
        "SERVICE_99999_REGION=no",
    ];
    let found = services(&container(&[], &other_port, &[(80, Some(1))]));
    assert_eq!(found[0].name, "all");
    assert!(found[0].attributes.is_empty());
}

#[test]
fn what_is_said_of_the_container_beats_what_came_with_its_image() {
    let env = ["SERVICE_NAME=run", "SERVICE_TAGS=image"];
    let labels = [("SERVICE_NAME", "image"), ("SERVICE_TAGS", "label")];
    let info = container(&labels, &env, &[(80, Some(1))]);
    let image = ImageInfo {
        id: sarsen_domain::ImageRef::parse("sha256:00").unwrap(),
        tags: vec![],
        labels: info.labels.clone(),
        exposed: vec![],
        env: vec!["SERVICE_TAGS=image".into()],
        entrypoint: vec![],
        command: vec![],
        workdir: String::new(),
        user: String::new(),
        has_healthcheck: false,
        size: 0,
        created_at: String::new(),
    };
    let subject = Subject {
        info: &info,
        image: Some(&image),
        tags: &[],
    };
    let found = services_of(subject, &Rules::new(Host::local("box")), "me");
    assert_eq!(found[0].service.name, "run");
    assert_eq!(found[0].service.tags, ["label"], "both came with the image");
}

#[test]
fn a_label_can_give_the_address() {
    let mut rules = Rules::new(Host::local("box"));
    rules.address_label = Some("ip".into());
    for (value, address) in [
        ("10.9.8.7", "10.9.8.7:8080"),
        ("10.9.8.7/24", "10.9.8.7:8080"),
        ("nonsense", "127.0.0.1:8080"),
    ] {
        let info = container(&[("ip", value)], &[], &[(80, Some(8080))]);
        let found = offers(&info, &rules);
        assert_eq!(found[0].service.address.to_string(), address, "{value}");
    }
}

#[test]
fn a_borrowed_network_counts_whatever_is_asked_for() {
    let mut info = container(&[], &[], &[(80, None)]);
    info.network_of = Some("def".into());
    let mut rules = Rules::new(Host::local("box"));
    rules.ip = Some("10.0.0.1".parse().unwrap());
    let found = offers(&info, &rules);
    assert_eq!(found[0].service.address.to_string(), "172.17.0.9:80");
}
