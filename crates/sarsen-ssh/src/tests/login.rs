//! Who gets in, and what is refused to those who are in.

use std::path::Path;
use std::time::Duration;

use russh::keys::ssh_key::{Algorithm, PublicKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Fixture, LONG, eventually, finish};

#[tokio::test]
async fn a_known_key_runs_commands_under_its_name() {
    let fixture = Fixture::start().await;
    let (code, out, err) = fixture.run("config:set app 'K=v w' \"x y\"").await;
    assert_eq!(
        out, "alice: [\"config:set\", \"app\", \"K=v w\", \"x y\"] None\n",
        "{err}"
    );
    assert_eq!((code, err.as_str()), (0, ""));
}

#[tokio::test]
async fn every_kind_of_key_but_no_sha1_signature() {
    let fixture = Fixture::start().await;
    let rsa = rsa_key(&fixture.key_file("rsa")).await;
    fixture.front.admit("rsa", &rsa);
    let p256 = russh::keys::ssh_key::EcdsaCurve::NistP256;
    let ecdsa = fixture.key("ecdsa", Algorithm::Ecdsa { curve: p256 });
    fixture.front.admit("ecdsa", ecdsa.public_key());
    for name in ["rsa", "ecdsa"] {
        let mut ssh = fixture.ssh_as(name, &["-o", "BatchMode=yes", "git@127.0.0.1"]);
        ssh.arg("whoami");
        let (code, out, err) = finish(ssh).await;
        assert_eq!((code, out.starts_with(name)), (0, true), "{err}");
    }
    let sha1 = [
        "-o",
        "BatchMode=yes",
        "-o",
        "PubkeyAcceptedAlgorithms=ssh-rsa",
        "dokku@127.0.0.1",
    ];
    let mut ssh = fixture.ssh_as("rsa", &sha1);
    ssh.arg("whoami");
    assert_eq!(finish(ssh).await.0, 255);
    assert_eq!(fixture.front.happened("start whoami"), 2);
}

#[tokio::test]
async fn strangers_stay_outside() {
    let fixture = Fixture::start().await;
    fixture.key("mallory", Algorithm::Ed25519);
    let batch = ["-o", "BatchMode=yes"];
    for (key, login) in [("mallory", "dokku@127.0.0.1"), ("alice", "root@127.0.0.1")] {
        let mut ssh = fixture.ssh_as(key, &batch);
        ssh.args([login, "whoami"]);
        let (code, _, err) = finish(ssh).await;
        assert_eq!(code, 255);
        // The only method offered, hence no password, and no word about which of the two was wrong.
        assert!(err.contains("Permission denied (publickey)."), "{err}");
    }
    let passwords = [
        "-o",
        "PreferredAuthentications=password,keyboard-interactive,none",
    ];
    let mut ssh = fixture.ssh_as("alice", &passwords);
    ssh.args(["dokku@127.0.0.1", "whoami"]);
    let (code, _, err) = finish(ssh).await;
    assert!(
        code == 255 && err.contains("Permission denied (publickey)."),
        "{err}"
    );
    assert_eq!(fixture.front.happened("start whoami"), 0);
}

