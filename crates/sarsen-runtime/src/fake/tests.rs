//! What the fake can do beyond the contract: programs, faults, and an engine that goes away.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::{
    BuildItem, BuildSpec, ContainerRuntime, ContainerSpec, ContainerStatus, LogOptions,
    RestartPolicy,
};

fn spec(image: &str) -> ContainerSpec {
    ContainerSpec {
        image: image.to_owned(),
        ..ContainerSpec::default()
    }
}

fn fake(behaviour: Behaviour) -> FakeRuntime {
    let fake = FakeRuntime::new();
    fake.behave("app", behaviour);
    fake
}

async fn run(fake: &FakeRuntime, spec: &ContainerSpec) -> ContainerId {
    let id = fake.create(spec).await.unwrap();
    fake.start(&id).await.unwrap();
    id
}

async fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn ports_answer_while_the_container_runs() {
    let fake = fake(Behaviour {
        listens: vec![5000],
        http_status: 503,
        ..Behaviour::default()
    });
    let spec = ContainerSpec {
        name: Some("web.1".parse().unwrap()),
        ..spec("app")
    };
    let id = run(&fake, &spec).await;
    let other = run(&fake, &super::tests::spec("app")).await;
    let address = fake.inspect(&id).await.unwrap().address().unwrap();
    let other = fake.inspect(&other).await.unwrap().address().unwrap();
    assert!(address.is_loopback() && address != other);
    let address = SocketAddr::new(address, 5000);
    let answer = get(address).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nweb.1"));
    fake.stop(&id, std::time::Duration::ZERO).await.unwrap();
    while get(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn faults_hit_the_next_call_and_calls_are_recorded() {
    let fake = fake(Behaviour::default());
    let fault = RuntimeError::Engine("no space left on device".to_owned());
    fake.fail_next(Operation::Start, fault);
    let id = fake.create(&spec("app")).await.unwrap();
    assert!(fake.start(&id).await.is_err());
    fake.start(&id).await.unwrap();
    let name = fake.inspect(&id).await.unwrap().name;
    assert_eq!(fake.calls_of(Operation::Start), [name.clone(), name]);
    assert_eq!(fake.calls().len(), 4);
}

#[tokio::test]
async fn what_cannot_start_says_so() {
    let fake = fake(Behaviour {
        start_error: Some("exec format error".to_owned()),
        ..Behaviour::default()
    });
    let id = fake.create(&spec("app")).await.unwrap();
    let error = fake.start(&id).await.unwrap_err();
    assert_eq!(error.to_string(), "exec format error");
    let info = fake.inspect(&id).await.unwrap();
    assert_eq!(info.error.as_deref(), Some("exec format error"));
    assert!(!info.is_running());
}

#[tokio::test]
async fn an_engine_that_goes_away_comes_back() {
    let fake = fake(Behaviour::default());
    let id = run(&fake, &spec("app")).await;
    let mut events = fake.events(None).await.unwrap();
    let (end, ()) = tokio::join!(fake.wait(&id), async { fake.go_away() });
    assert!(matches!(end, Err(RuntimeError::Unreachable(_))));
    assert!(matches!(
        events.next().await,
        Some(Err(RuntimeError::Unreachable(_)))
    ));
    assert!(events.next().await.is_none());
    assert!(matches!(
        fake.info().await,
        Err(RuntimeError::Unreachable(_))
    ));
    fake.come_back();
    assert!(fake.inspect(&id).await.unwrap().is_running());
}

#[tokio::test]
async fn restart_policies_hold() {
    let fake = fake(Behaviour::default());
    let with = |restart| ContainerSpec {
        restart,
        ..spec("app")
    };
    let always = run(&fake, &with(RestartPolicy::Always)).await;
    fake.exit(&always, 0).unwrap();
    let info = fake.inspect(&always).await.unwrap();
    assert!(info.is_running() && info.restart_count == 1);

    let twice = run(&fake, &with(RestartPolicy::OnFailure(2))).await;
    for _ in 0..3 {
        fake.exit(&twice, 1).unwrap();
    }
    let info = fake.inspect(&twice).await.unwrap();
    assert_eq!(
        (info.status, info.restart_count),
        (ContainerStatus::Exited, 2)
    );
    let clean = run(&fake, &with(RestartPolicy::OnFailure(2))).await;
    fake.exit(&clean, 0).unwrap();
    assert_eq!(fake.inspect(&clean).await.unwrap().restart_count, 0);

    fake.behave(
        "app",
        Behaviour {
            exit: Some(1),
            ..Behaviour::default()
        },
    );
    let given_up = run(&fake, &with(RestartPolicy::OnFailure(3))).await;
    let info = fake.inspect(&given_up).await.unwrap();
    assert_eq!(
        (info.status, info.restart_count),
        (ContainerStatus::Exited, 3)
    );
    let looping = run(&fake, &with(RestartPolicy::Always)).await;
    let info = fake.inspect(&looping).await.unwrap();
    assert_eq!(info.status, ContainerStatus::Restarting);
    fake.stop(&looping, std::time::Duration::ZERO)
        .await
        .unwrap();
    let info = fake.inspect(&looping).await.unwrap();
    assert_eq!(info.status, ContainerStatus::Exited);
}

#[tokio::test]
async fn a_one_off_reads_its_input_and_is_gone() {
    let fake = fake(Behaviour {
        exit: Some(4),
        echo_stdin: true,
        ..Behaviour::default()
    });
    let spec = ContainerSpec {
        stdin: true,
        auto_remove: true,
        ..spec("app")
    };
    let id = fake.create(&spec).await.unwrap();
    let mut streams = fake.attach(&id).await.unwrap();
    let (code, ()) = tokio::join!(fake.wait(&id), async {
        fake.start(&id).await.unwrap();
        streams.stdin.write_all(b"ping").await.unwrap();
        let chunk = streams.output.next().await.unwrap().unwrap();
        assert_eq!(chunk.bytes, "ping");
        streams.stdin.shutdown().await.unwrap();
        assert!(streams.output.next().await.is_none());
    });
    assert_eq!(code.unwrap(), 4);
    assert!(fake.containers().is_empty());
}

#[tokio::test]
async fn a_built_image_behaves_as_its_name_was_told_to() {
    let fake = fake(Behaviour {
        log_lines: vec!["built".to_owned()],
        ..Behaviour::default()
    });
    let before = fake.add_image("app");
    let build = BuildSpec {
        tag: "app:latest".to_owned(),
        ..BuildSpec::default()
    };
    let context = Box::pin(stream::iter([Ok(Bytes::from_static(b"tar"))]));
    let items = fake.build(&build, context).await.unwrap();
    let items: Vec<_> = items.collect().await;
    let Some(Ok(BuildItem::Done(image))) = items.last() else {
        panic!("{items:?}");
    };
    assert_ne!(*image, before);
    let id = run(&fake, &spec(image.as_str())).await;
    let logs = fake.logs(&id, LogOptions::default()).await.unwrap();
    let logs: Vec<_> = logs.map(|chunk| chunk.unwrap().bytes).collect().await;
    assert_eq!(logs, ["built\n"]);
}

#[tokio::test]
async fn health_changes_and_lines_come_when_the_test_says() {
    let fake = fake(Behaviour {
        health: ImageHealth::Starting,
        ..Behaviour::default()
    });
    let id = run(&fake, &spec("app")).await;
    let mut events = fake.events(None).await.unwrap();
    assert_eq!(
        fake.inspect(&id).await.unwrap().health,
        ImageHealth::Starting
    );
    fake.set_health(&id, ImageHealth::Healthy).unwrap();
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.kind, ContainerEventKind::Health(ImageHealth::Healthy));
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let mut logs = fake.logs(&id, follow).await.unwrap();
    let (line, ()) = tokio::join!(logs.next(), async {
        fake.log(&id, StdStream::Stderr, "careful").unwrap();
    });
    assert_eq!(line.unwrap().unwrap().bytes, "careful\n");
}
