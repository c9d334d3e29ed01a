//! `shell`: one command after the other over one connection.

use std::collections::BTreeMap;

use sarsen_runtime::StdStream;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::control::Control;
use crate::failure::Outcome;
use crate::session::{Front, Io, Request, outlets};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[verb!(
    "shell",
    "",
    Read,
    "Takes one command a line until exit",
    shell
)];

const PROMPT: &[u8] = b"dokku> ";
/// No command of ours is longer.
const LINE_MAX: u64 = 1 << 20;
/// How many pieces of output may wait.
const QUEUE: usize = 16;

async fn shell(control: &Control, call: &mut Call) -> Outcome {
    let mut input = BufReader::new(call.take_stdin());
    loop {
        if call.terminal.is_some() {
            call.out.bytes(PROMPT).await?;
        }
        let mut line = String::new();
        if (&mut input).take(LINE_MAX).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let Some(words) = shlex::split(line.trim()) else {
            call.out.warn("The quotes do not match").await?;
            continue;
        };
        match words.first().map(String::as_str) {
            None => {}
            Some("exit" | "quit") => return Ok(()),
            Some("shell") => call.out.warn("This is the shell already").await?,
            Some(_) => run(control, call, words).await?,
        }
    }
}

/// Runs one command as the same person; what it is refused and how it ends is said as always.
async fn run(control: &Control, call: &mut Call, argv: Vec<String>) -> Outcome {
    let (stdout, stderr, mut queue) = outlets(QUEUE, None);
    let request = Request {
        actor: call.actor.clone(),
        argv,
        terminal: None,
        git_protocol: None,
        folder: call.folder.clone(),
        // What plugins are told about the caller came with the identity; nothing else is passed on.
        variables: BTreeMap::new(),
    };
    let io = Io {
        // The lines that follow are commands.
        stdin: Box::new(tokio::io::empty()),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        gone: call.gone.clone(),
    };
    let out = &mut call.out;
    let show = async {
        while let Some(piece) = queue.recv().await {
            match piece.stream {
                StdStream::Stdout => out.bytes(&piece.bytes).await?,
                StdStream::Stderr => out.error_bytes(&piece.bytes).await?,
            }
        }
        Ok(())
    };
    let (_code, shown) = tokio::join!(control.run(request, io), show);
    shown
}
