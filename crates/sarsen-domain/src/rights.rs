//! What the holder of a key may do, everywhere and with single apps.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{AppName, Invalid};

/// A level of trust; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Looks: reports, logs, releases.
    Read,
    /// Pushes, runs commands, changes the app's settings and config vars.
    Deploy,
    /// Everything, also what concerns the host.
    Admin,
}

impl Right {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Deploy, Self::Admin];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Right {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|right| right.as_str() == text);
        found.ok_or_else(|| {
            Invalid::new(format!(
                "Invalid right '{}': use read, deploy or admin",
                text.escape_debug()
            ))
        })
    }
}

/// The rights of one key. By default there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// What holds for the host and every app.
    pub everywhere: Option<Right>,
    /// What holds for single apps on top of that.
    pub apps: BTreeMap<AppName, Right>,
}

impl Rights {
    /// May do everything.
    pub fn admin() -> Self {
        Self {
            everywhere: Some(Right::Admin),
            apps: BTreeMap::new(),
        }
    }

    /// What holds for an app.
    pub fn on(&self, app: &AppName) -> Option<Right> {
        self.everywhere.max(self.apps.get(app).copied())
    }

    /// Of these, no more than the others allow.
    pub fn within(&self, limit: &Self) -> Self {
        let both = self.apps.keys().chain(limit.apps.keys());
        let apps = both.filter_map(|app| {
            let right = self.on(app).min(limit.on(app))?;
            Some((app.clone(), right))
        });
        Self {
            everywhere: self.everywhere.min(limit.everywhere),
            apps: apps.collect(),
        }
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.everywhere.is_some() || !self.apps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_right_holds() {
        let app = |name: &str| AppName::parse(name).unwrap();
        let mut rights = Rights::default();
        assert!(!rights.any() && rights.on(&app("shop")).is_none());
        rights.apps.insert(app("shop"), Right::Deploy);
        assert_eq!(rights.on(&app("shop")), Some(Right::Deploy));
        assert_eq!(rights.on(&app("blog")), None);
        rights.everywhere = Some(Right::Read);
        assert_eq!(rights.on(&app("shop")), Some(Right::Deploy));
        assert_eq!(rights.on(&app("blog")), Some(Right::Read));
        assert_eq!(Rights::admin().on(&app("blog")), Some(Right::Admin));
        let limit = Rights {
            everywhere: Some(Right::Read),
            apps: [(app("blog"), Right::Admin), (app("shop"), Right::Read)].into(),
        };
        let limited = Rights {
            everywhere: None,
            apps: [(app("shop"), Right::Deploy)].into(),
        }
        .within(&limit);
        assert_eq!(limited.on(&app("shop")), Some(Right::Read));
        assert_eq!((limited.on(&app("blog")), limited.everywhere), (None, None));
        assert_eq!(
            Rights::admin().within(&limit).on(&app("blog")),
            Some(Right::Admin)
        );
        assert_eq!(Rights::admin().within(&limit).everywhere, Some(Right::Read));
        for right in Right::ALL {
            assert_eq!(right.to_string().parse(), Ok(right));
        }
        assert!("root".parse::<Right>().is_err());
    }
}