#[tokio::test]
async fn no_forwarding_no_files_no_agent() {
    let fixture = Fixture::start().await;
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    // -W opens the same kind of channel as -L.
    let through = format!("127.0.0.1:{port}");
    let mut local = fixture.ssh_as("alice", &["-o", "BatchMode=yes", "-W", &through]);
    local.arg("dokku@127.0.0.1");
    let (code, _, err) = finish(local).await;
    assert!(
        code == 255 && err.contains("stdio forwarding failed"),
        "{err}"
    );

    let back = format!("0:{through}");
    let options = [
        "-o",
        "BatchMode=yes",
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        &back,
    ];
    let mut remote = fixture.ssh_as("alice", &options);
    remote.args(["dokku@127.0.0.1", "whoami"]);
    let (code, _, err) = finish(remote).await;
    assert!(
        code == 255 && err.contains("remote port forwarding failed"),
        "{err}"
    );

    let mut sftp = fixture.ssh_as("alice", &["-o", "BatchMode=yes", "-s", "dokku@127.0.0.1"]);
    sftp.arg("sftp");
    let (code, _, err) = finish(sftp).await;
    assert!(
        code == 255 && err.contains("subsystem request failed"),
        "{err}"
    );
    assert_eq!(fixture.front.happened("start whoami"), 0);

    let client = fixture.client().await;
    let channel = client.channel_open_session().await.unwrap();
    for name in ["LD_PRELOAD", "PATH", "GIT_SSH_COMMAND"] {
        channel.set_env(false, name, "x").await.unwrap();
    }
    channel
        .request_x11(false, true, "MIT-MAGIC-COOKIE-1", "00", 0)
        .await
        .unwrap();
    channel.agent_forward(false).await.unwrap();
    assert!(
        client
            .channel_open_direct_streamlocal("/run/x.sock")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn git_is_understood_in_all_its_spellings() {
    let fixture = Fixture::start().await;
    for text in [
        "git-receive-pack 'app'",
        "git-receive-pack '/app'",
        "git receive-pack app",
    ] {
        let mut ssh = fixture.ssh_as("alice", &["-o", "SendEnv=GIT_PROTOCOL", "dokku@127.0.0.1"]);
        ssh.arg(text).env("GIT_PROTOCOL", "version=2");
        let (_, out, err) = finish(ssh).await;
        assert_eq!(
            out, "alice: [\"git-receive-pack\", \"app\"] Some(\"version=2\")\n",
            "{err}"
        );
    }
    let mut ssh = fixture.ssh_as("alice", &["-o", "SendEnv=GIT_PROTOCOL", "dokku@127.0.0.1"]);
    ssh.arg("git-upload-pack app")
        .env("GIT_PROTOCOL", "version=2:$(x)");
    assert_eq!(
        finish(ssh).await.1,
        "alice: [\"git-upload-pack\", \"app\"] None\n"
    );
}

#[tokio::test]
async fn without_a_command_it_greets() {
    let fixture = Fixture::start().await;
    let mut ssh = fixture.ssh_as("alice", &["-T", "dokku@127.0.0.1"]);
    ssh.stdin(std::process::Stdio::piped());
    let (code, out, _) = finish(ssh).await;
    assert_eq!(code, 0);
    assert!(
        out.starts_with("Hello alice") && out.contains("help"),
        "{out}"
    );
    let (code, _, err) = fixture.run("config:set 'app").await;
    assert_eq!(
        (code, err.as_str()),
        (1, " !     Unmatched single quote in the command\n")
    );
}

#[tokio::test]
async fn one_address_gets_so_many_connections() {
    let fixture = Fixture::with(|settings| settings.max_connections_per_ip = 2).await;
    let mut first = TcpStream::connect(fixture.address).await.unwrap();
    let mut second = TcpStream::connect(fixture.address).await.unwrap();
    for stream in [&mut first, &mut second] {
        let mut banner = [0; 4];
        stream.read_exact(&mut banner).await.unwrap();
        assert_eq!(&banner, b"SSH-");
    }
    let mut third = TcpStream::connect(fixture.address).await.unwrap();
    let mut text = String::new();
    timeout(LONG, third.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(text, "Too many connections, try again later\r\n");
    drop(first);
    let free = async { while fixture.run("whoami").await.0 != 0 {} };
    timeout(LONG, free).await.unwrap();
}

#[tokio::test]
async fn whoever_does_not_log_in_is_sent_away() {
    let fixture =
        Fixture::with(|settings| settings.auth_timeout = Duration::from_millis(300)).await;
    // One says nothing, one stops after its version.
    for words in [&b""[..], b"SSH-2.0-Slow\r\n"] {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(words).await.unwrap();
        let mut rest = Vec::new();
        let end = timeout(LONG, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "still connected");
    }
    // Those who did log in stay.
    let client = fixture.client().await;
    let mut channel = client.channel_open_session().await.unwrap();
    channel.exec(true, "wait").await.unwrap();
    eventually("the command runs", || {
        fixture.front.happened("start wait") == 1
    })
    .await;
    let early = timeout(Duration::from_millis(600), async {
        while let Some(message) = channel.wait().await {
            assert!(!matches!(message, russh::ChannelMsg::Close), "closed");
        }
    });
    assert!(early.await.is_err(), "the connection ended");
}

/// Made by OpenSSH: our own takes its time in a debug build.
async fn rsa_key(path: &Path) -> PublicKey {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(made.await.unwrap().success());
    let text = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    PublicKey::from_openssh(&text).unwrap()
}
