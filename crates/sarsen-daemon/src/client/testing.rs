//! The client with streams of a test's choosing.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{Streams, converse};
use crate::wire::{Call, Hook, Run};

/// What a client left behind.
pub(crate) struct Played {
    pub(crate) code: u8,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// As a program would run it, without a terminal.
pub(crate) fn play(socket: &Path, argv: Vec<String>, stdin: Box<dyn Read + Send>) -> Played {
    let call = Call::Run(Run {
        argv,
        terminal: None,
        git_protocol: None,
        folder: None,
        variables: std::collections::BTreeMap::new(),
    });
    play_call(socket, call, stdin)
}

pub(crate) fn play_hook(socket: &Path, hook: Hook) -> Played {
    play_call(socket, Call::Hook(hook), Box::new(io::empty()))
}

impl Played {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn play_call(socket: &Path, call: Call, stdin: Box<dyn Read + Send>) -> Played {
    let (stdout, stderr) = (Sink::default(), Sink::default());
    let mut streams = Streams {
        stdin: Some(stdin),
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr.clone()),
    };
    let code = converse(socket, call, &mut streams, None);
    let taken = |sink: Sink| std::mem::take(&mut *sink.0.lock().unwrap());
    Played {
        code,
        stdout: taken(stdout),
        stderr: taken(stderr),
    }
}
