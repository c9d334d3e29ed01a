//! The story that every engine tells alike.

use std::io::Read;
use std::time::Duration;

use futures_util::{StreamExt, future};
use sarsen_domain::ContainerId;
use sarsen_runtime::fake::{Behaviour, ScriptedExec};
use sarsen_runtime::{
    CommitSpec, ContainerEvent, ContainerEventKind, ContainerSpec, ContainerStatus, EngineStream,
    Exec, ExecSpec, LogOptions, NetworkPlace, RuntimeError, StdStream,
};
use tokio::io::AsyncWriteExt;

use crate::lab::{BASE, Lab, eventually, image_ref, soon, tar_of, text_of, with_docker, with_fake};

/// Says something and runs until it is asked to stop.
const SERVER: &str = "echo hello; echo oops >&2; trap 'exit 143' TERM; sleep 1000 & wait";
const GRACE: Duration = Duration::from_secs(20);

/// Runs each part of the story on both engines.
macro_rules! on_both {
    ($($part:ident),* $(,)?) => {
        mod docker {
            $(#[tokio::test]
            async fn $part() {
                super::with_docker(super::$part).await;
            })*
        }
        mod fake {
            $(#[tokio::test]
            async fn $part() {
                super::with_fake(super::$part).await;
            })*
        }
    };
}

on_both!(
    a_container_lives_and_goes,
    names_are_unique_and_can_change,
    commands_run_in_it,
    logs_can_be_followed_and_cut,
    events_tell_its_life,
    a_wait_gives_the_exit_code,
    files_go_in_and_come_out,
    images_are_made_named_and_removed,
    volumes_stay_until_nobody_uses_them,
    containers_share_networks,
    what_is_not_there_is_not_found,
);

/// On the fake, what the programs of the base image do.
fn behave(lab: &Lab) {
    let Some(fake) = &lab.fake else { return };
    let exec = ScriptedExec {
        matches: "cat; exit 5".to_owned(),
        error_output: "warned\n".to_owned(),
        echo_stdin: true,
        exit: 5,
        ..ScriptedExec::default()
    };
    let behaviour = Behaviour {
        log_lines: vec!["hello".to_owned()],
        execs: vec![exec],
        ..Behaviour::default()
    };
    fake.behave(BASE, behaviour);
}

async fn server(lab: &Lab) -> ContainerId {
    behave(lab);
    lab.run(&lab.spec(BASE, SERVER)).await
}

async fn says_hello(lab: &Lab, id: &ContainerId) {
    let hello = async || {
        let logs = lab.runtime.logs(id, LogOptions::default()).await.unwrap();
        let text = text_of(logs, StdStream::Stdout).await;
        (text == "hello\n").then_some(())
    };
    eventually("the program says hello", hello).await;
}

async fn a_container_lives_and_goes(lab: &Lab) {
    behave(lab);
    let runtime = &lab.runtime;
    let mut spec = lab.spec(BASE, SERVER);
    spec.labels.insert("colour".to_owned(), "blue".to_owned());
    spec.env = vec!["A=b c".to_owned()];
    spec.expose = vec![5000];
    let id = runtime.create(&spec).await.unwrap();
    let info = runtime.inspect(&id).await.unwrap();
    assert_eq!(info.status, ContainerStatus::Created);
    assert_eq!(
        (info.exit_code, &info.started_at, info.address()),
        (None, &None, None)
    );

    runtime.start(&id).await.unwrap();
    runtime.start(&id).await.unwrap();
    let info = runtime.inspect(&id).await.unwrap();
    assert!(info.is_running() && info.pid > 0 && info.address().is_some());
    assert!(info.env.contains(&"A=b c".to_owned()));
    assert_eq!(
        (info.image.as_str(), info.labels["colour"].as_str()),
        (BASE, "blue")
    );
    assert!(info.ports.iter().any(|port| port.port == 5000 && !port.udp));
    says_hello(lab, &id).await;

    let both = [lab.owner(), "colour=blue".to_owned()];
    assert_eq!(runtime.list(&both).await.unwrap(), [info]);
    let other = [lab.owner(), "colour=red".to_owned()];
    assert_eq!(runtime.list(&other).await.unwrap(), []);

    runtime.stop(&id, GRACE).await.unwrap();
    runtime.stop(&id, GRACE).await.unwrap();
    let info = runtime.inspect(&id).await.unwrap();
    assert_eq!(
        (info.status, info.exit_code),
        (ContainerStatus::Exited, Some(143))
    );
    assert_eq!((info.pid, info.address()), (0, None));

    runtime.remove(&id).await.unwrap();
    runtime.remove(&id).await.unwrap();
    runtime.stop(&id, GRACE).await.unwrap();
    let error = runtime.inspect(&id).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFound(_)), "{error:?}");
}

