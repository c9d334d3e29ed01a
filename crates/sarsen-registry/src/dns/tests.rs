//! Questions and answers over real sockets; the catalog is filled by hand.

mod relay;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use sarsen_runtime::fake::FakeRuntime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    CheckRegistration, CheckSpec, CheckStatus, Host, Node, OtherChecks, Place, Probe, Registration,
    RegistrySettings,
};

struct World {
    registry: Registry,
    address: SocketAddr,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    async fn new() -> Self {
        Self::with(Upstreams::These(Vec::new())).await
    }

    async fn with(upstreams: Upstreams) -> Self {
        let listener = DnsListener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        Self::at(listener, upstreams)
    }

    /// A catalog of its own at sockets that may have been open before.
    fn at(listener: DnsListener, upstreams: Upstreams) -> Self {
        let settings = RegistrySettings::new("me", Host::local("box"));
        let registry = Registry::new(Arc::new(FakeRuntime::new()), settings);
        let settings = DnsSettings {
            domain: "Sarsen.".to_owned(),
            node: "Box".to_owned(),
            datacenter: "dc1".to_owned(),
            ttl: Duration::from_secs(7),
            upstreams,
        };
        let dns = Dns::new(registry.clone(), settings).unwrap();
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let address = listener.address();
        let serving = shutdown.clone();
        tasks.spawn(async move { dns.serve(listener, serving).await });
        Self {
            registry,
            address,
            shutdown,
            tasks,
        }
    }

