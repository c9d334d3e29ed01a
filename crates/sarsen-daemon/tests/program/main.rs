//! The program as people start it: its processes, exit codes and sockets. No container engine is needed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, too, end the test when something is wrong"
)]

mod commands;
mod lifecycle;
mod world;
