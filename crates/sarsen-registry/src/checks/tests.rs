//! Checks of real listeners, and of containers of the engine in memory.

use super::*;
use crate::check::HttpProbe;
use crate::externals::{CheckRegistration, OtherChecks, Registration};
use crate::{Host, RegistryError, RegistrySettings};
use sarsen_runtime::fake::{Behaviour, FakeRuntime, ScriptedExec};
use sarsen_runtime::{ContainerRuntime, ContainerSpec};
use sarsen_store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct World {
    engine: FakeRuntime,
    registry: Registry,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    async fn new() -> Self {
        let engine = FakeRuntime::new();
        let settings = RegistrySettings::new("me", Host::local("box"));
        let registry = Registry::new(Arc::new(engine.clone()), settings);
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(registry.clone().run(shutdown.clone()));
        registry.synced().await;
        Self {
            engine,
            registry,
            shutdown,
            tasks,
        }
    }

    /// Registers a service with one check that is made every second.
    async fn service(&self, probe: Probe) -> CheckSpec {
        let mut spec = CheckSpec::new("alive", "Alive", probe);
        spec.interval = Duration::from_secs(1);
        self.service_with(spec.clone()).await;
        spec
    }

    async fn service_with(&self, spec: CheckSpec) {
        let check = CheckRegistration {
            node: None,
            service: Some("one".into()),
            spec,
            registrant: "test".into(),
        };
        let registered = self
            .registry
            .register_external(service(), vec![check], OtherChecks::Drop);
        registered.await.unwrap();
    }

    /// Waits until the service is so.
    async fn until(&self, status: Option<CheckStatus>) -> String {
        let mut changes = self.registry.watch();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                let catalog = self.registry.catalog();
                let found = catalog.instance(&Place::here("one"));
                if found.map(|found| found.status()) == status {
                    let check = found.and_then(|found| found.checks.first());
                    return check.map(|check| check.output.clone()).unwrap_or_default();
                }
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        waited.unwrap_or_else(|_| panic!("{status:?}: {:?}", self.registry.catalog()))
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn service() -> Registration {
    Registration {
        id: "one".into(),
        name: "one".into(),
        registrant: "test".into(),
        ..Registration::default()
    }
}

fn http(url: String) -> Probe {
    Probe::Http(HttpProbe {
        url,
        method: "GET".into(),
        headers: vec![("X-Token".into(), "t".into())],
        body: String::new(),
        skip_verify: false,
    })
}

/// Answers requests by their path: `/204` with 204, `/to/X` with a redirect to `/X`.
async fn server(tasks: &TaskTracker) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, location) = match path.strip_prefix("/to/") {
                Some(rest) => ("302", format!("Location: {}\r\n", rest.replace('~', "/"))),
                None => (path.trim_start_matches('/'), String::new()),
            };
            let body = if request.contains("x-token: t") {
                "sent"
            } else {
                "none"
            };
            let answer = format!(
                "HTTP/1.1 {status} X\r\n{location}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn answers_are_judged_as_consul_does() {
    let tasks = TaskTracker::new();
    let base = server(&tasks).await;
    let looker = Looker::new(Arc::new(FakeRuntime::new()));
    for (path, status, words) in [
        ("/200", CheckStatus::Passing, "200 OK Output: sent"),
        ("/204", CheckStatus::Passing, "204"),
        ("/429", CheckStatus::Warning, "429"),
        ("/404", CheckStatus::Critical, "404"),
        ("/503", CheckStatus::Critical, "503"),
        ("/to/~200", CheckStatus::Passing, "200"),
        (
            "/to/http:~~example.invalid~",
            CheckStatus::Critical,
            "another server",
        ),
    ] {
        let said = looker.look(http(format!("{base}{path}"))).await;
        assert_eq!(said.0, status, "{path}: {}", said.1);
        assert!(said.1.contains(words), "{path}: {}", said.1);
    }
    for url in ["ftp://127.0.0.1/", "nonsense", "http://"] {
        let said = looker.look(http(url.into())).await;
        assert_eq!(said.0, CheckStatus::Critical, "{url}");
    }
}

#[tokio::test]
async fn a_listener_that_goes_takes_the_service_out_and_brings_it_back() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    world.service(Probe::Tcp(address.to_string())).await;
    let text = world.until(Some(CheckStatus::Passing)).await;
    assert!(text.contains("Success"), "{text}");
    drop(listener);
    let text = world.until(Some(CheckStatus::Critical)).await;
    assert!(text.contains("refused"), "{text}");
    let _back = TcpListener::bind(address).await.unwrap();
    world.until(Some(CheckStatus::Passing)).await;
    world.stop().await;
}