    async fn add(&self, id: &str, name: &str, address: &str, tags: &[&str]) {
        let service = Registration {
            id: id.to_owned(),
            name: name.to_owned(),
            address: address.to_owned(),
            port: 5000,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            registrant: "test".to_owned(),
            ..Registration::default()
        };
        let spec = CheckSpec {
            initial: CheckStatus::Passing,
            ..CheckSpec::new(format!("service:{id}"), "c", Probe::Set)
        };
        let check = CheckRegistration {
            node: None,
            service: Some(id.to_owned()),
            spec,
            registrant: "test".to_owned(),
        };
        let added = self
            .registry
            .register_external(service, vec![check], OtherChecks::Drop);
        added.await.unwrap();
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Message {
        self.send(&question(name, kind)).await
    }

    async fn send(&self, question: &Message) -> Message {
        let bytes = self.send_bytes(&question.to_vec().unwrap()).await;
        Message::from_vec(&bytes.unwrap()).unwrap()
    }

    async fn send_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(bytes, self.address).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let received = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut buffer)).await;
        buffer.truncate(received.ok()?.unwrap());
        Some(buffer)
    }

    async fn ask_tcp(&self, question: &Message) -> Message {
        let bytes = question.to_vec().unwrap();
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = u16::try_from(bytes.len()).unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// Every answer's data, sorted.
fn data(message: &Message) -> Vec<String> {
    let mut data: Vec<_> = message
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect();
    data.sort();
    data
}

fn code(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

#[tokio::test]
async fn services_are_found_by_name_tag_and_case() {
    let world = World::new().await;
    world.add("1", "Web", "10.0.0.1", &["Blue"]).await;
    world.add("2", "web", "10.0.0.2", &["green"]).await;
    world.add("3", "six", "fd00::1", &[]).await;
    for (name, expected) in [
        ("web.service.sarsen.", vec!["10.0.0.1", "10.0.0.2"]),
        ("WEB.Service.SARSEN.", vec!["10.0.0.1", "10.0.0.2"]),
        ("web.service.dc1.sarsen.", vec!["10.0.0.1", "10.0.0.2"]),
        ("blue.web.service.sarsen.", vec!["10.0.0.1"]),
        ("_web._green.service.sarsen.", vec!["10.0.0.2"]),
        ("_web._tcp.service.sarsen.", vec!["10.0.0.1", "10.0.0.2"]),
        ("0a000007.addr.dc1.sarsen.", vec!["10.0.0.7"]),
        ("box.node.sarsen.", vec!["127.0.0.1"]),
        ("ns.sarsen.", vec!["127.0.0.1"]),
    ] {
        let answer = world.ask(name, RecordType::A).await;
        assert_eq!(
            (data(&answer), code(&answer)),
            (
                expected.iter().map(ToString::to_string).collect(),
                ResponseCode::NoError
            ),
            "{name}"
        );
        assert!(answer.metadata.authoritative);
        let own = answer.answers.first().unwrap();
        assert_eq!(
            (own.name.to_ascii().as_str(), own.ttl),
            (name, 7),
            "the case of the question"
        );
    }
    assert_eq!(
        data(&world.ask("six.service.sarsen.", RecordType::AAAA).await),
        ["fd00::1"]
    );
    world.stop().await;
}

#[tokio::test]
async fn nothing_is_said_in_the_right_way() {
    let world = World::new().await;
    world.add("1", "web", "10.0.0.1", &["blue"]).await;
    for (name, kind, expected) in [
        ("no.service.sarsen.", RecordType::A, ResponseCode::NXDomain),
        (
            "red.web.service.sarsen.",
            RecordType::SRV,
            ResponseCode::NXDomain,
        ),
        (
            "a.b.web.service.sarsen.",
            RecordType::A,
            ResponseCode::NXDomain,
        ),
        (
            "zz000001.addr.sarsen.",
            RecordType::A,
            ResponseCode::NXDomain,
        ),
        ("no.node.sarsen.", RecordType::A, ResponseCode::NXDomain),
        (
            "web.service.sarsen.",
            RecordType::AAAA,
            ResponseCode::NoError,
        ),
        (
            "web.service.sarsen.",
            RecordType::TXT,
            ResponseCode::NoError,
        ),
        ("service.sarsen.", RecordType::A, ResponseCode::NoError),
        ("sarsen.", RecordType::A, ResponseCode::NoError),
    ] {
        let answer = world.ask(name, kind).await;
        assert_eq!(
            (code(&answer), answer.answers.len()),
            (expected, 0),
            "{name}"
        );
        let soa = answer.authorities.first().unwrap();
        let RData::SOA(data) = &soa.data else {
            panic!("{soa}")
        };
        assert_eq!(
            (soa.name.to_ascii().as_str(), data.minimum, soa.ttl),
            ("sarsen.", 7, 7)
        );
    }
    let top = world.ask("sarsen.", RecordType::SOA).await;
    assert_eq!(top.answers.len(), 1);
    let servers = world.ask("sarsen.", RecordType::NS).await;
    assert_eq!(
        (data(&servers), servers.additionals.len()),
        (vec!["ns.sarsen.".to_owned()], 1)
    );
    world.stop().await;
}

#[tokio::test]
async fn srv_records_bring_addresses_along() {
    let world = World::new().await;
    world.add("1", "web", "10.0.0.1", &[]).await;
    world.add("2", "web", "", &[]).await;
    world.add("3", "web", "db.example.com", &[]).await;
    let answer = world
        .ask("_web._tcp.service.sarsen.", RecordType::SRV)
        .await;
    assert_eq!(
        data(&answer),
        [
            "1 1 5000 0a000001.addr.dc1.sarsen.",
            "1 1 5000 box.node.dc1.sarsen.",
            "1 1 5000 db.example.com."
        ]
    );
    let mut more: Vec<_> = answer.additionals.iter().map(Record::to_string).collect();
    more.sort();
    assert_eq!(
        more,
        [
            "0a000001.addr.dc1.sarsen. 7 IN A 10.0.0.1",
            "box.node.dc1.sarsen. 7 IN A 127.0.0.1"
        ]
    );
    world.add("4", "alias", "db.example.com", &[]).await;
    let alias = world.ask("alias.service.sarsen.", RecordType::A).await;
    assert_eq!(
        (data(&alias), alias.answers.len()),
        (vec!["db.example.com.".to_owned()], 1)
    );
    world.stop().await;
}

#[tokio::test]
async fn the_sick_are_hidden_until_they_are_well() {
    let world = World::new().await;
    world.add("1", "web", "10.0.0.1", &[]).await;
    world.add("2", "web", "10.0.0.2", &[]).await;
    let set = async |id: &str, status| {
        let place = Place::here(format!("service:{id}"));
        world
            .registry
            .set_check_status(&place, status, "")
            .await
            .unwrap();
    };
    set("1", CheckStatus::Critical).await;
    assert_eq!(
        data(&world.ask("web.service.sarsen.", RecordType::A).await),
        ["10.0.0.2"]
    );
    set("2", CheckStatus::Critical).await;
    let none = world.ask("web.service.sarsen.", RecordType::SRV).await;
    assert_eq!(code(&none), ResponseCode::NXDomain);
    set("1", CheckStatus::Warning).await;
    assert_eq!(
        data(&world.ask("web.service.sarsen.", RecordType::A).await),
        ["10.0.0.1"]
    );
    world.stop().await;
}

#[tokio::test]
async fn addresses_lead_back_to_names() {
    let world = World::new().await;
    world.add("1", "web", "10.0.0.1", &[]).await;
    world.add("2", "api", "10.0.0.1", &[]).await;
    let node = Node {
        name: "Other".to_owned(),
        address: "10.9.9.9".to_owned(),
        ..Node::default()
    };
    world.registry.register_node(node).await.unwrap();
    let answer = world.ask("1.0.0.10.in-addr.arpa.", RecordType::PTR).await;
    assert_eq!(
        data(&answer),
        ["api.service.sarsen.", "web.service.sarsen."]
    );
    let own = world.ask("1.0.0.127.in-addr.arpa.", RecordType::PTR).await;
    assert_eq!(data(&own), ["box.node.dc1.sarsen."]);
    assert_eq!(
        code(&world.ask("9.0.0.10.in-addr.arpa.", RecordType::PTR).await),
        ResponseCode::Refused
    );
    assert_eq!(
        data(&world.ask("other.node.sarsen.", RecordType::A).await),
        ["10.9.9.9"]
    );
    world.stop().await;
}

#[tokio::test]
async fn many_answers_fit_or_say_that_they_do_not() {
    let world = World::new().await;
    for number in 1..=60 {
        world
            .add(
                &format!("{number}"),
                "web",
                &format!("10.0.1.{number}"),
                &[],
            )
            .await;
    }
    let mut orders = std::collections::BTreeSet::new();
    for (payload, largest, is_cut) in [
        (None, 512, true),
        (Some(1232), 1232, true),
        (Some(4096), 4096, false),
    ] {
        let mut question = question("web.service.sarsen.", RecordType::SRV);
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            question.set_edns(edns);
        }
        let bytes = world.send_bytes(&question.to_vec().unwrap()).await.unwrap();
        let answer = Message::from_vec(&bytes).unwrap();
        assert!(bytes.len() <= largest, "{} bytes", bytes.len());
        assert_eq!(answer.metadata.truncation, is_cut, "{payload:?}");
        assert_eq!(answer.edns.is_some(), payload.is_some());
        assert_eq!(
            answer.answers.len() == 60,
            !is_cut,
            "{}",
            answer.answers.len()
        );
        assert!(answer.answers.len() > 5);
        orders.insert(answer.answers.first().unwrap().data.to_string());
    }
    let whole = world
        .ask_tcp(&question("web.service.sarsen.", RecordType::SRV))
        .await;
    assert_eq!((whole.answers.len(), whole.additionals.len()), (60, 60));
    for _ in 0..5 {
        let answer = world.ask("web.service.sarsen.", RecordType::A).await;
        orders.insert(answer.answers.first().unwrap().data.to_string());
    }
    assert!(orders.len() > 2, "shuffled: {orders:?}");
    world.stop().await;
}

#[tokio::test]
async fn what_nobody_should_ask_is_refused() {
    let world = World::new().await;
    world.add("1", "web", "10.0.0.1", &[]).await;
    for kind in [RecordType::ANY, RecordType::AXFR, RecordType::IXFR] {
        let answer = world.ask("web.service.sarsen.", kind).await;
        assert_eq!(code(&answer), ResponseCode::Refused, "{kind}");
    }
    assert_eq!(
        code(&world.ask("example.com.", RecordType::A).await),
        ResponseCode::Refused
    );
    let mut chaos = question("web.service.sarsen.", RecordType::A);
    chaos
        .queries
        .first_mut()
        .unwrap()
        .set_query_class(DNSClass::CH);
    assert_eq!(code(&world.send(&chaos).await), ResponseCode::Refused);
    let mut two = question("web.service.sarsen.", RecordType::A);
    two.add_query(two.queries.first().unwrap().clone());
    assert_eq!(code(&world.send(&two).await), ResponseCode::FormErr);
    let mut new = question("web.service.sarsen.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    new.set_edns(edns);
    // BADVERS; the number has two names.
    assert_eq!(u16::from(code(&world.send(&new).await)), 16);
    let mut notify = question("web.service.sarsen.", RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(code(&world.send(&notify).await), ResponseCode::NotImp);
    let garbage = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xff];
    let answer = world.send_bytes(&garbage).await.unwrap();
    assert_eq!(
        code(&Message::from_vec(&answer).unwrap()),
        ResponseCode::FormErr
    );
    let mut reply = question("web.service.sarsen.", RecordType::A);
    reply.metadata.message_type = MessageType::Response;
    assert_eq!(world.send_bytes(&reply.to_vec().unwrap()).await, None);
    assert_eq!(world.send_bytes(&[1, 2, 3]).await, None);
    world.stop().await;
}

/// Another name server, which knows `example.com` and truncates over UDP what is asked as TXT.
async fn upstream(tasks: &TaskTracker, shutdown: &CancellationToken) -> SocketAddr {
    let world = World::new().await;
    world.add("1", "elsewhere", "10.7.7.7", &[]).await;
    let address = world.address;
    let (registry, inner, shutdown) = (
        world.registry.clone(),
        world.tasks.clone(),
        shutdown.clone(),
    );
    tasks.spawn(async move {
        shutdown.cancelled().await;
        world.shutdown.cancel();
        inner.close();
        inner.wait().await;
        drop(registry);
    });
    address
}

#[tokio::test]
async fn other_names_are_passed_on() {
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let upstream = upstream(&tasks, &shutdown).await;
    // The first one answers nobody; the upstream is another of our own servers, under the same domain.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = vec![silent.local_addr().unwrap(), upstream];
    let settings = RegistrySettings::new("me", Host::local("box"));
    let registry = Registry::new(Arc::new(FakeRuntime::new()), settings);
    let dns = Dns::new(
        registry,
        DnsSettings {
            domain: "other.domain".to_owned(),
            node: "box".to_owned(),
            datacenter: "dc1".to_owned(),
            ttl: Duration::from_secs(1),
            upstreams: Upstreams::These(servers),
        },
    )
    .unwrap();
    let listener = DnsListener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let world = World {
        registry: dns.shared.registry.clone(),
        address: listener.address(),
        shutdown: shutdown.clone(),
        tasks: tasks.clone(),
    };
    let serving = shutdown.clone();
    tasks.spawn(async move { dns.serve(listener, serving).await });
    let began = std::time::Instant::now();
    let bytes = question("elsewhere.service.sarsen.", RecordType::A);
    let answer = world.ask_tcp(&bytes).await;
    assert_eq!(
        (data(&answer), answer.metadata.id),
        (vec!["10.7.7.7".to_owned()], bytes.metadata.id)
    );
    assert!(began.elapsed() < Duration::from_secs(4));
    let unknown = world
        .ask_tcp(&question("no.service.sarsen.", RecordType::A))
        .await;
    assert_eq!(code(&unknown), ResponseCode::NXDomain);
    let own = world.ask("no.service.other.domain.", RecordType::A).await;
    assert_eq!(
        (code(&own), own.metadata.recursion_available),
        (ResponseCode::NXDomain, true)
    );
    world.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_of() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = DnsListener::bind(address).await.err().unwrap().to_string();
    assert!(
        error.contains(&format!("cannot answer DNS on {address}")),
        "{error}"
    );
    assert!(
        error.contains("another name server has that port"),
        "{error}"
    );
    let none = DnsListener::bind(([192, 0, 2, 1], 0).into())
        .await
        .err()
        .unwrap();
    assert!(none.to_string().contains("no such address"), "{none}");
    let settings = RegistrySettings::new("me", Host::local("box"));
    let registry = Registry::new(Arc::new(FakeRuntime::new()), settings);
    for domain in ["", ".", "a b", "x..y"] {
        let settings = DnsSettings {
            domain: domain.to_owned(),
            node: "box".to_owned(),
            datacenter: "dc1".to_owned(),
            ttl: Duration::from_secs(1),
            upstreams: Upstreams::Host,
        };
        assert!(Dns::new(registry.clone(), settings).is_err(), "{domain}");
    }
}
