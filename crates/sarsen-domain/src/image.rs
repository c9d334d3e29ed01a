//! References to container images.

use serde::{Deserialize, Serialize};

use crate::{AppName, Invalid, text_newtype};

/// An image: `name[:tag]`, `server:port/team/name@sha256:…`, or an engine's id `sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef(String);
text_newtype!(ImageRef);

impl ImageRef {
    /// Checks the characters and the form; whether the image exists is the engine's to say.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        let bad = text.is_empty()
            || text.len() > 400
            || !text.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !text.chars().all(legal)
            || text.contains("//")
            || text.contains("..")
            || text.ends_with(['/', ':', '@']);
        if bad {
            return Err(Invalid::new(format!(
                "Invalid image reference '{}'",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// The registry that it comes from: `docker.io` when the name says none.
    pub fn server(&self) -> &str {
        match self.0.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => "docker.io",
        }
    }

    /// The app whose builds have this name on the host: `dokku/APP:tag`.
    pub fn app(&self) -> Option<AppName> {
        let hub = ["index.docker.io/", "docker.io/"];
        let name = hub.iter().find_map(|hub| self.0.strip_prefix(hub));
        let path = name.unwrap_or(&self.0).strip_prefix("dokku/")?;
        AppName::parse(path.split([':', '@']).next()?).ok()
    }

    /// Whether this is an engine's image id rather than a name.
    pub fn is_id(&self) -> bool {
        self.0.starts_with("sha256:")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_apps_are_known_by_name() {
        for (image, app) in [
            ("dokku/shop", Some("shop")),
            ("dokku/shop:v3", Some("shop")),
            ("docker.io/dokku/shop@sha256:ab", Some("shop")),
            ("shop", None),
            ("ghcr.io/dokku/shop", None),
            ("sha256:abcd", None),
        ] {
            let found = ImageRef::parse(image).unwrap().app();
            assert_eq!(found.as_ref().map(AppName::as_str), app, "{image}");
        }
    }

    #[test]
    fn names_say_their_registry() {
        for (image, server) in [
            ("nginx", "docker.io"),
            ("team/nginx:1", "docker.io"),
            ("host:5000/x", "host:5000"),
            ("ghcr.io/team/x@sha256:ab", "ghcr.io"),
            ("localhost/x", "localhost"),
        ] {
            assert_eq!(ImageRef::parse(image).unwrap().server(), server, "{image}");
        }
    }

    #[test]
    fn forms() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for good in [
            "nginx",
            "nginx:1.2",
            "host:5000/team/x:tag",
            &format!("x@{digest}"),
            &digest,
        ] {
            assert!(ImageRef::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "", "-x", "--rm", "a b", "a;b", "a$(b)", "a\n", "a//b", "../a", "a:",
        ] {
            assert!(ImageRef::parse(bad).is_err(), "{bad:?}");
        }
    }
}
