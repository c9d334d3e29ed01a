//! `entries/app_json.rs` under libFuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../entries/app_json.rs"]
mod entry;

fuzz_target!(|text: &str| entry::run(text));
