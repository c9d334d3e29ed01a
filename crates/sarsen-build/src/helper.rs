//! Helper containers.
