//! Builds: the record of every attempt to change what runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// A build's id: 14 characters of base 36, time first so that ids sort by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildId(String);
text_newtype!(BuildId);

impl BuildId {
    /// 14 characters `0-9a-z`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() != 14
            || !text
                .bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        {
            return Err(Invalid::new(format!(
                "Invalid build id '{}'",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// An id made of the time in milliseconds since 1970 and a random number.
    pub fn from_parts(millis: u64, random: u32) -> Self {
        Self(base36(millis, 9) + &base36(u64::from(random), 5))
    }
}

fn base36(mut value: u64, width: usize) -> String {
    let mut digits = Vec::with_capacity(width);
    for _ in 0..width {
        digits.push(char::from_digit((value % 36) as u32, 36).unwrap_or('0'));
        value /= 36;
    }
    digits.iter().rev().collect()
}

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The word stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(Invalid::new(format!(
                        "Unknown value '{}': use {}", other.escape_debug(), [$($word),*].join(", ")
                    ))),
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> { text.parse() }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self { value.as_str().to_owned() }
        }
    };
}
pub(crate) use word_enum;

word_enum! {
    /// Whether source is built, or an existing image is deployed anew.
    BuildKind {
        /// From source or an image reference.
        Build = "build",
        /// From a release that exists.
        Deploy = "deploy",
    }
}

word_enum! {
    /// How far a build has come.
    BuildStatus {
        /// Under way.
        Running = "running",
        /// Its release is live.
        Succeeded = "succeeded",
        /// It was rejected; the old release serves.
        Failed = "failed",
        /// A person stopped it.
        Canceled = "canceled",
        /// The daemon stopped in the middle of it.
        Abandoned = "abandoned",
    }
}

word_enum! {
    /// What set a build off.
    BuildSource {
        /// `git push`
        GitHook = "git-hook",
        /// `ps:rebuild`
        PsRebuild = "ps:rebuild",
        /// `ps:restart`
        PsRestart = "ps:restart",
        /// `ps:start`
        PsStart = "ps:start",
        /// `ps:scale`
        PsScale = "ps:scale",
        /// A config change
        ConfigRedeploy = "config-redeploy",
        /// `git:from-image`
        GitFromImage = "git:from-image",
        /// `git:from-archive`
        GitFromArchive = "git:from-archive",
        /// `git:load-image`
        GitLoadImage = "git:load-image",
        /// `git:sync`
        GitSync = "git:sync",
        /// `deploy`, and the first deploy of a clone
        Deploy = "deploy",
        /// `rollback`
        Rollback = "rollback",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let early = BuildId::from_parts(1_700_000_000_000, u32::MAX);
        let late = BuildId::from_parts(1_700_000_000_001, 0);
        assert!(early < late);
        assert_eq!(BuildId::parse(early.as_str()).unwrap(), early);
        assert!(BuildId::parse("../../etc/passw").is_err());
    }

    #[test]
    fn words_round_trip() {
        assert_eq!(
            "git-hook".parse::<BuildSource>().unwrap(),
            BuildSource::GitHook
        );
        assert!(
            "nope"
                .parse::<BuildStatus>()
                .unwrap_err()
                .to_string()
                .contains("running, succeeded")
        );
    }
}
