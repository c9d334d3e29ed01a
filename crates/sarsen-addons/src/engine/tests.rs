//! Services on the engine in memory.

use std::sync::Arc;

use sarsen_runtime::ContainerRuntime;
use sarsen_runtime::fake::{Behaviour, FakeRuntime, Operation, ScriptedExec};

use super::*;
use crate::{Catalog, Errand, Exposed};

const SOON: Duration = Duration::from_millis(300);

struct World {
    fake: FakeRuntime,
    engine: Engine,
    addon: Addon,
    service: Service,
    folder: tempfile::TempDir,
}

/// The addon's image behaves so.
fn world(addon: &str, behaviour: Behaviour) -> World {
    let catalog = Catalog::bundled().unwrap();
    let addon = catalog.get(addon).unwrap().clone();
    let image = addon.image(None, None).unwrap();
    let fake = FakeRuntime::new();
    let folder = tempfile::tempdir().unwrap();
    fake.behave(image.as_str(), behaviour);
    World {
        engine: Engine::new(Arc::new(fake.clone()), "me", folder.path()),
        service: Service {
            id: 7,
            name: ServiceName::parse("my-data").unwrap(),
            image,
            volume: "volume-1".to_owned(),
            secrets: [("password".to_owned(), "s3cret".to_owned().into())].into(),
            shape: Shape::default(),
        },
        addon,
        fake,
        folder,
    }
}

impl World {
    async fn up(&self) -> Result<ContainerInfo, AddonError> {
        let id = self.engine.up(&self.addon, &self.service).await?;
        Ok(self.fake.inspect(&id).await?)
    }

    async fn ready(&self) -> Result<(), AddonError> {
        self.engine.ready(&self.addon, &self.service, SOON).await
    }
}

#[tokio::test]
async fn a_service_has_a_network_a_volume_and_no_secret_where_others_look() {
    let world = world("postgres", Behaviour::default());
    let info = world.up().await.unwrap();
    assert_eq!(info.name, "dokku.postgres.my-data");
    let label = |key: &str| info.labels[key].as_str();
    assert_eq!(label("dokku"), "service");
    assert_eq!(label("dokku.service"), "postgres");
    assert_eq!(label("com.sarsen.owner"), "me");
    assert_eq!(label("SERVICE_NAME"), "dokku-postgres-my-data");
    assert_eq!(
        info.env,
        [
            "PGDATA=/var/lib/postgresql/data",
            "POSTGRES_DB=my_data",
            "POSTGRES_PASSWORD=s3cret"
        ]
    );
    assert_eq!(world.fake.volumes(), ["volume-1"]);
    let networks: Vec<_> = info.addresses.keys().collect();
    assert_eq!(networks, ["sarsen.postgres.my-data"]);
    assert_eq!(
        Engine::url(&world.addon, &world.service),
        "postgres://postgres:s3cret@dokku-postgres-my-data:5432/my_data"
    );
    assert!(!format!("{:?} {:?}", info.labels, info.command).contains("s3cret"));

    world.ready().await.unwrap();
    for call in world.fake.calls() {
        assert!(!call.target.contains("s3cret"), "{call:?}");
    }
    let again = world.up().await.unwrap();
    assert_eq!(again.id, info.id, "what runs is left alone");
}

#[tokio::test]
async fn redis_gets_its_password_in_a_file() {
    let world = world("redis", Behaviour::default());
    let info = world.up().await.unwrap();
    assert!(!info.command.join(" ").contains("s3cret"));
    assert!(info.env.is_empty());
    let file = world
        .fake
        .download(&info.id, "/usr/local/etc/redis.conf")
        .await;
    let bytes: Vec<Bytes> = file.unwrap().try_collect().await.unwrap();
    let text = String::from_utf8_lossy(&bytes.concat()).into_owned();
    assert!(text.contains("requirepass s3cret\n"), "{text}");
    assert!(text.contains("port 6379\n"), "{text}");
}

#[tokio::test]
async fn what_is_missing_or_broken_is_made_anew_and_the_data_stays() {
    let world = world("redis", Behaviour::default());
    let first = world.up().await.unwrap();
    world
        .engine
        .stop(&world.addon, &world.service)
        .await
        .unwrap();
    assert_eq!(world.up().await.unwrap().id, first.id, "started again");

    world.fake.remove(&first.id).await.unwrap();
    let second = world.up().await.unwrap();
    assert_ne!(second.id, first.id);

    world.fake.stop(&second.id, SOON).await.unwrap();
    let refusal = RuntimeError::Engine("network not found".to_owned());
    world.fake.fail_next(Operation::Start, refusal);
    let third = world.up().await.unwrap();
    assert_ne!(third.id, second.id, "one that does not start is replaced");

    // The same name, another service: what was left of the first one goes.
    let other = Service {
        id: 8,
        ..world.service.clone()
    };
    assert!(
        world
            .engine
            .find(&world.addon, &other)
            .await
            .unwrap()
            .is_none()
    );
    world.engine.up(&world.addon, &other).await.unwrap();
    assert_eq!(world.fake.containers().len(), 1);
    assert!(world.fake.calls_of(Operation::RemoveVolume).is_empty());
}

#[tokio::test]
async fn a_container_that_does_not_start_leaves_nothing() {
    let world = world(
        "redis",
        Behaviour {
            start_error: Some("no such command".to_owned()),
            ..Behaviour::default()
        },
    );
    let error = world.up().await.unwrap_err();
    assert_eq!(error.to_string(), "no such command");
    assert!(world.fake.containers().is_empty());
}

