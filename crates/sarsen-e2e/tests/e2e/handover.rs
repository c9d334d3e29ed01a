//! One daemon takes the place of another, and nobody who comes meanwhile is turned away or cut off.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::daemon::free_port;
use crate::echo;
use crate::load::StopOnDrop;
use crate::program::{eventually, run};
use crate::web::{self, Answer, Connection};
use crate::world::World;

const HANDOVERS: usize = 3;
/// Clients of UDP ports are waited for until they have been silent for so long.
const CONFIG: &str = "https.listen = \"127.0.0.1:{https}\"\nhttp.udp_idle_timeout = \"2s\"\n";
/// Resolvers wait for so long before they ask again.
const DNS_PATIENCE: Duration = Duration::from_secs(5);
/// Of what is asked over and over again, at the least so many answers.
const ENOUGH: usize = 20;

/// Which address has `handover-shop.service.sarsen`?
const DNS_QUESTION: [u8; 46] =
    *b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x0dhandover-shop\x07service\x06sarsen\0\0\x01\0\x01";

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    answers: usize,
    failures: Vec<String>,
    slowest: Duration,
}

/// Asks without a pause until told to stop.
fn visit(stop: &AtomicBool, mut ask: impl FnMut() -> Result<(), String>) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match ask() {
            Ok(()) => seen.answers += 1,
            Err(failure) => seen.failures.push(failure),
        }
        seen.slowest = seen.slowest.max(begun.elapsed());
    }
    seen
}

fn is_same(answer: std::io::Result<Vec<u8>>, text: &[u8]) -> Result<(), String> {
    match answer {
        Ok(answer) if answer == text => Ok(()),
        Ok(answer) => Err(format!("another answer: {answer:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Where everything answers.
#[derive(Clone)]
struct Places {
    http: SocketAddr,
    https: u16,
    tcp: u16,
    udp: u16,
    dns: SocketAddr,
    host: String,
    sarsen: PathBuf,
    socket: PathBuf,
}

impl Places {
    fn anew(&self) -> Result<(), String> {
        is_well(web::get(self.http, &self.host, "/new"))
    }

    fn kept_alive(&self, kept: &mut Option<Connection>) -> Result<(), String> {
        let connection = kept.take().map_or_else(|| Connection::open(self.http), Ok);
        let asked =
            connection.and_then(|mut open| Ok((open.request(&self.host, "/kept", None)?, open)));
        let (answer, open) = asked.map_err(|error| error.to_string())?;
        if answer.keep_alive {
            *kept = Some(open);
        }
        is_well(Ok(answer))
    }

    fn encrypted(&self) -> Result<(), String> {
        let (host, port) = (&self.host, self.https);
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--insecure",
            "--resolve",
        ]);
        curl.arg(format!("{host}:{port}:127.0.0.1"));
        curl.arg(format!("https://{host}:{port}/"));
        works(curl)
    }

    fn command(&self) -> Result<(), String> {
        let mut command = Command::new(&self.sarsen);
        command.arg("apps:list").env("SARSEN_SOCKET", &self.socket);
        works(command)
    }
}

/// Asks the name server, once.
fn dns_by_udp(server: SocketAddr) -> Result<(), String> {
    let ask = || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(DNS_PATIENCE))?;
        socket.send_to(&DNS_QUESTION, server)?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        Ok(answer[..length].to_vec())
    };
    is_answer(ask())
}

fn dns_by_tcp(server: SocketAddr) -> Result<(), String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&server, DNS_PATIENCE)?;
        stream.set_read_timeout(Some(DNS_PATIENCE))?;
        let length = u16::try_from(DNS_QUESTION.len()).unwrap();
        stream.write_all(&[&length.to_be_bytes(), DNS_QUESTION.as_slice()].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    is_answer(ask())
}

/// Our number, the mark of an answer, no error.
fn is_answer(answer: std::io::Result<Vec<u8>>) -> Result<(), String> {
    let answer = answer.map_err(|error| error.to_string())?;
    let is_good = answer.starts_with(&DNS_QUESTION[..2])
        && answer.len() > DNS_QUESTION.len()
        && answer[2] & 0x80 != 0
        && answer[3] & 0x0f == 0;
    is_good.then_some(()).ok_or(format!("{answer:?}"))
}

fn is_well(answer: std::io::Result<Answer>) -> Result<(), String> {
    match answer {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(answer.head),
        Err(error) => Err(error.to_string()),
    }
}

fn works(command: Command) -> Result<(), String> {
    let ended = run(command, b"");
    (ended.code == 0).then_some(()).ok_or(ended.stderr)
}

/// An app that answers in every way.
fn prepare(world: &World, app: &str, dns: SocketAddr) -> Places {
    let (tcp, udp) = (free_port(), free_port());
    world.folder(app, "everything");
    world.push(app).succeeded();
    let host = world.host(app);
    world.ssh(&["certs:generate", app, &host]).succeeded();
    let ports = [format!("tcp:{tcp}:7000"), format!("udp:{udp}:7001")];
    let mut words = vec!["ports:set", app, "http:80:5000", "https:443:5000"];
    words.extend(ports.iter().map(String::as_str));
    world.ssh(&words).succeeded();
    let plain = ["router:set", app, "https-redirect", "false"];
    world.ssh(&plain).succeeded();
    Places {
        http: world.daemon.address(),
        https: world.daemon.https,
        tcp,
        udp,
        dns,
        host,
        sarsen: world.daemon.binary().to_owned(),
        socket: world.daemon.socket.clone(),
    }
}

