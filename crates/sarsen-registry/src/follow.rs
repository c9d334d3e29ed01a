//! Keeps the catalog in step with the engine.