async fn names_are_unique_and_can_change(lab: &Lab) {
    behave(lab);
    let runtime = &lab.runtime;
    let (old, new) = (lab.container_name("old"), lab.container_name("new"));
    let spec = ContainerSpec {
        name: Some(old.clone()),
        ..lab.spec(BASE, SERVER)
    };
    let id = lab.run(&spec).await;
    let error = runtime.create(&spec).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Conflict(_)), "{error:?}");

    runtime.rename(&id, &new).await.unwrap();
    assert_eq!(runtime.find(&old).await.unwrap(), None);
    let found = runtime.find(&new).await.unwrap().unwrap();
    assert_eq!((&found.id, found.name.as_str()), (&id, new.as_str()));

    let second = runtime.create(&spec).await.unwrap();
    let error = runtime.rename(&second, &new).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Conflict(_)), "{error:?}");
    runtime.remove(&id).await.unwrap();
    assert_eq!(runtime.find(&new).await.unwrap(), None);
}

async fn commands_run_in_it(lab: &Lab) {
    let id = server(lab).await;
    let spec = ExecSpec {
        command: ["sh", "-c", "echo warned >&2; cat; exit 5"]
            .map(str::to_owned)
            .to_vec(),
        stdin: true,
        ..ExecSpec::default()
    };
    let Exec { id: exec, streams } = lab.runtime.exec(&id, &spec).await.unwrap();
    let mut stdin = streams.stdin;
    stdin.write_all(b"ping\n").await.unwrap();
    stdin.shutdown().await.unwrap();
    let chunks: Vec<_> = soon("the command", streams.output.collect()).await;
    let of = |stream| {
        let chunks = chunks.iter().map(|chunk| chunk.as_ref().unwrap());
        let bytes: Vec<u8> = chunks
            .filter(|chunk| chunk.stream == stream)
            .flat_map(|chunk| chunk.bytes.to_vec())
            .collect();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(of(StdStream::Stdout), "ping\n");
    assert_eq!(of(StdStream::Stderr), "warned\n");
    let code = soon("its exit code", lab.runtime.exec_exit_code(&exec)).await;
    assert_eq!(code.unwrap(), 5);

    lab.runtime.stop(&id, GRACE).await.unwrap();
    let Err(error) = lab.runtime.exec(&id, &spec).await else {
        panic!("a stopped container ran a command");
    };
    assert!(matches!(error, RuntimeError::Conflict(_)), "{error:?}");
}

async fn logs_can_be_followed_and_cut(lab: &Lab) {
    let id = server(lab).await;
    says_hello(lab, &id).await;
    let options = LogOptions {
        follow: true,
        timestamps: true,
        tail: None,
    };
    let logs = lab.runtime.logs(&id, options).await.unwrap();
    lab.runtime.stop(&id, GRACE).await.unwrap();
    let text = text_of(logs, StdStream::Stdout).await;
    let (time, line) = text.split_once(' ').unwrap();
    assert_eq!(line, "hello\n");
    assert!(time.starts_with('2') && time.contains('T'), "{time}");

    let options = LogOptions {
        tail: Some(0),
        ..LogOptions::default()
    };
    let logs = lab.runtime.logs(&id, options).await.unwrap();
    assert_eq!(text_of(logs, StdStream::Stdout).await, "");
}

async fn events_tell_its_life(lab: &Lab) {
    behave(lab);
    let runtime = &lab.runtime;
    let events = runtime.events(None).await.unwrap();
    let id = server(lab).await;
    runtime
        .rename(&id, &lab.container_name("renamed"))
        .await
        .unwrap();
    runtime.stop(&id, GRACE).await.unwrap();
    runtime.remove(&id).await.unwrap();
    let story = until_destroyed(events, &id).await;
    let kinds: Vec<_> = story.iter().map(|event| event.kind).collect();
    let rest = [
        ContainerEventKind::Rename,
        ContainerEventKind::Stopping,
        ContainerEventKind::Die { exit_code: 143 },
        ContainerEventKind::Destroy,
    ];
    assert_eq!(
        (kinds[0], &kinds[1..]),
        (ContainerEventKind::Start, &rest[..])
    );
    assert!(story.is_sorted_by_key(|event| event.at));

    let later = runtime.events(Some(story[1].at)).await.unwrap();
    let later = until_destroyed(later, &id).await;
    assert_eq!(later, story[2..]);
}

async fn until_destroyed(
    events: EngineStream<ContainerEvent>,
    id: &ContainerId,
) -> Vec<ContainerEvent> {
    let mut over = false;
    let ours = events
        .map(Result::unwrap)
        // Every start and end also joins and leaves a network.
        .filter(|event| future::ready(event.id == *id && event.kind != ContainerEventKind::Network))
        .take_while(|event| {
            let ended = over;
            over |= event.kind == ContainerEventKind::Destroy;
            future::ready(!ended)
        });
    let mut ours = Box::pin(ours);
    let mut story = Vec::new();
    while story
        .last()
        .is_none_or(|event: &ContainerEvent| event.kind != ContainerEventKind::Destroy)
    {
        story.push(soon("the next event", ours.next()).await.unwrap());
    }
    story
}

async fn a_wait_gives_the_exit_code(lab: &Lab) {
    let image = format!("{}-fails:1", lab.name);
    behave(lab);
    lab.runtime
        .tag(&image_ref(BASE), &format!("{}-fails", lab.name), "1")
        .await
        .unwrap();
    if let Some(fake) = &lab.fake {
        let behaviour = Behaviour {
            exit: Some(3),
            ..Behaviour::default()
        };
        fake.behave(&image, behaviour);
    }
    let id = lab
        .runtime
        .create(&lab.spec(&image, "exit 3"))
        .await
        .unwrap();
    let (before, started) = tokio::join!(
        soon("the end", lab.runtime.wait(&id)),
        lab.runtime.start(&id)
    );
    started.unwrap();
    assert_eq!(before.unwrap(), 3);
    assert_eq!(lab.runtime.wait(&id).await.unwrap(), 3);
    let info = lab.runtime.inspect(&id).await.unwrap();
    assert_eq!(
        (info.status, info.exit_code),
        (ContainerStatus::Exited, Some(3))
    );
    lab.runtime.remove(&id).await.unwrap();
    lab.runtime.remove_image(&image_ref(&image)).await.unwrap();
}

async fn files_go_in_and_come_out(lab: &Lab) {
    behave(lab);
    let id = lab.runtime.create(&lab.spec(BASE, SERVER)).await.unwrap();
    let tar = tar_of(&[("one.txt", "first"), ("two.txt", "second")]);
    lab.runtime.upload(&id, "/tmp", tar).await.unwrap();
    let tar = lab.runtime.download(&id, "/tmp/two.txt").await.unwrap();
    let pieces: Vec<_> = tar.map(Result::unwrap).collect().await;
    let bytes = pieces.concat();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut entries = archive.entries().unwrap();
    let mut entry = entries.next().unwrap().unwrap();
    let mut content = String::new();
    entry.read_to_string(&mut content).unwrap();
    assert_eq!(entry.path().unwrap().to_str(), Some("two.txt"));
    assert_eq!(content, "second");

    let Err(error) = lab.runtime.download(&id, "/tmp/three.txt").await else {
        panic!("a file out of nothing");
    };
    assert!(matches!(error, RuntimeError::NotFound(_)), "{error:?}");
    let broken = RuntimeError::Engine("the archive broke off".to_owned());
    let tar = Box::pin(futures_util::stream::iter([Err(broken)]));
    let error = lab.runtime.upload(&id, "/tmp", tar).await.unwrap_err();
    assert_eq!(error.to_string(), "the archive broke off");
}

async fn images_are_made_named_and_removed(lab: &Lab) {
    let id = server(lab).await;
    let runtime = &lab.runtime;
    let spec = CommitSpec {
        repository: lab.name.clone(),
        tag: "one".to_owned(),
        changes: vec![
            "LABEL colour=green".to_owned(),
            r#"CMD ["serve", "it"]"#.to_owned(),
            "USER nobody".to_owned(),
            "EXPOSE 53/udp".to_owned(),
        ],
    };
    let image = runtime.commit(&id, &spec).await.unwrap();
    assert!(image.is_id());
    let (one, two) = (format!("{}:one", lab.name), format!("{}:two", lab.name));
    let info = runtime.image(&image_ref(&one)).await.unwrap();
    assert_eq!((&info.id, &info.tags), (&image, &vec![one.clone()]));
    assert_eq!(
        (info.labels["colour"].as_str(), info.user.as_str()),
        ("green", "nobody")
    );
    assert_eq!(info.command, ["serve", "it"]);
    assert_eq!(info.exposed, [(53, true)]);
    assert!(!info.has_healthcheck);

    runtime.tag(&image, &lab.name, "two").await.unwrap();
    assert_eq!(runtime.image(&image_ref(&two)).await.unwrap().id, image);
    let listed = runtime
        .images(&["colour=green".to_owned(), lab.owner()])
        .await;
    assert_eq!(listed.unwrap().len(), 1);
    runtime.remove_image(&image_ref(&one)).await.unwrap();
    let error = runtime.image(&image_ref(&one)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFound(_)), "{error:?}");

    let user = runtime.create(&lab.spec(&two, "true")).await.unwrap();
    let error = runtime.remove_image(&image_ref(&two)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Conflict(_)), "{error:?}");
    runtime.remove(&user).await.unwrap();
    runtime.remove_image(&image_ref(&two)).await.unwrap();
    runtime.remove_image(&image_ref(&two)).await.unwrap();
    assert!(runtime.image(&image).await.is_err());
}

