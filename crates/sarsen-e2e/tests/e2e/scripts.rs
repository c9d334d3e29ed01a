//! Every script is a test of its own.

use std::fs;

use crate::script::play;
use crate::world::scripts;

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*

        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

scripts! {
    apps
    config
    deploy
}

#[test]
fn every_script_is_played() {
    for entry in fs::read_dir(scripts()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".txt") {
            assert!(ALL.contains(&name), "name {name} in tests/e2e/scripts.rs, or nobody plays it");
        }
    }
}
