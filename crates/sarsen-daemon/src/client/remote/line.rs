//! What goes to the host: where it is, which app is meant, and the words, quoted for the other side.

use rand::seq::IndexedRandom;

/// Nouns whose commands take no app, or take it where the caller puts it.
const WITHOUT_APP: [&str; 11] = [
    "access", "addons", "apps", "certs", "events", "help", "ls", "plugin", "shell", "ssh-keys",
    "version",
];
/// Single commands of the same kind.
const WITHOUT_APP_EITHER: [&str; 18] = [
    "certs:chain",
    "dashboard:login",
    "domains:add-global",
    "domains:clear-global",
    "domains:remove-global",
    "domains:set-global",
    "logs:vector-logs",
    "logs:vector-start",
    "logs:vector-stop",
    "network:create",
    "network:destroy",
    "network:exists",
    "network:info",
    "network:list",
    "network:rebuildall",
    "nginx",
    "ps:restore",
    "storage:ensure-directory",
];
const ADJECTIVES: [&str; 12] = [
    "amber", "brave", "calm", "clear", "gentle", "green", "quiet", "rapid", "silver", "solid",
    "still", "wild",
];
const NOUNS: [&str; 12] = [
    "brook", "cairn", "cliff", "dale", "field", "harbour", "hill", "lake", "meadow", "moor",
    "ridge", "stone",
];

/// What the caller said, with what is for us taken out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) remote: Option<String>,
    app: Option<String>,
    global: bool,
    /// Flags before the command that go along.
    flags: Vec<String>,
    /// The command and its arguments.
    pub(super) words: Vec<String>,
}

/// A host, and perhaps an app on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    user: String,
    host: String,
    pub(super) port: Option<u16>,
    pub(super) app: Option<String>,
}

/// The words for the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    words: Vec<String>,
    app: Option<String>,
}

impl Said {
    pub(super) fn read(words: &[String]) -> Self {
        let mut said = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (flag, tied) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            match flag {
                "--remote" => said.remote = tied.or_else(|| words.next().cloned()),
                "--app" | "-a" => said.app = tied.or_else(|| words.next().cloned()),
                "--global" => said.global = true,
                other if other.starts_with('-') => said.flags.push(word.clone()),
                _ => {
                    said.words.push(word.clone());
                    said.words.extend(words.by_ref().cloned());
                }
            }
        }
        said
    }

    /// Whether the command wants an app in front of its arguments.
    fn takes_app(&self) -> bool {
        let Some(command) = self.words.first() else {
            return false;
        };
        let noun = command.split(':').next().unwrap_or(command);
        let says_global = self
            .words
            .get(1)
            .is_some_and(|word| word == "--global" || word == "--all");
        let asks_help =
            command.ends_with(":help") || self.words.iter().any(|word| word == "--help");
        !(self.global
            || says_global
            || asks_help
            || WITHOUT_APP.contains(&noun)
            || WITHOUT_APP_EITHER.contains(&command.as_str()))
    }
}

impl Place {
    pub(super) fn new(
        user: &str,
        host: &str,
        port: Option<u16>,
        app: Option<String>,
    ) -> Result<Self, String> {
        let plain = |text: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || "._-:[]%".contains(c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(legal)
        };
        if !plain(user) || !plain(host) {
            return Err(format!("'{}' is no host name", host.escape_debug()));
        }
        Ok(Self {
            user: user.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            app,
        })
    }

    /// `dokku@HOST:APP` or `ssh://dokku@HOST[:PORT]/APP`
    pub(super) fn of_url(url: &str) -> Option<Self> {
        let (authority, path, port) = match url.strip_prefix("ssh://") {
            Some(rest) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                match authority.rsplit_once(':') {
                    Some((host, port)) if !port.ends_with(']') => (
                        host,
                        path,
                        Some(port.parse().ok().filter(|port| *port > 0)?),
                    ),
                    Some(_) | None => (authority, path, None),
                }
            }
            // A colon behind a slash belongs to a path on this machine.
            None => {
                let (authority, path) = url.split_once(':')?;
                if authority.contains('/') || path.starts_with("//") {
                    return None;
                }
                (authority, path, None)
            }
        };
        let (user, host) = authority.rsplit_once('@')?;
        let app = path.trim_matches('/').trim_end_matches(".git");
        let app = Some(app.to_owned()).filter(|app| !app.is_empty());
        Self::new(user, host, port, app).ok()
    }

    /// For ssh.
    pub(super) fn address(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }

    /// For git.
    pub(super) fn url(&self, app: &str) -> String {
        let Self { user, host, .. } = self;
        match self.port {
            Some(port) if host.contains(':') => format!("ssh://{user}@[{host}]:{port}/{app}"),
            Some(port) => format!("ssh://{user}@{host}:{port}/{app}"),
            None if host.contains(':') => format!("ssh://{user}@[{host}]/{app}"),
            None => format!("{user}@{host}:{app}"),
        }
    }
}

impl Line {
    pub(super) fn new(said: &Said, place: &Place) -> Result<Self, String> {
        let mut words = said.flags.clone();
        let command = said.words.first().map(String::as_str);
        let known = said.app.as_ref().or(place.app.as_ref());
        let mut rest = said.words.clone();
        let mut app = rest.get(1).filter(|word| !word.starts_with('-')).cloned();
        match command {
            Some("apps:create") if app.is_none() => {
                let name = said.app.clone().unwrap_or_else(random_name);
                rest.push(name.clone());
                app = Some(name);
            }
            Some("apps:create") => {}
            // `apps:destroy` inside a checkout means its app, as everything else does.
            Some(
                "apps:destroy" | "apps:report" | "apps:exists" | "apps:lock" | "apps:locked"
                | "apps:unlock",
            ) if app.is_none() => {
                rest.extend(known.cloned());
                app = known.cloned();
            }
            _ if said.app.is_some() || said.takes_app() => {
                if let Some(known) = known.filter(|known| !is_named(said, known)) {
                    words.extend(["--app".to_owned(), known.clone()]);
                    app = Some(known.clone());
                }
            }
            _ => {}
        }
        if said.global {
            // Behind the command, where its grammar has it.
            rest.insert(rest.len().min(1), "--global".to_owned());
        }
        words.extend(rest);
        match words.iter().find(|word| word.contains('\0')) {
            Some(_) => Err("A word with a NUL byte cannot be sent".to_owned()),
            None => Ok(Self { words, app }),
        }
    }

    pub(super) fn app(&self) -> Option<&str> {
        self.app.as_deref()
    }

    /// In the quotes of a POSIX shell, which is how the other side takes it apart.
    pub(super) fn text(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|word| quoted(word)).collect();
        words.join(" ")
    }
}

/// Whoever names the checkout's app nevertheless gets it once.
fn is_named(said: &Said, app: &String) -> bool {
    said.app.is_none() && said.words.get(1) == Some(app)
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn random_name() -> String {
    let mut random = rand::rng();
    let pick = |words: &[&'static str], random: &mut rand::rngs::ThreadRng| {
        words.choose(random).copied().unwrap_or("app")
    };
    let (adjective, noun) = (pick(&ADJECTIVES, &mut random), pick(&NOUNS, &mut random));
    format!("{adjective}-{noun}-{}", rand::random_range(100..1000))
}
