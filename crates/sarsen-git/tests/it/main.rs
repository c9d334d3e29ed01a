//! sarsen-git with the real git at the other end.

#[cfg(test)]
mod attributes;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod front;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod push;
#[cfg(test)]
mod push_checks;
#[cfg(test)]
mod repos;
#[cfg(test)]
mod submodules;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod world;
