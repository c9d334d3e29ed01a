//! This process's terminal: raw while a command wants it so, and never left raw.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal, raise};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::{Sending, send};
use crate::wire::{Frame, Tty};

/// Signals that end a process, and would leave the terminal as it is.
const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// A terminal and how it was found. Dropping it puts it back.
pub(super) struct Screen {
    tty: Arc<Tamed>,
    term: String,
}

struct Tamed {
    file: File,
    found: Termios,
    /// Only who changed a terminal may touch it again: a background job that does is stopped.
    changed: AtomicBool,
}

impl Screen {
    /// The terminal at standard input, if there is one.
    pub(super) fn of_stdin(term: Option<String>) -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let file = File::from(stdin.as_fd().try_clone_to_owned().ok()?);
        let found = tcgetattr(&file).ok()?;
        Some(Self {
            tty: Arc::new(Tamed {
                file,
                found,
                changed: AtomicBool::new(false),
            }),
            term: term.unwrap_or_else(|| "dumb".to_owned()),
        })
    }

    pub(super) fn describe(&self) -> Tty {
        let (columns, rows) = self.tty.size();
        Tty {
            term: self.term.clone(),
            columns,
            rows,
        }
    }

    /// Every key goes to the command, Ctrl-C included.
    pub(super) fn raw(&self) -> io::Result<()> {
        let mut raw = self.tty.found.clone();
        raw.make_raw();
        self.tty.changed.store(true, Ordering::SeqCst);
        Ok(tcsetattr(&self.tty.file, OptionalActions::Drain, &raw)?)
    }

    pub(super) fn restore(&self) -> io::Result<()> {
        self.tty.restore()
    }

    /// From here on a change of the window's size goes to the daemon, and a signal that ends us restores the terminal first.
    pub(super) fn watch(&self, sending: &Sending) -> io::Result<()> {
        let mut signals: SigSet = ENDING.into_iter().collect();
        signals.add(Signal::SIGWINCH);
        // Threads that start later inherit this: the signals come to the one below only.
        signals.thread_block()?;
        let (tty, sending) = (Arc::clone(&self.tty), Arc::clone(sending));
        let wait = move || {
            while let Ok(signal) = signals.wait() {
                if signal == Signal::SIGWINCH {
                    let (columns, rows) = tty.size();
                    // The main thread notices a daemon that is gone.
                    send(&sending, &Frame::resize(columns, rows)).ok();
                } else {
                    tty.restore().ok();
                    // The usual end, with the exit status a shell expects.
                    signals.thread_unblock().ok();
                    raise(signal).ok();
                }
            }
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(wait)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tty.restore().ok();
    }
}

impl Tamed {
    fn size(&self) -> (u16, u16) {
        tcgetwinsize(&self.file).map_or((80, 24), |size| (size.ws_col, size.ws_row))
    }

    fn restore(&self) -> io::Result<()> {
        if !self.changed.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        Ok(tcsetattr(&self.file, OptionalActions::Drain, &self.found)?)
    }
}
