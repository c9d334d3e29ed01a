//! The socket and the client together, with a pretended use-case layer behind.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream as Blocking;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sarsen_control::{Actor, Front, HookCall, Io, Request, Terminal};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::serve;
use crate::client::testing::{Played, play, play_call, play_hook};
use crate::wire::{Call, Frame, Hook, Kind, Run, Tty, Visit};

const LONG: Duration = Duration::from_secs(30);

/// The socket in a folder of its own.
pub(crate) struct Fixture {
    folder: TempDir,
    pub(crate) front: Fake,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
    _shutdown_on_drop: DropGuard,
}

#[derive(Clone)]
pub(crate) struct Fake(Arc<State>);

struct State {
    log: Mutex<Vec<String>>,
    release: Semaphore,
}

impl Fixture {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let front = Fake(Arc::new(State {
            log: Mutex::default(),
            release: Semaphore::new(0),
        }));
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(serve(listener, front.clone(), shutdown.clone()));
        tasks.close();
        Self {
            folder,
            front,
            shutdown: shutdown.clone(),
            tasks,
            _shutdown_on_drop: shutdown.drop_guard(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The client, with this standard input.
    async fn run(&self, words: &[&str], stdin: impl Read + Send + 'static) -> Played {
        let argv = words.iter().map(|&word| word.to_owned()).collect();
        let path = self.path();
        let client = tokio::task::spawn_blocking(move || play(&path, argv, Box::new(stdin)));
        timeout(LONG, client)
            .await
            .expect("the client hangs")
            .unwrap()
    }

    fn connect(&self) -> Blocking {
        Blocking::connect(self.path()).unwrap()
    }
}

impl Fake {
    pub(crate) fn happened(&self, event: &str) -> usize {
        self.0
            .log
            .lock()
            .unwrap()
            .iter()
            .filter(|logged| *logged == event)
            .count()
    }

    fn log(&self, event: impl Into<String>) {
        self.0.log.lock().unwrap().push(event.into());
    }

    async fn verb(&self, request: Request, io: Io) -> io::Result<u8> {
        let words: Vec<&str> = request.argv.iter().map(String::as_str).collect();
        let Io {
            mut stdin,
            mut stdout,
            mut stderr,
            gone,
        } = io;
        match words.as_slice() {
            ["exit", code] => return Ok(code.parse().unwrap()),
            ["both"] => {
                stdout.write_all(b"out\n").await?;
                stderr.write_all(b"err\n").await?;
            }
            ["cat"] => drop(copy(&mut stdin, &mut stdout).await?),
            ["first"] => {
                let mut byte = [0];
                stdin.read_exact(&mut byte).await?;
                stdout.write_all(&byte).await?;
            }
            ["flood"] => loop {
                stdout.write_all(&[b'x'; 100_000]).await?;
            },
            ["wait"] => {
                gone.cancelled().await;
                self.log("gone");
            }
            ["hold"] => {
                self.0.release.acquire().await.unwrap().forget();
                stdout.write_all(b"held\n").await?;
            }
            ["quiet"] => {
                drop((stdout, stderr));
                self.0.release.acquire().await.unwrap().forget();
                return Ok(9);
            }
            ["panic"] => panic!("on purpose"),
            ["terminal"] => terminal(request.terminal.unwrap(), stdout).await?,
            _ => {
                let user = match &request.actor {
                    Actor::Web(_) => "web".to_owned(),
                    Actor::Local { user } => user.clone(),
                    Actor::Key { name, source, .. } => {
                        format!("{name} from {source} in {:?}:", request.folder)
                    }
                };
                let text = format!("{user} {:?} {:?}", request.argv, request.git_protocol);
                stdout.write_all(text.as_bytes()).await?;
            }
        }
        Ok(0)
    }
}

async fn terminal(mut terminal: Terminal, mut stdout: impl AsyncWrite + Unpin) -> io::Result<()> {
    let first = *terminal.size.borrow_and_update();
    stdout.write_all(b"line\n").await?;
    let raw = terminal.raw();
    let text = format!("raw {} {first:?}\n", terminal.term);
    stdout.write_all(text.as_bytes()).await?;
    terminal.size.changed().await.map_err(io::Error::other)?;
    let second = *terminal.size.borrow_and_update();
    drop(raw);
    stdout
        .write_all(format!("line {second:?}\n").as_bytes())
        .await
}

impl Front for Fake {
    async fn authenticate(&self, _: &str, _: &str, _: IpAddr) -> Option<Actor> {
        unreachable!("the socket knows its peers")
    }

    async fn vouched(&self, fingerprint: &str, source: IpAddr) -> Option<Actor> {
        (fingerprint == "SHA256:ada").then(|| Actor::Key {
            name: "ada".parse().unwrap(),
            fingerprint: fingerprint.to_owned(),
            source,
            rights: sarsen_domain::Rights::default(),
        })
    }

    async fn run(&self, request: Request, io: Io) -> u8 {
        let verb = request.argv.first().cloned().unwrap_or_default();
        self.log(format!("start {verb}"));
        let code = self.verb(request, io).await.unwrap_or(1);
        self.log(format!("end {verb}"));
        code
    }

    async fn hook(&self, call: HookCall, mut io: Io) -> u8 {
        io.stdout
            .write_all(format!("{call:?}").as_bytes())
            .await
            .unwrap();
        u8::from(call.token != "known")
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, holds)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

fn run(words: &[&str], terminal: Option<Tty>) -> Frame {
    Frame::hello(Call::Run(Run {
        argv: words.iter().map(|&word| word.to_owned()).collect(),
        terminal,
        git_protocol: None,
        folder: None,
        variables: std::collections::BTreeMap::new(),
    }))
    .unwrap()
}

#[tokio::test]
async fn words_streams_and_exit_codes() {
    let fixture = Fixture::start();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid())
        .unwrap()
        .unwrap()
        .name;
    let played = fixture
        .run(&["config:set", "app", "K=v w\n"], io::empty())
        .await;
    assert_eq!(
        played.text(),
        format!("{user} [\"config:set\", \"app\", \"K=v w\\n\"] None")
    );
    let both = fixture.run(&["both"], io::empty()).await;
    assert_eq!(
        (both.text().as_str(), both.stderr.as_slice()),
        ("out\n", &b"err\n"[..])
    );
    for code in [0, 1, 20, 255] {
        assert_eq!(
            fixture
                .run(&["exit", &code.to_string()], io::empty())
                .await
                .code,
            code
        );
    }
    assert_eq!(fixture.run(&["panic"], io::empty()).await.code, 1);
}

#[tokio::test]
async fn many_megabytes_there_and_back() {
    let fixture = Fixture::start();
    let sent: Vec<u8> = (0..50 * 1024 * 1024_u32)
        .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    let played = fixture.run(&["cat"], io::Cursor::new(sent.clone())).await;
    assert_eq!(played.code, 0);
    assert!(
        played.stdout == sent,
        "{} bytes came back",
        played.stdout.len()
    );
}

/// Fails when read.
struct Untouchable;

impl Read for Untouchable {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("nobody asked for input");
    }
}

/// Never gives anything.
struct Silent;

impl Read for Silent {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }
}

