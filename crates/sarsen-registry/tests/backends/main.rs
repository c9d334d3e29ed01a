//! Other people's programs: registries, started and killed by these tests, and clients of our name server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, too, end the test when something is wrong"
)]

mod clients;
mod contract;
mod lab;
mod outage;
mod secured;
