//! What Registrator 7.4.0 put into a real Consul for 30 containers under 6 sets of flags, against what we do: the
//! same, but for the betterments listed here.

use super::*;
use serde::Deserialize;
use std::net::IpAddr;

const OBSERVED: &str = include_str!("../../../tests/registrator.json");

#[derive(Deserialize)]
struct Case {
    args: Vec<String>,
    networks: BTreeMap<String, String>,
    #[serde(flatten)]
    seen: BTreeMap<String, Vec<Seen>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Seen {
    id: String,
    name: String,
    address: String,
    port: u16,
    tags: Vec<String>,
    attributes: BTreeMap<String, String>,
}

/// Where we differ on purpose: the container, why, and what becomes of Registrator's answer.
type Betterment = (&'static str, &'static str, fn(&str, &mut Vec<Seen>));

const BETTERMENTS: &[Betterment] = &[
    (
        "SERVICE_IGNORE=false",
        "false means false",
        |flags, seen| {
            if flags != "explicit" {
                *seen = cases().remove("one published port").unwrap().seen[flags].clone();
            }
        },
    ),
    (
        "tags with escaped comma",
        "tags keep their order",
        |_, seen| {
            for service in seen {
                service.tags[..3].reverse();
            }
        },
    ),
    (
        "image label vs run env",
        "what is said of a container beats what came with its image",
        |_, seen| {
            for service in seen {
                service.name = service.name.replace("imglabel", "runenv");
            }
        },
    ),
    (
        "host network with EXPOSE",
        "no empty address",
        |flags, seen| {
            for service in seen.iter_mut().filter(|s| s.address.is_empty()) {
                let ip = if flags == "internal" {
                    "127.0.0.1"
                } else {
                    "127.0.0.9"
                };
                service.address = ip.into();
            }
        },
    ),
    (
        "none network with EXPOSE",
        "what has no network offers nothing",
        |_, seen| seen.clear(),
    ),
    (
        "user network with -p",
        "address and port from the same side",
        |flags, seen| {
            if flags == "default" {
                seen[0].address = "127.0.0.1".into();
            }
        },
    ),
    (
        "SERVICE_ID with two ports",
        "it is always the same one of two that share an id",
        |_, seen| {
            for service in seen {
                let second = service.port == 5000 || service.port == 5001;
                service.port = if second { 5001 } else { 28002 };
                service.name = "img0-5001".into();
            }
        },
    ),
];

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_str(OBSERVED).unwrap()
}

fn rules(flags: &str) -> Rules {
    let mut rules = Rules::new(Host::local("vm"));
    let ip: Option<IpAddr> = "127.0.0.9".parse().ok();
    match flags {
        "default" => {}
        "ip" => rules.ip = ip,
        "explicit" => (rules.ip, rules.whose) = (ip, Whose::Named),
        "tags" => {
            let template =
                r#"extra,{{.Config.Image | splitIndex -1 "/"}},{{toUpper .Config.Hostname}}"#;
            (rules.ip, rules.tags) = (ip, ExtraTags::parse(template).unwrap());
        }
        "internal" => rules.reach = Reach::Internal,
        "internal+ip" => (rules.ip, rules.reach) = (ip, Reach::Internal),
        other => panic!("{other}"),
    }
    rules
}

/// Environment, labels, and exposed ports with whether they are UDP.
type Made<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [(u16, bool)]);

fn image(name: &str) -> ImageInfo {
    let (env, labels, exposed): Made<'_> = match name.rsplit('/').next().unwrap() {
        "img1:v1" => (
            &[
                "SERVICE_NAME=imgenv",
                "SERVICE_TAGS=img",
                "SERVICE_REGION=img",
            ],
            &[],
            &[(5000, false)],
        ),
        "img2:v1" => (
            &[],
            &[("SERVICE_NAME", "imglabel"), ("SERVICE_8080_TAGS", "lab")],
            &[(8080, false), (8443, false), (53, true)],
        ),
        _ => (&[], &[], &[]),
    };
    ImageInfo {
        id: sarsen_domain::ImageRef::parse("sha256:00").unwrap(),
        tags: vec![name.into()],
        labels: labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        exposed: exposed.to_vec(),
        env: env.iter().map(|line| (*line).to_owned()).collect(),
        entrypoint: vec![],
        command: vec![],
        workdir: String::new(),
        user: String::new(),
        has_healthcheck: false,
        size: 0,
        created_at: String::new(),
    }
}