#[tokio::test]
async fn a_command_runs_in_its_container() {
    let looker = |engine: &FakeRuntime| Looker::new(Arc::new(engine.clone()));
    let engine = FakeRuntime::new();
    let scripted = |matches: &str, exit| ScriptedExec {
        matches: matches.into(),
        output: format!("said {matches}"),
        exit,
        ..ScriptedExec::default()
    };
    engine.behave(
        "app",
        Behaviour {
            execs: vec![
                scripted("good", 0),
                scripted("so-so", 1),
                scripted("bad", 2),
            ],
            ..Behaviour::default()
        },
    );
    let spec = ContainerSpec {
        image: "app".into(),
        ..ContainerSpec::default()
    };
    let id = engine.create(&spec).await.unwrap();
    engine.start(&id).await.unwrap();
    for (word, status) in [
        ("good", CheckStatus::Passing),
        ("so-so", CheckStatus::Warning),
        ("bad", CheckStatus::Critical),
    ] {
        let probe = Probe::Command {
            container: id.as_str().into(),
            argv: vec![word.into()],
            env: vec![],
        };
        let said = looker(&engine).look(probe).await;
        assert_eq!(said.0, status, "{}", said.1);
        assert!(said.1.ends_with(&format!("said {word}")), "{}", said.1);
    }
    let nowhere = Probe::Command {
        container: "00ff".into(),
        argv: vec!["good".into()],
        env: vec![],
    };
    assert_eq!(looker(&engine).look(nowhere).await.0, CheckStatus::Critical);
}

#[tokio::test]
async fn a_ttl_wants_to_be_renewed() {
    let world = World::new().await;
    let place = Place::here("alive");
    world.service(Probe::Ttl(Duration::from_millis(300))).await;
    let pass = || {
        world
            .registry
            .set_check_status(&place, CheckStatus::Passing, "here")
    };
    pass().await.unwrap();
    world.until(Some(CheckStatus::Passing)).await;
    let text = world.until(Some(CheckStatus::Critical)).await;
    assert_eq!(text, "TTL expired");
    pass().await.unwrap();
    assert_eq!(world.until(Some(CheckStatus::Passing)).await, "here");
    let unknown = Place::here("nobody");
    let error = world
        .registry
        .set_check_status(&unknown, CheckStatus::Passing, "")
        .await;
    assert!(matches!(error, Err(RegistryError::NoSuchCheck(_))));
    assert!(world.engine.containers().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_service_that_is_critical_for_too_long_is_forgotten() {
    let world = World::new().await;
    let mut spec = CheckSpec::new("alive", "Alive", Probe::Ttl(Duration::from_millis(100)));
    spec.deregister_after = Some(Duration::from_millis(200));
    spec.initial = CheckStatus::Passing;
    world.service_with(spec).await;
    world.until(None).await;
    world.stop().await;
}

#[tokio::test]
async fn registrations_outlive_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let registry = || async {
        let store = Store::open(&path("db"), &path("key")).await.unwrap();
        let settings = RegistrySettings::new("me", Host::local("box"));
        let runtime = Arc::new(FakeRuntime::new());
        Registry::kept(runtime, settings, store).await.unwrap()
    };
    let first = registry().await;
    let check = |id: &str, service: Option<&str>| CheckRegistration {
        node: None,
        service: service.map(str::to_owned),
        spec: CheckSpec::new(id, id, Probe::Ttl(Duration::from_secs(60))),
        registrant: "test".into(),
    };
    let checks = vec![check("alive", Some("one"))];
    first
        .register_external(service(), checks, OtherChecks::Keep)
        .await
        .unwrap();
    first.register_check(check("disk", None)).await.unwrap();
    let missing = first.register_check(check("x", Some("nothing"))).await;
    assert!(matches!(missing, Err(RegistryError::NoSuchService(_))));
    let alive = Place::here("alive");
    first
        .set_check_status(&alive, CheckStatus::Passing, "well")
        .await
        .unwrap();
    drop(first);
    let second = registry().await;
    let catalog = second.catalog();
    let one = catalog.instance(&Place::here("one")).unwrap();
    assert_eq!(
        (one.status(), one.checks[0].output.as_str()),
        (CheckStatus::Passing, "well")
    );
    assert_eq!(catalog.node_checks(None).count(), 1);
    assert!(second.deregister(&Place::here("one")).await.unwrap());
    assert!(!second.deregister(&Place::here("one")).await.unwrap());
    assert!(second.deregister_check(&Place::here("disk")).await.unwrap());
    drop(second);
    let third = registry().await.catalog();
    assert_eq!(third.instances().count() + third.checks().count(), 0);
}

#[tokio::test]
async fn nodes_go_with_everything_on_them() {
    let world = World::new().await;
    let node = crate::Node {
        name: "far".into(),
        ..crate::Node::default()
    };
    world.registry.register_node(node).await.unwrap();
    let elsewhere = Registration {
        node: Some("far".into()),
        ..service()
    };
    world
        .registry
        .register_external(elsewhere, vec![], OtherChecks::Keep)
        .await
        .unwrap();
    assert_eq!(world.registry.catalog().instances().count(), 1);
    assert!(world.registry.deregister_node("far").await.unwrap());
    assert!(!world.registry.deregister_node("far").await.unwrap());
    assert_eq!(world.registry.catalog().instances().count(), 0);
    let nameless = world
        .registry
        .register_external(Registration::default(), vec![], OtherChecks::Keep)
        .await;
    assert!(matches!(nameless, Err(RegistryError::Invalid(_))));
    world.stop().await;
}
