//! The trait's contract: one story for every implementation, and what only a real engine can show.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cognitive_complexity,
    reason = "tests and their helpers fail by panicking; assertions count as branches"
)]

mod docker;
mod lab;
mod story;
