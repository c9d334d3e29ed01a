//! A use-case layer whose verbs exercise the streams.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use russh::keys::ssh_key::PublicKey;
use sarsen_control::{Actor, Front, HookCall, Io, Request, Terminal};
use sarsen_domain::KeyName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use tokio::sync::Semaphore;

#[derive(Clone)]
pub(crate) struct Fake(Arc<State>);

struct State {
    keys: Mutex<HashMap<String, String>>,
    log: Mutex<Vec<String>>,
    /// What `hold` waits for.
    pub(crate) release: Semaphore,
}

impl Default for Fake {
    fn default() -> Self {
        Self(Arc::new(State {
            keys: Mutex::default(),
            log: Mutex::default(),
            release: Semaphore::new(0),
        }))
    }
}

impl Fake {
    pub(crate) fn admit(&self, name: &str, key: &PublicKey) {
        let line = key.to_openssh().unwrap();
        let line = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        self.0.keys.lock().unwrap().insert(line, name.to_owned());
    }

    pub(crate) fn release(&self) {
        self.0.release.add_permits(1);
    }

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

    async fn verb(&self, request: Request, io: Io) -> std::io::Result<u8> {
        let words: Vec<&str> = request.argv.iter().map(String::as_str).collect();
        if let ["wait" | "hold" | "leak" | "panic"] = words.as_slice() {
            return self.patient(&words, io).await;
        }
        if let ["ask" | "raw" | "size"] = words.as_slice() {
            return interactive(&words, request.terminal, io).await;
        }
        let Io {
            mut stdin,
            mut stdout,
            mut stderr,
            ..
        } = io;
        match words.as_slice() {
            ["exit", code] => return Ok(code.parse().unwrap()),
            ["both"] => {
                stdout.write_all(b"to stdout\n").await?;
                stderr.write_all(b"to stderr\n").await?;
            }
            ["cat"] => drop(copy(&mut stdin, &mut stdout).await?),
            ["count"] => {
                let length = copy(&mut stdin, &mut tokio::io::sink()).await?;
                stdout.write_all(format!("{length}\n").as_bytes()).await?;
            }
            ["flood"] => loop {
                stdout.write_all(&[b'x'; 100_000]).await?;
            },
            _ => {
                let text = format!(
                    "{}: {:?} {:?}\n",
                    request.actor.name(),
                    request.argv,
                    request.git_protocol
                );
                stdout.write_all(text.as_bytes()).await?;
            }
        }
        Ok(0)
    }

    /// Verbs about how a command ends.
    async fn patient(&self, words: &[&str], io: Io) -> std::io::Result<u8> {
        let Io {
            mut stdout,
            stderr,
            gone,
            ..
        } = io;
        match words {
            ["wait"] => {
                gone.cancelled().await;
                self.log("gone");
            }
            ["hold"] => {
                self.0.release.acquire().await.unwrap().forget();
                stdout.write_all(b"held\n").await?;
            }
            ["leak"] => {
                let left_behind = async move {
                    std::future::pending::<()>().await;
                    drop((stdout, stderr));
                };
                tokio_util::task::TaskTracker::new().spawn(left_behind);
                return Ok(3);
            }
            ["panic"] => panic!("on purpose"),
            _ => unreachable!(),
        }
        Ok(0)
    }
}

/// Verbs for somebody at a terminal.
async fn interactive(words: &[&str], terminal: Option<Terminal>, io: Io) -> std::io::Result<u8> {
    let mut terminal = terminal.unwrap();
    let Io {
        mut stdin,
        mut stdout,
        ..
    } = io;
    match words {
        ["ask"] => {
            stdout.write_all(b"name?\n").await?;
            let mut name = String::new();
            BufReader::new(stdin).read_line(&mut name).await?;
            stdout
                .write_all(format!("hello {name:?}\n").as_bytes())
                .await?;
        }
        ["raw"] => {
            stdout.write_all(b"before\n").await?;
            let raw = terminal.raw();
            tokio::task::yield_now().await;
            let mut keys = [0; 3];
            stdin.read_exact(&mut keys).await?;
            stdout.write_all(format!("{keys:?}\n").as_bytes()).await?;
            // The bytes above leave before the mode changes back: nothing else tells when.
            drop(raw);
            stdout.write_all(b"after\n").await?;
        }
        ["size"] => loop {
            let size = *terminal.size.borrow_and_update();
            let text = format!("{} {}x{}\n", terminal.term, size.columns, size.rows);
            stdout.write_all(text.as_bytes()).await?;
            terminal.size.changed().await.unwrap();
        },
        _ => unreachable!(),
    }
    Ok(0)
}

impl Front for Fake {
    async fn authenticate(
        &self,
        public_key: &str,
        fingerprint: &str,
        source: IpAddr,
    ) -> Option<Actor> {
        assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");
        let name = self.0.keys.lock().unwrap().get(public_key)?.clone();
        Some(Actor::Key {
            name: KeyName::parse(&name).unwrap(),
            fingerprint: fingerprint.to_owned(),
            source,
            rights: sarsen_domain::Rights::default(),
        })
    }

    async fn run(&self, request: Request, io: Io) -> u8 {
        let verb = request.argv.first().cloned().unwrap_or_default();
        self.log(format!("start {verb}"));
        let code = match self.verb(request, io).await {
            Ok(code) => code,
            Err(error) => {
                self.log(format!("{verb}: {:?}", error.kind()));
                1
            }
        };
        self.log(format!("end {verb}"));
        code
    }

    async fn hook(&self, _: HookCall, _: Io) -> u8 {
        unreachable!("hooks come over the control socket")
    }
}
