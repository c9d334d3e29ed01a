//! Terminals: sizes, keys, line ends, and commands that take the terminal over.

use std::process::Stdio;

use russh::{Channel, ChannelMsg, Sig};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::streams::output;
use super::{Fixture, LONG, eventually};

async fn with_terminal(fixture: &Fixture, command: &str) -> Channel<russh::client::Msg> {
    let client = fixture.client().await;
    let channel = client.channel_open_session().await.unwrap();
    channel
        .request_pty(true, "xterm-256color", 80, 24, 0, 0, &[])
        .await
        .unwrap();
    channel.exec(true, command).await.unwrap();
    // The connection lives as long as its handle.
    fixture.tasks.spawn(async move { client.await.ok() });
    channel
}

async fn see(channel: &mut Channel<russh::client::Msg>, text: &str) {
    let mut seen = String::new();
    let wait = async {
        while !seen.contains(text) {
            match channel.wait().await {
                Some(ChannelMsg::Data { data }) => seen.push_str(str::from_utf8(&data).unwrap()),
                Some(_) => {}
                None => break,
            }
        }
    };
    timeout(LONG, wait).await.ok();
    assert!(seen.contains(text), "{seen:?} lacks {text:?}");
}

#[tokio::test]
async fn sizes_reach_the_command() {
    let fixture = Fixture::start().await;
    let mut channel = with_terminal(&fixture, "size").await;
    see(&mut channel, "xterm-256color 80x24\r\n").await;
    channel.window_change(132, 50, 0, 0).await.unwrap();
    see(&mut channel, "xterm-256color 132x50\r\n").await;
}

#[tokio::test]
async fn a_prompt_can_be_answered() {
    let fixture = Fixture::start().await;
    let mut channel = with_terminal(&fixture, "ask").await;
    see(&mut channel, "name?\r\n").await;
    channel.data(&b"bobx\x7f\r"[..]).await.unwrap();
    let (seen, code) = timeout(LONG, output(&mut channel)).await.unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(seen, "bobx\x08 \x08\r\nhello \"bob\\n\"\r\n");
}

#[tokio::test]
async fn a_real_client_with_a_forced_terminal() {
    let fixture = Fixture::start().await;
    let mut ssh = fixture.ssh_as("alice", &["-tt", "-o", "LogLevel=QUIET", "dokku@127.0.0.1"]);
    let mut ssh = ssh.arg("ask").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = ssh.stdin.take().unwrap();
    stdin.write_all(b"carol\n").await.unwrap();
    let output = timeout(LONG, ssh.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("hello \"carol\\n\"\r\n"), "{text:?}");
}

#[tokio::test]
async fn raw_bytes_pass_untouched() {
    let fixture = Fixture::start().await;
    let mut channel = with_terminal(&fixture, "raw").await;
    see(&mut channel, "before\r\n").await;
    channel.data(&b"\x03\r\x7f"[..]).await.unwrap();
    let (seen, code) = timeout(LONG, output(&mut channel)).await.unwrap();
    assert_eq!(code, Some(0));
    assert!(seen.starts_with("[3, 13, 127]"), "{seen:?}");
    assert!(seen.ends_with("after\r\n"), "{seen:?}");
}

#[tokio::test]
async fn control_c_ends_a_command_that_is_not_raw() {
    let fixture = Fixture::start().await;
    let mut channel = with_terminal(&fixture, "wait").await;
    eventually("it waits", || fixture.front.happened("start wait") == 1).await;
    channel.data(&b"\x03"[..]).await.unwrap();
    let (seen, code) = timeout(LONG, output(&mut channel)).await.unwrap();
    assert_eq!((seen.as_str(), code), ("^C\r\n", Some(130)));
    eventually("it is told", || fixture.front.happened("gone") == 1).await;
}

#[tokio::test]
async fn a_signal_does_the_same() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    let mut channel = client.channel_open_session().await.unwrap();
    channel.exec(true, "wait").await.unwrap();
    eventually("it waits", || fixture.front.happened("start wait") == 1).await;
    channel.signal(Sig::TERM).await.unwrap();
    assert_eq!(
        timeout(LONG, output(&mut channel)).await.unwrap().1,
        Some(130)
    );
    eventually("it is told", || fixture.front.happened("gone") == 1).await;
}

#[tokio::test]
async fn control_d_ends_the_input() {
    let fixture = Fixture::start().await;
    let mut channel = with_terminal(&fixture, "count").await;
    channel.data(&b"ab\r\x04"[..]).await.unwrap();
    let (seen, code) = timeout(LONG, output(&mut channel)).await.unwrap();
    assert_eq!((seen.as_str(), code), ("ab\r\n3\r\n", Some(0)));
}
