//! The stages of the line, one file each. A stage's output is the next one's input, so the compiler keeps the order;
//! what a stage returns is written to the store here.

mod build;
mod deploy;
mod job;
mod receive;
mod release;
mod retire;
mod route;
pub(crate) mod settings;
mod shape;
mod wanted_env;
mod workbench;

pub(crate) use build::{Source, told};
pub(crate) use deploy::{Candidate, Rollout};
pub(crate) use job::{Job, Viewer};
pub(crate) use receive::{Arrival, Received, Settled, git_io};
pub(crate) use retire::Deployed;
pub(crate) use route::Routed;
