//! Deploys, tasks, one-off runs and logs on a real engine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, too, end the test when something is wrong"
)]

mod deploys;
mod failures;
mod runs;
mod world;
