//! Real builds: a real engine, real git repositories, the stack image.

#[cfg(test)]
mod buildpacks;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod dockerfile;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod ignore;
#[cfg(test)]
mod web;
