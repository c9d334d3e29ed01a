//! A front door for the real git client: a socket behind a stand-in for ssh.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sarsen_git::{GitError, GitIo, ReceiveOptions, Repos};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::world::{World, app, executable, git_command, here, until};

pub(crate) type Ends = Arc<Mutex<Vec<Result<i32, String>>>>;

/// The server's side, and the client's settings to get there.
pub(crate) struct Front {
    pub(crate) gone: CancellationToken,
    /// How each conversation ended.
    pub(crate) ends: Ends,
    env: Vec<(&'static str, String)>,
    hook: std::path::PathBuf,
}

impl Front {
    pub(crate) fn open(world: &World) -> Self {
        let (client, socket, hook) = (
            world.at("client.py"),
            world.at("front.sock"),
            world.at("hook"),
        );
        fs::copy(here("client.py"), &client).unwrap();
        executable(&client);
        fs::create_dir(&hook).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let (gone, ends) = (CancellationToken::new(), Ends::default());
        let server = Server {
            repos: world.repos.clone(),
            options: ReceiveOptions {
                token: "t0ken".to_owned(),
                socket: "/run/sarsen.sock".into(),
                git_protocol: None,
                env: vec![("TEST_DIR".to_owned(), hook.to_str().unwrap().to_owned())],
            },
            gone: gone.clone(),
            ends: ends.clone(),
        };
        let tasks = world.tasks.clone();
        world.tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(server.clone().answer(stream));
            }
        });
        let env = vec![
            ("GIT_SSH_COMMAND", client.to_str().unwrap().to_owned()),
            ("GIT_SSH_VARIANT", "ssh".to_owned()),
            ("TEST_FRONT", socket.to_str().unwrap().to_owned()),
        ];
        Self {
            gone,
            ends,
            env,
            hook,
        }
    }

    /// The client's git, with the stand-in for ssh.
    pub(crate) fn git(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = git_command(folder, args);
        command.envs(self.env.iter().map(|(key, value)| (*key, value)));
        command
    }

    /// A file that steers the hook.
    pub(crate) fn tell_hook(&self, name: &str, text: &str) {
        let part = self.hook.join("part");
        fs::write(&part, text).unwrap();
        fs::rename(part, self.hook.join(name)).unwrap();
    }

    pub(crate) fn heard(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.hook.join(name)).ok()
    }

    /// Waits for the hook, and returns a variable of its environment.
    pub(crate) async fn hook_env(&self, key: &str) -> Option<String> {
        until("the hook", || self.heard("env").is_some()).await;
        let env = self.heard("env")?;
        let prefix = format!("{key}=");
        env.lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .map(str::to_owned)
    }
}

#[derive(Clone)]
struct Server {
    repos: Repos,
    options: ReceiveOptions,
    gone: CancellationToken,
    ends: Ends,
}

impl Server {
    async fn answer(self, stream: UnixStream) {
        let (read, write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut line = String::new();
        read.read_line(&mut line).await.unwrap();
        let (protocol, command) = line.trim_end().split_once('\t').unwrap();
        let (verb, path) = command.split_once(' ').unwrap();
        let app = app(path.trim_matches(['\'', '/']));
        let (stdout, out) = tokio::io::duplex(4096);
        let (stderr, err) = tokio::io::duplex(4096);
        let io = GitIo {
            stdin: Box::new(read),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            gone: self.gone.clone(),
        };
        let protocol = (!protocol.is_empty()).then_some(protocol);
        let talk = async {
            match verb {
                "git-receive-pack" => {
                    let options = ReceiveOptions {
                        git_protocol: protocol.map(str::to_owned),
                        ..self.options.clone()
                    };
                    self.repos.receive_pack(&app, &options, io).await
                }
                "git-upload-pack" => self.repos.serve_upload_pack(&app, protocol, io).await,
                "git-upload-archive" => self.repos.upload_archive(&app, io).await,
                other => panic!("{other}"),
            }
        };
        let (end, write) = tokio::join!(talk, frames(write, out, err));
        finish(write, &end).await;
        self.ends
            .lock()
            .unwrap()
            .push(end.map_err(|error| error.to_string()));
    }
}

async fn frames(
    mut to: OwnedWriteHalf,
    mut out: DuplexStream,
    mut err: DuplexStream,
) -> OwnedWriteHalf {
    let (mut first, mut second) = ([0; 4096], [0; 4096]);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let (kind, bytes) = tokio::select! {
            count = out.read(&mut first), if out_open => (1, &first[..count.unwrap()]),
            count = err.read(&mut second), if err_open => (2, &second[..count.unwrap()]),
        };
        if bytes.is_empty() {
            if kind == 1 {
                out_open = false
            } else {
                err_open = false
            }
            continue;
        }
        if send(&mut to, kind, bytes).await.is_err() {
            break;
        }
    }
    to
}

async fn send(to: &mut OwnedWriteHalf, kind: u8, bytes: &[u8]) -> std::io::Result<()> {
    to.write_u8(kind).await?;
    to.write_u32(u32::try_from(bytes.len()).unwrap()).await?;
    to.write_all(bytes).await
}

async fn finish(mut to: OwnedWriteHalf, end: &Result<i32, GitError>) {
    let code = end
        .as_ref()
        .map_or(255, |code| u8::try_from(*code).unwrap());
    // A client that was killed does not read this.
    drop(send(&mut to, 3, &[code]).await);
}