#[tokio::test]
async fn input_is_read_only_when_wanted_and_never_waited_for() {
    let fixture = Fixture::start();
    assert_eq!(fixture.run(&["exit", "3"], Untouchable).await.code, 3);
    let first = fixture
        .run(&["first"], io::Cursor::new(vec![b'a'; 1_000_000]))
        .await;
    assert_eq!((first.code, first.text().as_str()), (0, "a"));

    let path = fixture.path();
    let hold = vec!["hold".to_owned()];
    let silent = tokio::task::spawn_blocking(move || play(&path, hold, Box::new(Silent)));
    fixture.front.0.release.add_permits(1);
    assert_eq!(
        timeout(LONG, silent).await.unwrap().unwrap().text(),
        "held\n"
    );
}

#[tokio::test]
async fn a_command_may_close_its_output_and_go_on() {
    let fixture = Fixture::start();
    let released = async {
        eventually("it runs", || fixture.front.happened("start quiet") == 1).await;
        fixture.front.0.release.add_permits(1);
    };
    let (played, ()) = tokio::join!(fixture.run(&["quiet"], io::empty()), released);
    assert_eq!(played.code, 9);
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_command_along() {
    let fixture = Fixture::start();
    for (verb, end) in [("wait", "gone"), ("flood", "end flood"), ("cat", "end cat")] {
        let mut stream = fixture.connect();
        run(&[verb], None).write_to(&mut stream).unwrap();
        eventually("it runs", || {
            fixture.front.happened(&format!("start {verb}")) == 1
        })
        .await;
        drop(stream);
        eventually("it ends", || fixture.front.happened(end) == 1).await;
    }
}

#[tokio::test]
async fn the_terminal_is_raw_exactly_when_wanted() {
    let fixture = Fixture::start();
    let mut stream = fixture.connect();
    let tty = Tty {
        term: "xterm".to_owned(),
        columns: 80,
        rows: 24,
    };
    run(&["terminal"], Some(tty)).write_to(&mut stream).unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        loop {
            let frame = Frame::read_from(&mut stream).unwrap();
            if frame.payload.starts_with(b"raw") {
                Frame::resize(132, 50).write_to(&mut stream).unwrap();
            }
            let text = String::from_utf8_lossy(&frame.payload).into_owned();
            seen.push((frame.kind, text));
            if frame.kind == Kind::Exit {
                return seen;
            }
        }
    });
    let seen = timeout(LONG, reading).await.unwrap().unwrap();
    let text = |kind, text: &str| (kind, text.to_owned());
    assert_eq!(
        seen,
        [
            text(Kind::Stdout, "line\n"),
            text(Kind::Raw, ""),
            text(
                Kind::Stdout,
                "raw xterm TtySize { columns: 80, rows: 24 }\n"
            ),
            text(Kind::Line, ""),
            text(Kind::Stdout, "line TtySize { columns: 132, rows: 50 }\n"),
            text(Kind::Exit, "\0"),
        ]
    );
}