/// The container that `docker run ARGS` makes.
fn made(case: &Case) -> (ContainerInfo, ImageInfo) {
    let name = case.args.last().unwrap();
    let image = image(name);
    let mut info = container(&[], &[], &[]);
    info.name = "registry-c".into();
    info.image = name.clone();
    info.env.clone_from(&image.env);
    info.labels.clone_from(&image.labels);
    let mut ports: BTreeMap<(u16, bool), Option<(IpAddr, u16)>> =
        image.exposed.iter().map(|port| (*port, None)).collect();
    let mut words = case.args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-p" => {
                let [ip, host, port]: [&str; 3] = fields(words.next().unwrap());
                let udp = port.ends_with("/udp");
                let port = port.trim_end_matches("/udp").parse().unwrap();
                ports.insert(
                    (port, udp),
                    Some((ip.parse().unwrap(), host.parse().unwrap())),
                );
            }
            "--expose" => {
                ports.insert((words.next().unwrap().parse().unwrap(), false), None);
            }
            "-e" => {
                let line = words.next().unwrap();
                let key = line.split_once('=').unwrap().0.to_owned() + "=";
                info.env.retain(|old| !old.starts_with(&key));
                info.env.push(line.clone());
            }
            "-l" => {
                let (key, value) = words.next().unwrap().split_once('=').unwrap();
                info.labels.insert(key.into(), value.into());
            }
            _ => {}
        }
    }
    info.ports = ports
        .into_iter()
        .map(|((port, udp), published)| ContainerPort {
            port,
            udp,
            published,
        })
        .collect();
    let addresses = case.networks.iter();
    info.addresses = addresses
        .filter_map(|(network, ip)| Some((network.clone(), ip.parse().ok()?)))
        .collect();
    info.host_network = case.networks.contains_key("host");
    (info, image)
}

fn fields(text: &str) -> [&str; 3] {
    let fields: Vec<_> = text.split(':').collect();
    fields.try_into().unwrap()
}

fn ours(case: &Case, flags: &str) -> Vec<Seen> {
    let (info, image) = made(case);
    let rules = rules(flags);
    let hostname = if info.host_network { "vm" } else { "chost" };
    let described = serde_json::json!({
        "Config": {"Image": info.image, "Hostname": hostname},
    });
    let tags = rules.tags.of(&described).unwrap();
    let subject = Subject {
        info: &info,
        image: Some(&image),
        tags: &tags,
    };
    let offers = services_of(subject, &rules, "nobody");
    let seen = offers.into_iter().map(|offer| {
        let service = offer.service;
        let seen = Seen {
            id: service.id.clone(),
            name: service.name,
            address: service.address.ip().to_string(),
            port: service.address.port(),
            tags: service.tags,
            attributes: service.attributes,
        };
        (service.id, seen)
    });
    let by_id: BTreeMap<_, _> = seen.collect();
    by_id.into_values().collect()
}

#[test]
fn we_do_as_registrator_does() {
    let cases = cases();
    let (mut same, mut better) = (0, 0);
    for (name, case) in &cases {
        for (flags, observed) in &case.seen {
            let mut expected = observed.clone();
            expected.sort_by(|a, b| a.id.cmp(&b.id));
            let theirs = expected.clone();
            for (_, _, better) in BETTERMENTS.iter().filter(|(of, ..)| of == name) {
                better(flags, &mut expected);
            }
            assert_eq!(ours(case, flags), expected, "{name} under {flags}");
            *(if expected == theirs {
                &mut same
            } else {
                &mut better
            }) += 1;
        }
    }
    assert_eq!((same, better), (153, 27), "of 180 observations");
    for (name, reason, _) in BETTERMENTS {
        assert!(cases.contains_key(*name), "{name}: {reason}");
    }
}
