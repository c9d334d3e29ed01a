//! What only a real engine can show.

mod build;
mod containers;
mod recovery;
mod terminal;
