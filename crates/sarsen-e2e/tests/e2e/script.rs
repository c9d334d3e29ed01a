//! The language of `tests/scripts/*.txt`; its words are explained in that folder's README.

mod parse;
mod stage;

use std::fs;
use std::time::Instant;

use crate::world::{World, scripts};
use parse::{Line, parse};
use stage::Stage;

/// Runs a script; panics at the first line that does not hold.
pub(crate) fn play(name: &str) {
    let path = scripts().join(format!("{name}.txt"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = parse(&text).unwrap_or_else(|complaint| panic!("{name}.txt:{complaint}"));
    let (config, lines) = match lines.split_first() {
        Some((first, rest)) if first.words == "config" => (first.block.as_str(), rest),
        _ => ("", lines.as_slice()),
    };
    let mut stage = Stage::new(World::with(config));
    for line in lines {
        let begun = Instant::now();
        println!("{name}.txt:{} {}", line.number, line.words);
        if let Err(complaint) = stage.perform(line) {
            panic!("{name}.txt:{}: {}\n{complaint}", line.number, line.words);
        }
        let took = begun.elapsed();
        if took.as_millis() >= 500 {
            println!("    ({:.1} s)", took.as_secs_f64());
        }
    }
}

impl Line {
    /// The first word and what follows it.
    fn split(&self) -> (&str, &str) {
        split(&self.words)
    }
}

/// The first word and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim())
}
