//! Commands on a prepared store and an engine in memory: what they print, word for word, and that what is wrong
//! changes nothing. `tests/README.md` says how to add to it.

#[cfg(test)]
mod bad;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod help;
#[cfg(test)]
mod scrub;
#[cfg(test)]
mod world;