async fn volumes_stay_until_nobody_uses_them(lab: &Lab) {
    behave(lab);
    let runtime = &lab.runtime;
    let labels = [("colour".to_owned(), "green".to_owned())];
    runtime.ensure_volume(&lab.name, &labels).await.unwrap();
    runtime.ensure_volume(&lab.name, &labels).await.unwrap();
    let spec = ContainerSpec {
        binds: vec![format!("{}:/data", lab.name)],
        ..lab.spec(BASE, SERVER)
    };
    let id = runtime.create(&spec).await.unwrap();
    let error = runtime.remove_volume(&lab.name).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Conflict(_)), "{error:?}");
    runtime.remove(&id).await.unwrap();
    runtime.remove_volume(&lab.name).await.unwrap();
    runtime.remove_volume(&lab.name).await.unwrap();
}

async fn what_is_not_there_is_not_found(lab: &Lab) {
    let runtime = &lab.runtime;
    let id = ContainerId::parse(&"0".repeat(64)).unwrap();
    let name = lab.container_name("nobody");
    let image = format!("{}-nothing", lab.name);
    let command = ExecSpec {
        command: vec!["true".to_owned()],
        ..ExecSpec::default()
    };
    let missing = [
        runtime.create(&lab.spec(&image, "true")).await.map(drop),
        runtime.start(&id).await,
        runtime.rename(&id, &name).await,
        runtime.wait(&id).await.map(drop),
        runtime.logs(&id, LogOptions::default()).await.map(drop),
        runtime.attach(&id).await.map(drop),
        runtime.exec(&id, &command).await.map(drop),
        runtime.upload(&id, "/tmp", tar_of(&[])).await,
        runtime.download(&id, "/tmp").await.map(drop),
        runtime.image(&image_ref(&image)).await.map(drop),
        runtime.tag(&image_ref(&image), &lab.name, "x").await,
    ];
    for (number, outcome) in missing.into_iter().enumerate() {
        assert!(
            matches!(outcome, Err(RuntimeError::NotFound(_))),
            "{number}: {outcome:?}"
        );
    }
    runtime.remove(&id).await.unwrap();
    runtime.remove_image(&image_ref(&image)).await.unwrap();
    runtime.remove_volume(&lab.name).await.unwrap();
    assert_eq!(runtime.find(&name).await.unwrap(), None);
}

