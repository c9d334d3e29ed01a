//! Starting git.
