//! Bytes in both directions, unchanged, in order, and never at the price of another client.

use std::process::Stdio;
use std::time::Duration;

use russh::ChannelMsg;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Fixture, LONG, eventually, finish};

#[tokio::test]
async fn exit_codes_and_both_outputs_arrive() {
    let fixture = Fixture::start().await;
    for code in [0, 1, 20, 137, 254] {
        assert_eq!(fixture.run(&format!("exit {code}")).await.0, code);
    }
    let (code, out, err) = fixture.run("both").await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "to stdout\n", "to stderr\n")
    );
}

#[tokio::test]
async fn fifty_megabytes_come_back_unchanged() {
    let fixture = Fixture::start().await;
    // Every byte value, in no short cycle.
    let sent: Vec<u8> = (0..50 * 1024 * 1024_u32)
        .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    let mut ssh = fixture.ssh("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = ssh.stdin.take().unwrap();
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
    };
    let ((), output) = timeout(LONG, async { tokio::join!(write, ssh.wait_with_output()) })
        .await
        .unwrap();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stdout == sent,
        "{} bytes came back",
        output.stdout.len()
    );
}

#[tokio::test]
async fn a_command_that_ends_does_not_wait_for_input() {
    let fixture = Fixture::start().await;
    let mut ssh = fixture.ssh("exit 7");
    ssh.stdin(Stdio::piped());
    let mut ssh = ssh.spawn().unwrap();
    let _open = ssh.stdin.take().unwrap();
    assert_eq!(
        timeout(LONG, ssh.wait()).await.unwrap().unwrap().code(),
        Some(7)
    );
}

#[tokio::test]
async fn what_a_command_leaves_behind_does_not_hold_the_client() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.run("leak").await.0, 3);
    assert_eq!(fixture.run("panic").await.0, 1);
}

#[tokio::test]
async fn fifty_commands_at_once() {
    let fixture = Fixture::start().await;
    let commands = (0..50).map(|number| {
        let ssh = fixture.ssh(&format!("exit {number}"));
        async move { (number, finish(ssh).await) }
    });
    let mut running = tokio::task::JoinSet::new();
    for command in commands {
        running.spawn(command);
    }
    for (number, (code, _, err)) in running.join_all().await {
        assert_eq!(code, number, "{err}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_only_itself() {
    let fixture = Fixture::start().await;
    let mut ssh = fixture.ssh("flood").spawn().unwrap();
    eventually("the flood starts", || {
        fixture.front.happened("start flood") == 1
    })
    .await;
    for number in 0..3 {
        assert_eq!(fixture.run(&format!("exit {number}")).await.0, number);
    }
    assert_eq!(fixture.front.happened("end flood"), 0);
    ssh.kill().await.unwrap();
    eventually("the flood ends", || {
        fixture.front.happened("end flood") == 1
    })
    .await;
    assert_eq!(fixture.front.happened("flood: BrokenPipe"), 1);
}

/// `cat` while nobody reads what it gives back: input backs up behind output, and the connection must not care.
#[tokio::test]
async fn a_jam_on_one_channel_leaves_the_connection_alive() {
    let fixture = Fixture::start().await;
    let master = Master::start(&fixture).await;
    let mut jammed = master.ssh("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = jammed.stdin.take().unwrap();
    let sent = vec![b'j'; 24 * 1024 * 1024];
    let feed = async {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
    };
    tokio::pin!(feed);
    // More than both windows and all pipes hold, so it cannot end before anybody reads.
    assert!(timeout(Duration::from_secs(1), &mut feed).await.is_err());
    for number in 0..3 {
        let other = finish(master.ssh(&format!("exit {number}")));
        assert_eq!(timeout(LONG, other).await.unwrap().0, number);
    }
    let ((), output) = timeout(LONG, async {
        tokio::join!(feed, jammed.wait_with_output())
    })
    .await
    .unwrap();
    assert!(output.unwrap().stdout == sent);
}

#[tokio::test]
async fn input_for_a_command_that_never_reads() {
    let fixture = Fixture::start().await;
    let mut ssh = fixture.ssh("hold").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = ssh.stdin.take().unwrap();
    let feed = fixture.tasks.spawn(async move {
        // Ends with an error once ssh is gone.
        while stdin.write_all(&[0; 65536]).await.is_ok() {}
    });
    eventually("the command runs", || {
        fixture.front.happened("start hold") == 1
    })
    .await;
    fixture.front.release();
    let mut out = String::new();
    ssh.stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .await
        .unwrap();
    assert_eq!(
        timeout(LONG, ssh.wait()).await.unwrap().unwrap().code(),
        Some(0)
    );
    assert_eq!(out, "held\n");
    timeout(LONG, feed).await.unwrap().unwrap();
}

#[tokio::test]
async fn several_commands_share_a_connection() {
    let fixture = Fixture::start().await;
    let master = Master::start(&fixture).await;
    let shared = |command: &str| finish(master.ssh(command));
    let held = shared("hold");
    let others = async {
        eventually("it is held", || fixture.front.happened("start hold") == 1).await;
        for number in 0..5 {
            assert_eq!(shared(&format!("exit {number}")).await.0, number);
        }
        fixture.front.release();
    };
    let ((code, out, err), ()) = tokio::join!(held, others);
    assert_eq!((code, out.as_str()), (0, "held\n"), "{err}");
}

/// One OpenSSH connection for several commands.
struct Master<'a> {
    fixture: &'a Fixture,
    path: String,
    _process: Child,
}

impl<'a> Master<'a> {
    async fn start(fixture: &'a Fixture) -> Self {
        let control = fixture.key_file("control");
        let path = format!("ControlPath={}", control.display());
        let options = [
            "-o",
            "ControlMaster=yes",
            "-o",
            &path,
            "-N",
            "dokku@127.0.0.1",
        ];
        let process = fixture.ssh_as("alice", &options).spawn().unwrap();
        eventually("the master listens", || control.exists()).await;
        Self {
            fixture,
            path,
            _process: process,
        }
    }

    /// Without a key of its own.
    fn ssh(&self, command: &str) -> Command {
        let options = ["-o", "BatchMode=yes", "-o", &self.path, "dokku@127.0.0.1"];
        let mut ssh = self.fixture.ssh_as("nobody", &options);
        ssh.arg(command);
        ssh
    }
}

/// What a channel gives until it closes.
pub(crate) async fn output<S>(channel: &mut russh::Channel<S>) -> (String, Option<u32>)
where
    S: From<(russh::ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    let (mut text, mut code) = (Vec::new(), None);
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::Data { data } = &message {
            text.extend_from_slice(data);
        }
        if let ChannelMsg::ExitStatus { exit_status } = message {
            code = Some(exit_status);
        }
    }
    (String::from_utf8(text).unwrap(), code)
}