async fn containers_share_networks(lab: &Lab) {
    behave(lab);
    let runtime = &lab.runtime;
    let labels = [("com.sarsen.owner".to_owned(), lab.name.clone())];
    for _ in 0..2 {
        runtime.ensure_network(&lab.name, &labels).await.unwrap();
    }
    let place = NetworkPlace {
        network: lab.name.clone(),
        aliases: vec!["the-server".to_owned()],
    };
    let serving = ContainerSpec {
        network: Some(place),
        ..lab.spec(BASE, SERVER)
    };
    let serving = lab.run(&serving).await;
    let serving = runtime.inspect(&serving).await.unwrap();
    let networks: Vec<_> = serving.addresses.keys().cloned().collect();
    assert_eq!(networks, [lab.name.as_str()], "on no other network");

    let visitor = runtime.create(&lab.spec(BASE, SERVER)).await.unwrap();
    for _ in 0..2 {
        let joined = runtime.connect_network(&visitor, &lab.name, &[]).await;
        joined.unwrap();
    }
    runtime.start(&visitor).await.unwrap();
    let again = runtime.connect_network(&visitor, &lab.name, &[]).await;
    again.unwrap();
    let info = runtime.inspect(&visitor).await.unwrap();
    assert_eq!(info.address(), info.addresses.get("bridge").copied());
    assert!(
        info.addresses.contains_key(&lab.name),
        "{:?}",
        info.addresses
    );
    if lab.fake.is_none() {
        let look_up = ExecSpec {
            command: ["getent", "hosts", "the-server"]
                .map(str::to_owned)
                .to_vec(),
            ..ExecSpec::default()
        };
        let exec = runtime.exec(&visitor, &look_up).await.unwrap();
        let found = text_of(exec.streams.output, StdStream::Stdout).await;
        assert!(
            found.contains(&serving.addresses[&lab.name].to_string()),
            "{found}"
        );
    }

    // Stopped containers leave it too, and start again.
    runtime.stop(&visitor, GRACE).await.unwrap();
    for _ in 0..2 {
        runtime.remove_network(&lab.name).await.unwrap();
    }
    runtime.start(&visitor).await.unwrap();
    let lost = runtime.connect_network(&visitor, &lab.name, &[]).await;
    assert!(matches!(lost, Err(RuntimeError::NotFound(_))), "{lost:?}");
}