/// Everybody asks while the daemon changes.
fn visit_while(
    places: &Places,
    ssh: impl Fn() -> Command + Send,
    change: impl FnOnce(),
) -> Vec<(&'static str, Seen)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        let guard = StopOnDrop(stop);
        let mut kept = None;
        let visitors = [
            ("HTTP", scope.spawn(move || visit(stop, || places.anew()))),
            (
                "HTTP, kept alive",
                scope.spawn(move || visit(stop, || places.kept_alive(&mut kept))),
            ),
            (
                "HTTPS",
                scope.spawn(move || visit(stop, || places.encrypted())),
            ),
            (
                "TCP",
                scope.spawn(move || visit(stop, || is_same(echo::tcp(places.tcp, b"ho"), b"ho"))),
            ),
            (
                "UDP",
                scope.spawn(move || visit(stop, || is_same(echo::udp(places.udp, b"ho"), b"ho"))),
            ),
            (
                "commands",
                scope.spawn(move || visit(stop, || places.command())),
            ),
            ("SSH", scope.spawn(move || visit(stop, || works(ssh())))),
            (
                "DNS over UDP",
                scope.spawn(move || visit(stop, || dns_by_udp(places.dns))),
            ),
            (
                "DNS over TCP",
                scope.spawn(move || visit(stop, || dns_by_tcp(places.dns))),
            ),
        ];
        change();
        drop(guard);
        visitors
            .map(|(name, visitor)| (name, visitor.join().unwrap()))
            .into()
    })
}

#[test]
fn three_handovers_under_load_turn_nobody_away() {
    let dns = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut world = World::with(&format!("{CONFIG}dns.listen = [\"{dns}\"]\n"));
    let app = "handover-shop";
    let places = prepare(&world, app, dns);
    let words = world.ssh_as("ada", &[], &["apps:list"]);
    let words: Vec<_> = words.get_args().map(ToOwned::to_owned).collect();
    let ssh = move || {
        let mut ssh = Command::new("ssh");
        ssh.args(&words);
        ssh
    };
    let seen = visit_while(&places, ssh, || {
        for _ in 0..HANDOVERS {
            let slow = places.clone();
            // Longer than the handover takes: who began it ends it.
            let slow = thread::spawn(move || is_well(web::get(slow.http, &slow.host, "/slow/5")));
            thread::sleep(Duration::from_millis(300));
            world.daemon.hand_over();
            assert_eq!(slow.join().unwrap(), Ok(()));
        }
    });
    for (name, seen) in &seen {
        let (answers, failures) = (seen.answers, &seen.failures);
        println!(
            "{name}: {answers} answers, {} failures, the slowest after {} ms",
            failures.len(),
            seen.slowest.as_millis()
        );
        assert!(failures.is_empty(), "{name}: {failures:?}");
        assert!(answers >= ENOUGH, "{name}: that was no load");
    }
    eventually(|| match world.daemon.has_ended() {
        true => Ok(()),
        false => Err("the first daemon is still there".to_owned()),
    });
    // The last one is as good as the first.
    world.ssh(&["ps:restart", app]).succeeded();
    world.settles_on(app, &[&format!("{app}.web.1")]);
    assert_eq!(places.anew(), Ok(()));
}

#[test]
fn a_daemon_that_could_not_start_takes_nobodys_place() {
    let mut world = World::new();
    let app = "handover-kept";
    world.folder(app, "hello");
    world.push(app).succeeded();
    let pid = world.daemon.pid();
    let good = world.daemon.configuration();
    world.daemon.configure(&format!("{good}\nnonsense = 1\n"));
    kill(pid, Signal::SIGUSR2).unwrap();
    eventually(|| {
        let log = world.daemon.log_text();
        let is_said = log.contains("this daemon keeps its place") && log.contains("nonsense");
        is_said.then_some(()).ok_or(log)
    });
    assert_eq!(world.daemon.pid(), pid);
    assert_eq!(world.get(app, "/").unwrap().status, 200);
    // Right, but for a port that somebody else has: that shows only at the start. The one before serves on.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("web.listen = \"{}\"", taken.local_addr().unwrap());
    world
        .daemon
        .configure(&good.replace("web.listen = \"\"", &line));
    kill(pid, Signal::SIGUSR2).unwrap();
    eventually(|| {
        let log = world.daemon.log_text();
        let is_said = log.contains("did not come up") && log.matches(" ready").count() == 2;
        is_said.then_some(()).ok_or(log)
    });
    assert_eq!(world.daemon.pid(), pid);
    assert_eq!(world.get(app, "/").unwrap().status, 200);
    world.ssh(&["ps:restart", app]).succeeded();
    world.daemon.configure(&good);
    world.daemon.hand_over();
    assert_ne!(world.daemon.pid(), pid);
    assert_eq!(world.get(app, "/").unwrap().status, 200);
    world.ssh(&["ps:restart", app]).succeeded();
}
