//! Every verb a user can say, as one function each; who may do what; and the line from a push to a running app.

mod access;
mod acme;
mod addons;
mod args;
pub mod board;
mod build_log;
mod certificates;
mod commands_page;
pub mod conformance;
mod control;
pub mod cron;
mod drains;
mod failure;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod import;
mod lifecycle;
mod lock;
pub mod metrics;
mod output;
pub mod overview;
mod pipeline;
mod plugins;
mod policies;
mod property;
mod push;
mod reconcile;
mod redeploy;
mod report;
mod retirement;
mod routes;
mod session;
mod streams;
mod table;
#[cfg(test)]
mod testing;
mod time;
mod verbs;
mod views;
mod waiting;
mod web;

pub use access::{Action, Authorised, Object, Reach};
pub use acme::settings::AcmeSettings;
pub use build_log::BuildFollower;
pub use certificates::CertificateView;
pub use commands_page::commands_page;
pub use control::{Control, ControlSettings, Parts};
pub use failure::{Failure, Outcome};
pub use routes::{PortSocket, RouterPorts};
pub use session::{
    Actor, Front, HookCall, Io, Outlet, Output, PASSED_ON, RawTerminal, Request, Terminal,
    TerminalMode, outlets,
};
pub use table::{Command, commands, nouns};
pub use verbs::ssh_keys::parse_key;
pub use web::secrets::is_same as is_same_secret;
pub use web::sessions::Look;
pub use web::tokens::Shown;
pub use web::{
    Keeping, Opened, Order, Refusal, RunProgress, RunState, RunView, SignIn, WebActor, WebPass,
    WebSession,
};
