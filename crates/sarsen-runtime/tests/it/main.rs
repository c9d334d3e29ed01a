//! The trait's contract: one story for every implementation, and what only a real engine can show.

mod docker;
mod lab;
mod story;
