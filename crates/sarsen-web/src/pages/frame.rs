//! What every page has around it: who looks, where, and what an app's pages have in common.

use sarsen_control::Action;
use sarsen_control::board::AppBoard;
use sarsen_domain::AppName;

use crate::visit::{Viewer, Visit};

/// Around a page.
pub(crate) struct Frame {
    pub(crate) viewer: String,
    pub(crate) csrf: String,
    pub(crate) is_admin: bool,
    pub(crate) sees_host: bool,
    /// Which link of the bar on top is this page's.
    pub(crate) here: &'static str,
    /// Where forms lead back to.
    pub(crate) back: String,
    /// Something goes on that the page shows: it is loaded again when there is no script.
    pub(crate) busy: bool,
    /// The stream that says when to look again; none when empty.
    pub(crate) events: String,
    /// Seconds until the script looks again anyway; 0 for never.
    pub(crate) every: u32,
    pub(crate) flash: Option<Flash>,
    /// The same in a terminal.
    pub(crate) commands: Vec<String>,
}

/// What a command said that was just carried out.
pub(crate) struct Flash {
    pub(crate) tone: &'static str,
    pub(crate) title: String,
    pub(crate) text: String,
}

/// On top of each of an app's pages.
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) deploying: Option<String>,
    pub(crate) url: String,
    pub(crate) maintenance: bool,
    pub(crate) locked: bool,
    pub(crate) is_deployed: bool,
    pub(crate) may_deploy: bool,
    tab: &'static str,
}

/// One of an app's pages.
pub(crate) struct Tab {
    pub(crate) path: &'static str,
    pub(crate) title: &'static str,
    /// Leads there after `g`.
    pub(crate) key: &'static str,
    pub(crate) here: bool,
}

const TABS: [(&str, &str, &str); 11] = [
    ("", "Overview", "o"),
    ("/deploys", "Deploys", "d"),
    ("/logs", "Logs", "l"),
    ("/config", "Config", "c"),
    ("/domains", "Domains", "w"),
    ("/scale", "Scale", "s"),
    ("/addons", "Addons", ""),
    ("/cron", "Cron", ""),
    ("/storage", "Storage", ""),
    ("/run", "Run", "r"),
    ("/settings", "Settings", "e"),
];

impl Frame {
    /// For a page of the bar on top.
    pub(crate) fn new(visit: &Visit, here: &'static str, back: &str) -> Self {
        Self {
            here,
            back: back.to_owned(),
            flash: visit.done.as_ref().map(|run| Flash {
                tone: match run.exit_code {
                    Some(0) => "good",
                    Some(_) => "bad",
                    None => "odd",
                },
                title: run.command.clone(),
                text: crate::ansi::plain(run.output.trim_end()),
            }),
            ..Self::of(&visit.viewer)
        }
    }

    /// For a page of no place in particular.
    pub(crate) fn of(viewer: &Viewer) -> Self {
        Self {
            viewer: viewer.name.clone(),
            csrf: viewer.csrf.clone(),
            is_admin: viewer.is_admin(),
            sees_host: viewer.may(Action::Read, None),
            ..Self::bare()
        }
    }

    /// For somebody who is not signed in, or a page that could not be made.
    pub(crate) fn bare() -> Self {
        Self {
            viewer: String::new(),
            csrf: String::new(),
            is_admin: false,
            sees_host: false,
            here: "",
            back: "/".to_owned(),
            busy: false,
            events: String::new(),
            every: 0,
            flash: None,
            commands: Vec::new(),
        }
    }

    /// The script looks again when deploys begin, change or end, and after this many seconds.
    pub(crate) fn lively(mut self, every: u32) -> Self {
        "/live".clone_into(&mut self.events);
        self.every = every;
        self
    }

    pub(crate) fn busy(mut self, busy: impl Into<Busy>) -> Self {
        self.busy = matches!(busy.into(), Busy::Yes);
        self
    }

    pub(crate) fn commands<const N: usize>(mut self, commands: [String; N]) -> Self {
        self.commands = commands.into();
        self
    }
}

/// Whether something is under way.
pub(crate) enum Busy {
    Yes,
    No,
}

impl From<bool> for Busy {
    fn from(busy: bool) -> Self {
        if busy { Self::Yes } else { Self::No }
    }
}

impl Head {
    pub(crate) fn new(visit: &Visit, board: &AppBoard, tab: &'static str) -> Self {
        let app = AppName::parse(&board.card.name).ok();
        Self {
            name: board.card.name.clone(),
            state: board.card.state,
            deploying: board.card.deploying.clone(),
            url: board.card.url.clone().unwrap_or_default(),
            maintenance: board.maintenance,
            locked: board.locked,
            is_deployed: board.card.release.is_some(),
            may_deploy: app.is_some_and(|app| visit.viewer.may(Action::Deploy, Some(&app))),
            tab,
        }
    }

    pub(crate) fn tabs(&self) -> impl Iterator<Item = Tab> {
        TABS.iter().map(|(path, title, key)| Tab {
            path,
            title,
            key,
            here: *path == self.tab,
        })
    }
}
