//! Pages over a real control.
