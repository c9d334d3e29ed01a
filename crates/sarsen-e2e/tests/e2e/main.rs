//! A daemon of its own for every test, used as people use it: over ssh, with git, with an HTTP client.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    reason = "tests fail by panicking, and drive programs one after the other"
)]

mod acme;
mod backups;
mod binary;
mod claim;
mod client;
mod community;
mod cut;
mod daemon;
mod echo;
mod engine;
mod engine_restart;
mod etcd;
mod folder;
mod handover;
mod kill;
mod last_good;
mod load;
mod pebble;
mod plugins;
mod program;
mod proxy;
mod registrator;
mod registry;
mod rollback;
mod s3;
mod script;
mod scripts;
mod sshd;
mod storm;
mod terminal;
mod triggers;
mod web;
mod world;
