//! Real services on the real engine. The images are stand-ins: `deploy/addon-images/build` makes them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{FutureExt, TryStreamExt};
use sarsen_addons::{Addon, Catalog, Engine, Errand, Service, Shape};
use sarsen_domain::container::label;
use sarsen_domain::{ContainerId, ServiceName};
use sarsen_runtime::{
    Attached, ContainerSpec, DockerRuntime, ExecSpec, LogOptions, Runtime, StdStream,
};
use tokio::io::AsyncWriteExt;

const BASE: &str = "sarsen/base:bookworm";
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    runtime: Runtime,
    engine: Engine,
    addon: Addon,
    service: Service,
    owner: String,
}

/// Runs a test with a service that answers, and removes it whatever comes of the test.
async fn with_service(addon: &str, test: impl AsyncFnOnce(&World)) {
    let runtime = DockerRuntime::connect(Path::new("/var/run/docker.sock")).unwrap();
    let runtime: Runtime = Arc::new(runtime);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let name = format!("t{:x}-{:x}", std::process::id(), now.subsec_nanos());
    let owner = format!("test-{name}");
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(runtime.clone(), &owner, folder.path());
    let addon = Catalog::bundled().unwrap().get(addon).unwrap().clone();
    let image = addon.image(None, None).unwrap();
    assert!(
        engine.has_image(&image).await.unwrap(),
        "no {image}: run deploy/addon-images/build"
    );
    let service = Service {
        id: 1,
        name: ServiceName::parse(&name).unwrap(),
        image,
        volume: format!("sarsen-test-{name}"),
        secrets: addon.new_secrets(),
        shape: Shape::default(),
    };
    let world = World {
        runtime,
        engine,
        addon,
        service,
        owner,
    };
    let story = async {
        world.up().await;
        test(&world).await;
    };
    let outcome = AssertUnwindSafe(story).catch_unwind().await;
    let ours = format!("{}={}", label::OWNER, world.owner);
    world
        .engine
        .remove(&world.addon, &world.service)
        .await
        .unwrap();
    for left in world.runtime.list(&[ours]).await.unwrap() {
        world.runtime.remove(&left.id).await.unwrap();
    }
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl World {
    async fn up(&self) -> ContainerId {
        let id = self.engine.up(&self.addon, &self.service).await.unwrap();
        let ready = self.engine.ready(&self.addon, &self.service, PATIENCE);
        ready.await.unwrap_or_else(|error| panic!("{error}"));
        id
    }

    /// What a command in the service's container prints, given this input; it must end with 0.
    async fn run(&self, errand: Errand<'_>, input: &[u8]) -> Vec<u8> {
        let exec = self
            .engine
            .run(&self.addon, &self.service, errand, None)
            .await;
        let exec = exec.unwrap();
        let (output, errors) = talk(exec.streams, input).await;
        let code = self.runtime.exec_exit_code(&exec.id).await.unwrap();
        assert_eq!(code, 0, "{}", String::from_utf8_lossy(&errors));
        output
    }

    async fn says(&self, input: &str) -> String {
        let output = self.run(Errand::Connect, input.as_bytes()).await;
        String::from_utf8(output).unwrap()
    }

    /// A container as an app's: on the default bridge, and on the service's network.
    async fn app(&self) -> ContainerId {
        let spec = ContainerSpec {
            image: BASE.to_owned(),
            command: Some(["sleep", "600"].map(str::to_owned).to_vec()),
            labels: [(label::OWNER.to_owned(), self.owner.clone())].into(),
            init: true,
            ..ContainerSpec::default()
        };
        let id = self.runtime.create(&spec).await.unwrap();
        let network = self.engine.ensure_network(&self.addon, &self.service).await;
        let network = network.unwrap();
        let joined = self.runtime.connect_network(&id, &network, &[]);
        joined.await.unwrap();
        self.runtime.start(&id).await.unwrap();
        id
    }

    /// What the host and port of the service's URL answer to a line from an app's container.
    async fn reached_by(&self, app: &ContainerId, line: &str) -> String {
        let url = Engine::url(&self.addon, &self.service);
        let place = url
            .rsplit(['@', '/'])
            .find(|part| part.contains(':'))
            .unwrap();
        let script = "use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => shift, Timeout => 10) \
                      or die \"no connection: $@\"; print $s \"$_\\r\\n\" for @ARGV; \
                      for (@ARGV) { my $l = <$s>; print $l }";
        let mut command = ["perl", "-e", script, place].map(str::to_owned).to_vec();
        command.extend(line.lines().map(str::to_owned));
        let spec = ExecSpec {
            command,
            ..ExecSpec::default()
        };
        let exec = self.runtime.exec(app, &spec).await.unwrap();
        let (output, errors) = talk(exec.streams, b"").await;
        assert!(errors.is_empty(), "{}", String::from_utf8_lossy(&errors));
        String::from_utf8(output).unwrap()
    }

    async fn logs(&self) -> String {
        let info = self.engine.find(&self.addon, &self.service).await.unwrap();
        let id = info.unwrap().id;
        let logs = self.runtime.logs(&id, LogOptions::default());
        let chunks: Vec<_> = logs.await.unwrap().try_collect().await.unwrap();
        let bytes: Vec<_> = chunks
            .iter()
            .flat_map(|chunk| chunk.bytes.to_vec())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Imports while the service stands still; the exit code.
    async fn import_offline(&self, data: &[u8]) -> i64 {
        let import = self.engine.begin_import(&self.addon, &self.service).await;
        let import = import.unwrap();
        talk(import.streams, data).await;
        let code = self.engine.end_import(&import.container).await.unwrap();
        self.up().await;
        code
    }
}

/// Sends the input, closes it, and gives what came on both outputs.
async fn talk(streams: Attached, input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let Attached { mut stdin, output } = streams;
    let send = async {
        // A program may end without reading all of it.
        stdin.write_all(input).await.ok();
        stdin.shutdown().await.ok();
    };
    let read = output.try_collect::<Vec<_>>();
    let both = async { tokio::join!(send, read) };
    let ((), chunks) = tokio::time::timeout(PATIENCE, both).await.expect("an end");
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    for chunk in chunks.unwrap() {
        match chunk.stream {
            StdStream::Stdout => out.extend(chunk.bytes),
            StdStream::Stderr => errors.extend(chunk.bytes),
        }
    }
    (out, errors)
}

#[tokio::test]
async fn redis() {
    with_service("redis", async |world: &World| {
        let app = world.app().await;
        let refused = world.reached_by(&app, "GET greeting").await;
        assert!(refused.starts_with("-NOAUTH"), "{refused}");
        let password = world.service.secrets["password"].expose().clone();
        let auth = format!("AUTH {password}");
        let stored = world
            .reached_by(&app, &format!("{auth}\nSET greeting hello"))
            .await;
        assert_eq!(stored, "+OK\r\n+OK\r\n");

        // Data outlives the container.
        let id = world.up().await;
        world
            .engine
            .stop(&world.addon, &world.service)
            .await
            .unwrap();
        world.runtime.remove(&id).await.unwrap();
        assert_ne!(world.up().await, id);
        assert_eq!(world.says("GET greeting\n").await, "hello\n");
        assert_eq!(
            world.reached_by(&app, &auth).await,
            "+OK\r\n",
            "found again"
        );

        let dump = world.run(Errand::Export, b"").await;
        assert!(dump.starts_with(b"REDIS"), "{dump:?}");
        world.says("SET greeting other\n").await;
        assert_ne!(world.import_offline(b"no dump").await, 0);
        assert_eq!(world.says("GET greeting\n").await, "other\n", "kept");
        assert_eq!(world.import_offline(&dump).await, 0);
        assert_eq!(world.says("GET greeting\n").await, "hello\n");
        assert!(!world.logs().await.contains(&password));
    })
    .await;
}

#[tokio::test]
async fn postgres() {
    with_service("postgres", async |world: &World| {
        let made = "CREATE TABLE t (a text); INSERT INTO t VALUES ('hello');\n";
        world.says(made).await;
        let id = world.up().await;
        world
            .engine
            .stop(&world.addon, &world.service)
            .await
            .unwrap();
        world.runtime.remove(&id).await.unwrap();
        world.up().await;
        let select = "\\t\nSELECT a FROM t;\n";
        assert!(world.says(select).await.contains("hello"));

        let dump = world.run(Errand::Export, b"").await;
        world.says("UPDATE t SET a = 'other';\n").await;
        world.run(Errand::Import, &dump).await;
        assert!(world.says(select).await.contains("hello"));

        // The password of the URL, over the network, and no other.
        for (password, prompt) in [
            (world.service.secrets["password"].expose().as_str(), "1"),
            ("wrong", "authentication failed"),
        ] {
            let script = "PGPASSWORD=$1 psql -h $2 -U postgres -At -c 'SELECT 1' $3 2>&1 || true";
            let (host, name) = (world.addon.host(&world.service.name), &world.service.name);
            let database = name.as_str().replace('-', "_");
            let words = ["sh", "-c", script, "sh", password, &host, &database];
            let words = words.map(str::to_owned);
            let said = world.run(Errand::Enter(&words), b"").await;
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains(prompt), "{said}");
        }
        let password = world.service.secrets["password"].expose();
        assert!(!world.logs().await.contains(password.as_str()));
    })
    .await;
}

#[tokio::test]
async fn memcached() {
    with_service("memcached", async |world: &World| {
        let app = world.app().await;
        let version = world.reached_by(&app, "version").await;
        assert!(version.starts_with("VERSION 1."), "{version}");
    })
    .await;
}

#[tokio::test]
async fn mariadb() {
    with_service("mariadb", async |world: &World| {
        world
            .says("CREATE TABLE t (a text); INSERT INTO t VALUES ('hello');\n")
            .await;
        let count = world.engine.count(&world.addon, &world.service).await;
        assert_eq!(count.unwrap(), Some(1));
        let size = world.engine.measure(&world.addon, &world.service).await;
        assert!(size.unwrap().unwrap() > 1 << 20);
        let dump = world.run(Errand::Export, b"").await;
        world.says("DROP TABLE t;\n").await;
        world.run(Errand::Import, &dump).await;
        assert!(world.says("SELECT a FROM t;\n").await.contains("hello"));
        let password = world.service.secrets["root-password"].expose();
        assert!(!world.logs().await.contains(password.as_str()));

        // The password of the URL, over the network, as apps come.
        let script =
            "MYSQL_PWD=$1 mariadb -h $2 -u mariadb -N -e 'SELECT a FROM t' $3 2>&1 || true";
        let name = &world.service.name;
        let (host, database) = (world.addon.host(name), name.as_str().replace('-', "_"));
        for (password, prompt) in [
            (world.service.secrets["password"].expose().as_str(), "hello"),
            ("wrong", "Access denied"),
        ] {
            let words = ["sh", "-c", script, "sh", password, &host, &database];
            let words = words.map(str::to_owned);
            let said = world.run(Errand::Enter(&words), b"").await;
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains(prompt), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn rabbitmq() {
    with_service("rabbitmq", async |world: &World| {
        let ctl = async |words: &[&str]| {
            let mut line = vec!["rabbitmqctl".to_owned(), "--quiet".to_owned()];
            line.extend(words.iter().map(|word| (*word).to_owned()));
            let said = world.run(Errand::Enter(&line), b"").await;
            String::from_utf8(said).unwrap()
        };
        let declare = "rabbit_amqqueue:declare(rabbit_misc:r(<<\"main\">>, queue, <<\"jobs\">>), true, false, [], none, <<\"test\">>).";
        ctl(&["eval", declare]).await;
        let count = world.engine.count(&world.addon, &world.service).await;
        assert_eq!(count.unwrap(), Some(1));
        let dump = world.run(Errand::Export, b"").await;
        ctl(&["delete_queue", "--vhost", "main", "jobs"]).await;
        // Another service's definitions bring another password.
        let foreign = String::from_utf8(dump).unwrap().replace("password_hash\":\"", "password_hash\":\"AAAA");
        world.run(Errand::Import, foreign.as_bytes()).await;
        let count = world.engine.count(&world.addon, &world.service).await;
        assert_eq!(count.unwrap(), Some(1));
        let password = world.service.secrets["password"].expose();
        let said = ctl(&["authenticate_user", "rabbitmq", password.as_str()]).await;
        assert!(said.contains("Success"), "{said}");
        assert!(!world.logs().await.contains(password.as_str()));
    })
    .await;
}
