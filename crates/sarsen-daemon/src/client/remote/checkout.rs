//! The git checkout that the caller stands in.

use super::line::Place;

/// `git`, in the folder that the caller stands in.
pub(super) struct Git;

/// The remotes of a checkout that name a host, by name.
pub(super) struct Checkout {
    remotes: Vec<(String, Place)>,
    /// `git config dokku.remote`
    preferred: Option<String>,
}

/// What people call it when they do not say otherwise.
const USUAL: [&str; 2] = ["dokku", "sarsen"];

impl Git {
    pub(super) fn here() -> Self {
        Self
    }

    /// None outside of a checkout.
    pub(super) fn checkout(&self) -> Option<Checkout> {
        self.ask(&["rev-parse", "--git-dir"])?;
        let names = self.ask(&["remote"]).unwrap_or_default();
        let place = |name: &str| Some((name.to_owned(), Place::of_url(&self.url(name)?)?));
        Some(Checkout {
            remotes: names.lines().filter_map(place).collect(),
            preferred: self.ask(&["config", "--get", "dokku.remote"]),
        })
    }

    pub(super) fn url(&self, remote: &str) -> Option<String> {
        self.ask(&["config", "--get", &format!("remote.{remote}.url")])
    }

    /// The name of the remote to be, or that is.
    pub(super) fn remote_name(&self) -> String {
        let preferred = self.ask(&["config", "--get", "dokku.remote"]);
        let usual = || USUAL.into_iter().find(|name| self.url(name).is_some());
        preferred.unwrap_or_else(|| usual().unwrap_or(USUAL[0]).to_owned())
    }

    /// What git prints, without the line's end; none when it fails.
    #[expect(
        clippy::disallowed_types,
        reason = "a short-lived program without a runtime"
    )]
    fn ask(&self, arguments: &[&str]) -> Option<String> {
        let output = std::process::Command::new("git")
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim_end().to_owned())
    }

    /// Runs git for the caller to see; whether it worked.
    #[expect(
        clippy::disallowed_types,
        reason = "a short-lived program without a runtime"
    )]
    pub(super) fn run(&self, arguments: &[&str]) -> bool {
        let status = std::process::Command::new("git").args(arguments).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Checkout {
    /// The remote that was named; else the preferred one, else the one with the usual name.
    pub(super) fn chosen(&self, named: Option<&str>) -> Option<Place> {
        let find = |wanted: &str| {
            let found = self.remotes.iter().find(|(name, _)| name == wanted);
            found.map(|(_, place)| place.clone())
        };
        match named.or(self.preferred.as_deref()) {
            Some(name) => find(name),
            None => USUAL.into_iter().find_map(find),
        }
    }
}
