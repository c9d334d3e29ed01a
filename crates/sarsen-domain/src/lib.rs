//! The words of Sarsen: every identifier, rule and value that the other crates speak in. No I/O, no async.
//!
//! Text from outside becomes one of these types once, at the edge, and is never parsed again. Errors here
//! are sentences for the person who typed the text.

pub mod addon;
pub mod address;
pub mod app_json;
pub mod archive;
pub mod build;
pub mod builder;
pub mod config;
pub mod container;
pub mod cron;
pub mod docker_flags;
pub mod domain_name;
pub mod envfile;
pub mod formation;
pub mod git;
pub mod health;
pub mod image;
pub mod name;
pub mod port;
pub mod procfile;
pub mod progress;
pub mod release;
pub mod rights;
pub mod secret;
pub mod service;
pub mod ssh_key;
pub mod text;

pub use addon::{AddonName, ServiceName};
pub use app_json::AppJson;
pub use build::{BuildId, BuildKind, BuildSource, BuildStatus};
pub use builder::{BuilderKind, BuildpackRef};
pub use config::{Config, EnvKey};
pub use container::{ContainerId, ContainerName};
pub use cron::{ConcurrencyPolicy, CronId, CronTask};
pub use docker_flags::{BuildFlags, ContainerSettings, DockerFlags};
pub use domain_name::Domain;
pub use formation::{Formation, ProcessIndex};
pub use git::{Branch, CommitId};
pub use health::{Check, CheckKind};
pub use image::ImageRef;
pub use name::{AppName, ProcessType};
pub use port::{PortMapping, Scheme};
pub use procfile::Procfile;
pub use progress::Progress;
pub use release::{Release, ReleaseNumber, ReleaseState};
pub use rights::{Right, Rights};
pub use secret::Secret;
pub use service::{Health, Service};
pub use ssh_key::{KeyName, SshKey};
pub use text::padded;

/// A value that does not have the form its type demands; displays as the sentence to show the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// An error with this sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// Implements what every text newtype has: display, access as text, parsing, and serde through both.
#[macro_export]
macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = $crate::Invalid;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}
