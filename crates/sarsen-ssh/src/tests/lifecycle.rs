//! Clients that go, clients that hang, and a server that stops.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{Instant, timeout};

use super::{Fixture, LONG, eventually, finish};
use crate::{SshServer, SshSettings};

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[tokio::test]
async fn a_client_that_goes_takes_its_command_along() {
    let fixture = Fixture::start().await;
    for (number, signal) in [Signal::SIGINT, Signal::SIGKILL].into_iter().enumerate() {
        let mut ssh = fixture.ssh("wait").spawn().unwrap();
        eventually("it waits", || {
            fixture.front.happened("start wait") == number + 1
        })
        .await;
        let start = Instant::now();
        send(&ssh, signal);
        eventually("it is told", || {
            fixture.front.happened("gone") == number + 1
        })
        .await;
        assert!(start.elapsed() < Duration::from_secs(5));
        ssh.wait().await.unwrap();
    }
}

#[tokio::test]
async fn closing_one_channel_is_enough() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    let channel = client.channel_open_session().await.unwrap();
    channel.exec(true, "wait").await.unwrap();
    eventually("it waits", || fixture.front.happened("start wait") == 1).await;
    channel.close().await.unwrap();
    eventually("it is told", || fixture.front.happened("gone") == 1).await;
    assert!(!client.is_closed());
}

#[tokio::test]
async fn a_stopped_client_is_dropped() {
    let fixture = Fixture::with(|settings| {
        settings.keepalive_interval = Duration::from_millis(100);
        settings.keepalive_max = 2;
    })
    .await;
    for (verb, end) in [("wait", "gone"), ("flood", "flood: BrokenPipe")] {
        let mut ssh = fixture.ssh(verb).spawn().unwrap();
        eventually("it runs", || {
            fixture.front.happened(&format!("start {verb}")) == 1
        })
        .await;
        // Alive and silent is no reason.
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(fixture.front.happened(end), 0);
        send(&ssh, Signal::SIGSTOP);
        eventually("it is told", || fixture.front.happened(end) == 1).await;
        ssh.kill().await.unwrap();
    }
}

#[tokio::test]
async fn running_commands_finish_and_idle_connections_do_not_wait() {
    let fixture = Fixture::start().await;
    let _idle = fixture.client().await;
    let mut held = tokio::task::JoinSet::new();
    for _ in 0..8 {
        held.spawn(finish(fixture.ssh("hold")));
    }
    eventually("they are held", || {
        fixture.front.happened("start hold") == 8
    })
    .await;
    fixture.shutdown.cancel();
    let closed = async { while TcpStream::connect(fixture.address).await.is_ok() {} };
    timeout(LONG, closed).await.unwrap();
    for _ in 0..8 {
        fixture.front.release();
    }
    for (code, out, err) in held.join_all().await {
        assert_eq!((code, out.as_str()), (0, "held\n"), "{err}");
    }
    timeout(LONG, fixture.tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn who_is_logging_in_when_the_door_closes_is_still_served() {
    let fixture = Fixture::start().await;
    // Nobody waits for one who has asked for something already.
    let done = fixture.client().await;
    let channel = done.channel_open_session().await.unwrap();
    channel.exec(true, "wait").await.unwrap();
    eventually("it waits", || fixture.front.happened("start wait") == 1).await;
    let client = fixture.client().await;
    fixture.logins.close();
    let closed = async { while TcpStream::connect(fixture.address).await.is_ok() {} };
    timeout(LONG, closed).await.unwrap();
    let mut settled = Box::pin(fixture.logins.settled());
    assert!(
        timeout(Duration::from_millis(100), &mut settled)
            .await
            .is_err()
    );
    let channel = client.channel_open_session().await.unwrap();
    channel.exec(true, "hold").await.unwrap();
    timeout(Duration::from_secs(2), settled).await.unwrap();
    eventually("it is held", || fixture.front.happened("start hold") == 1).await;
    fixture.front.release();
    // Who has nothing to ask is not waited for either.
    let fixture = Fixture::start().await;
    let _idle = fixture.client().await;
    fixture.logins.close();
    timeout(LONG, fixture.logins.settled()).await.unwrap();
}

#[tokio::test]
async fn the_deadline_ends_what_is_left() {
    let fixture = Fixture::with(|settings| settings.drain = Duration::from_millis(200)).await;
    let mut ssh = fixture.ssh("wait").spawn().unwrap();
    eventually("it waits", || fixture.front.happened("start wait") == 1).await;
    let start = Instant::now();
    fixture.shutdown.cancel();
    timeout(LONG, fixture.tasks.wait()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(fixture.front.happened("gone"), 1);
    assert_eq!(
        timeout(LONG, ssh.wait()).await.unwrap().unwrap().code(),
        Some(255)
    );
}

#[tokio::test]
async fn the_host_key_outlives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SshSettings::new(folder.path().join("key"));
    let start = || SshServer::new(settings.clone(), super::Fake::default()).unwrap();
    let first = start().fingerprint().to_owned();
    assert!(first.starts_with("SHA256:"));
    assert_eq!(start().fingerprint(), first);
}
