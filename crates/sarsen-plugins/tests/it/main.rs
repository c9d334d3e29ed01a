//! The plugin host with real scripts on a real disk.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, too, end the test when something is wrong"
)]

mod commands;
mod hygiene;
mod install;
mod triggers;
mod world;