#[tokio::test]
async fn somebody_elses_container_is_not_touched() {
    let world = world("redis", Behaviour::default());
    let info = world.up().await.unwrap();
    let stranger = Engine::new(Arc::new(world.fake.clone()), "you", world.folder.path());
    let error = stranger.up(&world.addon, &world.service).await.unwrap_err();
    assert!(matches!(error, AddonError::NameTaken(_)), "{error}");
    let elsewhere = Service {
        volume: "volume-2".to_owned(),
        ..world.service.clone()
    };
    stranger.remove(&world.addon, &elsewhere).await.unwrap();
    assert!(world.fake.inspect(&info.id).await.unwrap().is_running());
    assert_eq!(world.fake.volumes(), ["volume-1"]);
    assert_eq!(world.fake.networks().len(), 1);
}

#[tokio::test]
async fn a_service_is_gone_with_all_it_had() {
    let world = world("redis", Behaviour::default());
    world.up().await.unwrap();
    for _ in 0..2 {
        world
            .engine
            .remove(&world.addon, &world.service)
            .await
            .unwrap();
    }
    assert!(world.fake.containers().is_empty());
    assert!(world.fake.volumes().is_empty() && world.fake.networks().is_empty());
}

#[tokio::test]
async fn readiness_is_asked_for_and_failure_explained() {
    let saying = |exit, lines: &[&str]| Behaviour {
        execs: vec![ScriptedExec {
            matches: "redis-cli ping".to_owned(),
            exit: 1,
            ..ScriptedExec::default()
        }],
        exit,
        log_lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..Behaviour::default()
    };
    let slow = world("redis", saying(None, &["loading"]));
    slow.up().await.unwrap();
    let error = slow.ready().await.unwrap_err();
    assert!(matches!(error, AddonError::NotReady { .. }), "{error}");
    assert!(error.to_string().ends_with("\nloading"), "{error}");

    let broken = world("redis", saying(Some(3), &["bad config"]));
    broken.up().await.unwrap();
    let error = broken.ready().await.unwrap_err().to_string();
    assert!(
        error.contains("exit code 3") && error.contains("bad config"),
        "{error}"
    );
}

#[tokio::test]
async fn without_a_command_the_port_is_asked() {
    let silent = world("memcached", Behaviour::default());
    silent.up().await.unwrap();
    assert!(silent.ready().await.is_err());
    let listening = world(
        "memcached",
        Behaviour {
            listens: vec![11211],
            ..Behaviour::default()
        },
    );
    let info = listening.up().await.unwrap();
    listening.ready().await.unwrap();
    assert!(listening.fake.volumes().is_empty(), "it keeps nothing");
    assert!(info.env.is_empty());
}

#[tokio::test]
async fn commands_need_a_service_that_runs_and_an_addon_that_has_them() {
    let world = world("memcached", Behaviour::default());
    let words = ["ls".to_owned()];
    let run = |errand| world.engine.run(&world.addon, &world.service, errand, None);
    let error = run(Errand::Enter(&[])).await.err().unwrap();
    assert!(matches!(error, AddonError::NotRunning(_)), "{error}");
    world.up().await.unwrap();
    run(Errand::Enter(&words)).await.unwrap();
    assert_eq!(world.fake.calls_of(Operation::Exec), ["ls"]);
    let error = run(Errand::Export).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "Memcached services have no command for that"
    );
}

#[tokio::test]
async fn a_missing_image_is_named() {
    let world = world("redis", Behaviour::default());
    let image = ImageRef::parse("nowhere/redis:9").unwrap();
    assert!(!world.engine.has_image(&image).await.unwrap());
    let refusal = RuntimeError::Engine("connection refused".to_owned());
    world.fake.fail_next(Operation::Pull, refusal);
    let error = world.engine.pull(&image).await.unwrap_err().to_string();
    assert!(
        error.contains("nowhere/redis:9") && error.contains("refused"),
        "{error}"
    );
    world.engine.pull(&image).await.unwrap();
    assert!(world.engine.has_image(&image).await.unwrap());
}

#[tokio::test]
async fn what_was_chosen_reaches_the_container_and_a_change_makes_it_anew() {
    let mut world = world("postgres", Behaviour::default());
    let first = world.up().await.unwrap();
    let exposed = Exposed {
        port: 5432,
        host_ip: None,
        host_port: 15432,
    };
    world.service.shape = Shape {
        options: vec!["-c".to_owned(), "jit=off".to_owned()],
        env: vec!["POSTGRES_DB=mine".to_owned(), "TOKEN=t0ken".to_owned()],
        exposed: vec![exposed],
        ..Shape::default()
    };
    let second = world.up().await.unwrap();
    assert_ne!(second.id, first.id);
    assert!(
        second
            .command
            .ends_with(&["-c".to_owned(), "jit=off".to_owned()])
    );
    let expected = [
        "PGDATA=/var/lib/postgresql/data",
        "POSTGRES_PASSWORD=s3cret",
        "POSTGRES_DB=mine",
        "TOKEN=t0ken",
    ];
    assert_eq!(second.env, expected);
    assert!(!format!("{:?}", second.labels).contains("t0ken"));
    assert_eq!(world.up().await.unwrap().id, second.id);
    assert_eq!(world.fake.volumes(), ["volume-1"]);
}

#[tokio::test]
async fn configuration_has_a_folder_that_goes_with_the_service() {
    let world = world("mariadb", Behaviour::default());
    world.up().await.unwrap();
    let folder = world.folder.path().join("services/mariadb/my-data");
    assert!(folder.join("config").is_dir());
    world
        .engine
        .remove(&world.addon, &world.service)
        .await
        .unwrap();
    assert!(!folder.exists());
}