#[tokio::test]
async fn what_is_not_our_language_ends_the_connection() {
    let fixture = Fixture::start();
    let mut old = Frame::hello(Call::Run(Run {
        argv: vec![],
        terminal: None,
        git_protocol: None,
        folder: None,
        variables: std::collections::BTreeMap::new(),
    }))
    .unwrap();
    let text = String::from_utf8(old.payload)
        .unwrap()
        .replace("\"version\":1", "\"version\":0");
    old.payload = text.into_bytes();
    let unasked = Frame::new(Kind::Stdin, *b"x");
    for frames in [
        vec![old],
        vec![Frame::new(Kind::Hello, *b"{}")],
        vec![run(&["wait"], None), unasked.clone(), unasked],
    ] {
        let mut stream = fixture.connect();
        for frame in frames {
            frame.write_to(&mut stream).unwrap();
        }
        let mut rest = Vec::new();
        tokio::task::spawn_blocking(move || stream.read_to_end(&mut rest))
            .await
            .unwrap()
            .unwrap();
    }
    let mut stream = fixture.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let read = move || [(); 2].map(|()| Frame::read_from(&mut stream).unwrap());
    let [refusal, exit] = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!((refusal.kind, exit.payload), (Kind::Stderr, vec![1]));
    assert_eq!(fixture.run(&["exit", "0"], io::empty()).await.code, 0);
}

#[tokio::test]
async fn hooks_reach_the_other_door() {
    let fixture = Fixture::start();
    let call = |token: &str| Hook {
        token: token.to_owned(),
        object_directory: Some("/repo/objects/incoming".into()),
        alternate_object_directories: Some("/repo/objects".to_owned()),
        updates: vec![("0".to_owned(), "1".to_owned(), "refs/heads/main".to_owned())],
        push_options: vec!["k=v".to_owned()],
    };
    for (token, code) in [("known", 0), ("unknown", 1)] {
        let (path, hook) = (fixture.path(), call(token));
        let told = format!("{:?}", HookCall::from(hook.clone()));
        let played = tokio::task::spawn_blocking(move || play_hook(&path, hook))
            .await
            .unwrap();
        assert_eq!((played.code, played.text()), (code, told));
    }
}

#[tokio::test]
async fn who_comes_through_sshd_acts_with_that_key() {
    let fixture = Fixture::start();
    for (fingerprint, code, said) in [
        (
            "SHA256:ada",
            0,
            "ada from 10.1.2.3 in None: [\"apps:list\"] None",
        ),
        ("SHA256:eve", 1, ""),
    ] {
        let visit = Call::Visit(Visit {
            fingerprint: fingerprint.to_owned(),
            source: [10, 1, 2, 3].into(),
            run: Run {
                argv: vec!["apps:list".to_owned()],
                terminal: None,
                git_protocol: None,
                folder: Some("/etc".into()),
                variables: [("SSH_NAME".to_owned(), "root".to_owned())].into(),
            },
        });
        let path = fixture.path();
        let played =
            tokio::task::spawn_blocking(move || play_call(&path, visit, Box::new(io::empty())));
        let played = timeout(LONG, played).await.unwrap().unwrap();
        assert_eq!((played.code, played.text().as_str()), (code, said));
    }
    assert_eq!(fixture.front.happened("start apps:list"), 1);
}

#[tokio::test]
async fn shutdown_waits_for_commands_and_dropping_does_not() {
    let fixture = Fixture::start();
    let stop = async {
        eventually("it runs", || fixture.front.happened("start hold") == 1).await;
        fixture.shutdown.cancel();
        eventually("no more connections", || {
            Blocking::connect(fixture.path()).is_err()
        })
        .await;
        fixture.front.0.release.add_permits(1);
    };
    let (held, ()) = tokio::join!(fixture.run(&["hold"], io::empty()), stop);
    assert_eq!(held.text(), "held\n");
    timeout(LONG, fixture.tasks.wait()).await.unwrap();

    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = serve(listener, fixture.front.clone(), CancellationToken::new());
    let client = async {
        let mut stream = Blocking::connect(&path).unwrap();
        run(&["wait"], None).write_to(&mut stream).unwrap();
        eventually("it runs", || fixture.front.happened("start wait") == 1).await;
        stream
    };
    let _stream = tokio::select! {
        () = server => unreachable!(),
        stream = client => stream,
    };
    eventually("it is told", || fixture.front.happened("gone") == 1).await;
}
