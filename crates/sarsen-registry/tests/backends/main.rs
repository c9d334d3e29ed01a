//! Registries outside: real ones, started and killed by these tests.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, too, end the test when something is wrong"
)]

mod contract;
mod lab;
mod outage;
