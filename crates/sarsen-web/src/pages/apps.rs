//! All apps, the host on top of them, and the page that makes new ones.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use sarsen_control::board::{AppCard, CertificateWarning, HostStrip, RunningDeploy};

use super::frame::Frame;
use super::{chart, show};
use crate::Web;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "apps.html")]
struct AppsPage {
    frame: Frame,
    facts: Vec<Fact>,
    warnings: Vec<CertificateWarning>,
    running: Vec<RunningDeploy>,
    apps: Vec<AppCard>,
    docker_down: bool,
    remote: String,
}

#[derive(Template)]
#[template(path = "new.html")]
struct NewPage {
    frame: Frame,
    remote: String,
}

/// A number of the host.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) note: String,
    /// How full it is, in percent.
    pub(super) part: Option<u32>,
    pub(super) tone: &'static str,
}

/// Stands for the name in what is to be typed.
const SOME_APP: &str = "my-app";

pub(crate) async fn apps(visit: Visit, State(web): State<Web>) -> Response {
    let page = async {
        let actor = &visit.viewer.actor;
        let (cards, running) = tokio::join!(
            web.control.app_cards(actor),
            web.control.running_deploys(actor)
        );
        let (apps, running) = (cards?, running?);
        let strip = web.control.host_strip(actor).await?;
        Ok(AppsPage {
            frame: Frame::new(&visit, "apps", "/")
                .lively(10)
                .busy(!running.is_empty())
                .commands(["sarsen apps:list".to_owned(), "sarsen ps:report".to_owned()]),
            docker_down: !strip.engine,
            facts: if visit.viewer.may(sarsen_control::Action::Read, None) {
                facts(&strip)
            } else {
                Vec::new()
            },
            warnings: strip.certificate_warnings,
            running,
            apps,
            remote: remote(&web),
        })
    };
    super::show(page.await)
}

pub(crate) async fn new(visit: Visit, State(web): State<Web>) -> Response {
    if let Some(run) = visit.done.as_ref().filter(|run| run.exit_code == Some(0))
        && let Some(name) = run.command.strip_prefix("sarsen apps:create ")
    {
        // It was made a moment ago: its page says how to push to it.
        return Redirect::to(&format!("/apps/{name}?done={}", run.id)).into_response();
    }
    super::show(Ok(NewPage {
        frame: Frame::new(&visit, "new", "/new").commands([
            format!("sarsen apps:create {SOME_APP}"),
            format!("sarsen git:from-image {SOME_APP} IMAGE"),
        ]),
        remote: remote(&web),
    }))
}

fn remote(web: &Web) -> String {
    let app = SOME_APP.parse();
    app.map(|app| web.control.remote(&app)).unwrap_or_default()
}

pub(super) fn facts(strip: &HostStrip) -> Vec<Fact> {
    let cpu = strip.cpu.map(|part| percent(part * 100.0, 100.0));
    let [one, five, quarter] = strip.load;
    vec![
        Fact {
            label: "CPU",
            value: cpu.map_or_else(|| "–".to_owned(), |part| format!("{part} %")),
            note: format!("of {} cores", strip.cores),
            part: cpu,
            tone: "",
        },
        used("Memory", strip.memory_used, strip.memory_total),
        used("Disk", strip.disk_used, strip.disk_total),
        Fact {
            label: "Load",
            value: format!("{one:.2}"),
            note: format!("{five:.2} {quarter:.2}"),
            part: None,
            tone: "",
        },
        Fact {
            label: "Requests",
            value: format!("{:.1}/s", strip.requests_per_second),
            note: format!("{} open", strip.connections),
            part: None,
            tone: "",
        },
        Fact {
            label: "All apps",
            value: match show::bytes(&strip.apps_memory) {
                none if none.is_empty() => "–".to_owned(),
                some => some,
            },
            note: show::cpu(&strip.apps_cpu_millis),
            part: None,
            tone: "",
        },
        match strip.certificate_warnings.len() {
            0 => plain("Certificates", "no warning", "good"),
            1 => plain("Certificates", "1 warning", "odd"),
            more => plain("Certificates", &format!("{more} warnings"), "odd"),
        },
        match (strip.engine, strip.store) {
            (true, true) => plain("Docker", "answers", "good"),
            (false, _) => plain("Docker", "does not answer", "bad"),
            (true, false) => plain("Store", "does not answer", "bad"),
        },
    ]
}

fn plain(label: &'static str, value: &str, tone: &'static str) -> Fact {
    Fact {
        label,
        value: value.to_owned(),
        note: String::new(),
        part: None,
        tone,
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded to percent")]
fn used(label: &'static str, used: u64, total: u64) -> Fact {
    let part = percent(used as f64, total as f64);
    Fact {
        label,
        value: format!("{part} %"),
        note: format!("of {}", show::bytes(&total)),
        part: Some(part),
        tone: if part >= 95 { "bad" } else { "" },
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it lies between 0 and 100"
)]
fn percent(part: f64, of: f64) -> u32 {
    if of > 0.0 {
        (part * 100.0 / of).round().clamp(0.0, 100.0) as u32
    } else {
        0
    }
}
