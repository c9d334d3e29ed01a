//! Starting, being asked to stop, being killed, and taking sockets over.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::world::{PROGRAM, World, text};

/// Opens sockets, then becomes the daemon, as a service manager would do it.
const MANAGER: &str = r#"
use strict; use Socket; $^F = 99;
my ($folder, @program) = @ARGV;
my @sockets = map { socket(my $s, PF_INET, SOCK_STREAM, 0); bind($s, sockaddr_in(0, INADDR_LOOPBACK)); listen($s, 9); $s } 0..2;
socket(my $c, PF_UNIX, SOCK_STREAM, 0); bind($c, sockaddr_un("$folder/handed.sock")); listen($c, 9);
push @sockets, $c;
die "file numbers" if fileno($sockets[0]) != 3 || fileno($c) != 6;
open(my $ports, ">", "$folder/ports") or die;
print $ports join(" ", map { (sockaddr_in(getsockname($_)))[0] } @sockets[0..2]); close $ports;
$ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 4; $ENV{LISTEN_FDNAMES} = $ENV{NAMES} // "ssh:http:web:control";
exec @program;
"#;

#[tokio::test]
async fn it_serves_without_an_engine_and_ends_on_sigterm() {
    let world = World::new();
    let daemon = world.start().await;
    assert!(
        world
            .log()
            .contains("apps cannot be deployed or started until it does"),
        "{}",
        world.log()
    );
    let created = world.run("apps:create hello").await;
    assert!(created.status.success(), "{}", text(&created.stderr));
    assert!(world.path("control.sock").exists());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().await, Some(0));
    assert!(
        world.log().trim_end().ends_with("stopped"),
        "{}",
        world.log()
    );
    assert!(!world.path("control.sock").exists());
}

#[tokio::test]
async fn what_was_done_survives_a_kill() {
    let world = World::new();
    let daemon = world.start().await;
    assert!(world.run("apps:create hello").await.status.success());
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.end().await, None);
    assert!(
        world.path("control.sock").exists(),
        "the stale socket is what the next start has to deal with"
    );
    let daemon = world.start().await;
    assert!(text(&world.run("apps:list").await.stdout).contains("hello"));
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.end().await, Some(0));
}

#[tokio::test]
async fn there_is_one_daemon() {
    let mut world = World::new();
    let _daemon = world.start().await;
    let second = world.serve().output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(
        said.contains("another daemon (process ") && said.contains("works in"),
        "{said}"
    );
    world.extra = vec![
        "--set".to_owned(),
        format!("data_dir={}", world.path("data2").display()),
    ];
    let second = world.serve().output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        text(&second.stderr).contains("another daemon answers at"),
        "{}",
        text(&second.stderr)
    );
    assert!(
        world.run("version").await.status.success(),
        "the first one is left alone"
    );
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut world = World::new();
    world.extra = vec!["--set".to_owned(), "shutdown.deadline=1h".to_owned()];
    let daemon = world.start().await;
    // A client that says nothing keeps the control socket's drain waiting.
    let silent = std::os::unix::net::UnixStream::connect(world.path("control.sock")).unwrap();
    assert!(world.run("version").await.status.success());
    daemon.signal(Signal::SIGTERM);
    while !world.log().contains("stopping") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().await, Some(0));
    drop(silent);
}

#[tokio::test]
async fn sockets_are_taken_over_by_their_names() {
    let world = World::new();
    let mut command = world.called(Path::new("/usr/bin/perl"));
    command.args(["-e", MANAGER]).arg(world.path("")).args([
        PROGRAM,
        "serve",
        "--config",
        "sarsen.toml",
    ]);
    let daemon = world.watch(command).await;
    let ports: Vec<u16> = fs::read_to_string(world.path("ports"))
        .unwrap()
        .split(' ')
        .map(|port| port.parse().unwrap())
        .collect();
    let mut banner = [0; 8];
    TcpStream::connect(("127.0.0.1", ports[0]))
        .unwrap()
        .read_exact(&mut banner)
        .unwrap();
    assert_eq!(&banner, b"SSH-2.0-");
    assert!(
        get(ports[1], "/").starts_with("HTTP/1.1 404"),
        "no app has this name"
    );
    let health = get(ports[2], "/healthz");
    assert!(
        health.starts_with("HTTP/1.1 200") && health.contains("\"docker\":\"unreachable\""),
        "{health}"
    );
    let mut client = world.called(Path::new(PROGRAM));
    client
        .env("SARSEN_SOCKET", world.path("handed.sock"))
        .arg("version");
    assert!(client.output().await.unwrap().status.success());
    assert!(!world.path("control.sock").exists());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().await, Some(0));
    assert!(
        world.path("handed.sock").exists(),
        "it belongs to the service manager"
    );
}

#[tokio::test]
async fn a_socket_without_a_known_name_is_refused() {
    let world = World::new();
    let mut command = world.called(Path::new("/usr/bin/perl"));
    command.args(["-e", MANAGER]).arg(world.path("")).args([
        PROGRAM,
        "serve",
        "--config",
        "sarsen.toml",
    ]);
    let ended = command
        .env("NAMES", "ssh:http:web:other")
        .output()
        .await
        .unwrap();
    assert_eq!(ended.status.code(), Some(1), "{:?}", ended.status.signal());
    assert!(
        text(&ended.stderr).contains("set FileDescriptorName="),
        "{}",
        text(&ended.stderr)
    );
}

#[tokio::test]
async fn the_service_manager_is_told() {
    let world = World::new();
    let manager = std::os::unix::net::UnixDatagram::bind(world.path("notify")).unwrap();
    let mut command = world.serve();
    command.env("NOTIFY_SOCKET", world.path("notify"));
    let daemon = world.watch(command).await;
    let mut buffer = [0; 64];
    let length = manager.recv(&mut buffer).unwrap();
    assert_eq!(text(&buffer[..length]).trim_end(), "READY=1");
    daemon.signal(Signal::SIGTERM);
    let length = manager.recv(&mut buffer).unwrap();
    assert_eq!(text(&buffer[..length]).trim_end(), "STOPPING=1");
    assert_eq!(daemon.end().await, Some(0));
}

#[tokio::test]
async fn a_taken_port_stops_the_start() {
    let mut world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    world.extra = vec!["--set".to_owned(), format!("http.listen={address}")];
    let ended = world.serve().output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = text(&ended.stderr);
    assert!(
        said.contains(&format!("cannot listen on {address} (http.listen)")),
        "{said}"
    );
    drop(UnixListener::bind(world.path("control.sock")).unwrap());
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
