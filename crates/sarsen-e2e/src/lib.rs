//! Tests of the whole: a real daemon with real git, ssh and Docker (`tests/e2e`, `tests/scripts`), and checks of the code base (`tests/tidy.rs`).
