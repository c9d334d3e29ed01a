//! `entries/archive.rs` under libFuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../entries/archive.rs"]
mod entry;

fuzz_target!(|bytes: &[u8]| {
    entry::run(bytes);
});
