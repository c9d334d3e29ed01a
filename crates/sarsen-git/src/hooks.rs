//! The hook: a link to our own executable.
