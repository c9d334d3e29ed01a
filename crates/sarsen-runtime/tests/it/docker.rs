//! What only a real engine can show.

mod build;
mod containers;
mod flags;
mod recovery;
mod terminal;
