//! Images of apps: names and labels.
