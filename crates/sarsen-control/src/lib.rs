//! Every verb a user can say, as one function each; who may do what; and the line from a push to a running app.

mod session;

pub use session::{
    Actor, Front, HookCall, Io, Outlet, Output, RawTerminal, Request, Terminal, TerminalMode,
    outlets,
};
