//! The pages, and the few files that go with them.

mod view;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use sarsen_control::{Failure, Outcome};
use sarsen_domain::{BuildId, BuildStatus};

use crate::Web;
use crate::ansi;
use crate::visit::{Viewer, Visit};
use crate::words::now;
use view::{AppRow, BuildRow, InstanceRow, ReleaseRow};

const STYLE: &str = include_str!("../../../templates/style.css");
const ICON: &str = include_str!("../../../templates/icon.svg");

#[derive(Template)]
#[template(path = "apps.html")]
struct AppsPage {
    viewer: String,
    csrf: String,
    apps: Vec<AppRow>,
    docker_down: bool,
    busy: bool,
}

#[derive(Template)]
#[template(path = "app.html")]
struct AppPage {
    viewer: String,
    csrf: String,
    app: AppRow,
    urls: Vec<String>,
    instances: Vec<InstanceRow>,
    releases: Vec<ReleaseRow>,
    builds: Vec<BuildRow>,
    busy: bool,
}

#[derive(Template)]
#[template(path = "build.html")]
struct BuildPage {
    viewer: String,
    csrf: String,
    app: String,
    build: BuildRow,
    log: String,
    omitted: u64,
    busy: bool,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    viewer: String,
    csrf: String,
    title: &'static str,
    text: String,
    /// Something to type.
    command: &'static str,
    busy: bool,
}

pub(crate) async fn apps(visit: Visit, State(web): State<Web>) -> Response {
    let page = async {
        let (apps, pulse) = tokio::join!(web.control.overview(), web.control.pulse());
        let mut apps = apps?;
        apps.retain(|app| visit.viewer.actor.sees(&app.name));
        let apps: Vec<_> = apps.iter().map(|app| AppRow::new(app, now())).collect();
        Ok(AppsPage {
            viewer: visit.viewer.name,
            csrf: visit.viewer.csrf,
            busy: apps.iter().any(|app| app.deploying),
            apps,
            docker_down: !pulse.engine,
        })
    };
    show(page.await)
}

pub(crate) async fn app(visit: Visit, State(web): State<Web>) -> Response {
    let name = match visit.app() {
        Ok(app) => app.clone(),
        Err(response) => return response,
    };
    let viewer = visit.viewer;
    let details = match web.control.app_details(&name).await {
        Ok(Some(details)) => details,
        Ok(None) => return missing(&viewer, "app"),
        Err(failure) => return broken(&failure),
    };
    let now = now();
    show(Ok(AppPage {
        viewer: viewer.name,
        csrf: viewer.csrf,
        busy: details.overview.deploying,
        app: AppRow::new(&details.overview, now),
        urls: details.urls,
        instances: details
            .instances
            .iter()
            .map(|line| InstanceRow::new(line, now))
            .collect(),
        releases: details
            .releases
            .iter()
            .map(|release| ReleaseRow::new(release, now))
            .collect(),
        builds: details
            .builds
            .iter()
            .map(|build| BuildRow::new(build, now))
            .collect(),
    }))
}

pub(crate) async fn build(
    visit: Visit,
    State(web): State<Web>,
    Path((_, build)): Path<(String, String)>,
) -> Response {
    let viewer = visit.viewer.clone();
    let (Ok(app), Ok(id)) = (visit.app().cloned(), BuildId::parse(&build)) else {
        return missing(&viewer, "build");
    };
    match web.control.build_details(&app, &id).await {
        Ok(Some(details)) => show(Ok(BuildPage {
            viewer: viewer.name,
            csrf: viewer.csrf,
            app: app.to_string(),
            busy: details.build.status == BuildStatus::Running,
            build: BuildRow::new(&details.build, now()),
            log: ansi::plain(&details.log),
            omitted: details.omitted / 1024,
        })),
        Ok(None) => missing(&viewer, "build"),
        Err(failure) => broken(&failure),
    }
}

pub(crate) async fn nowhere(visit: Visit) -> Response {
    missing(&visit.viewer, "page")
}

/// Long enough to spare requests, short enough for an upgrade to be seen.
const A_WHILE: &str = "max-age=300";

pub(crate) async fn style() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, A_WHILE),
    ];
    (headers, STYLE).into_response()
}

pub(crate) async fn icon() -> Response {
    (
        [(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, A_WHILE)],
        ICON,
    )
        .into_response()
}

/// What everybody without a session sees.
pub(crate) fn denied() -> Response {
    message(StatusCode::UNAUTHORIZED, &MessagePage {
        viewer: String::new(),
        csrf: String::new(),
        title: "Not signed in",
        text: "This page is for people with a link, which works once and within 15 minutes. To get one, run this on \
               the host, or over ssh with your key:"
            .to_owned(),
        command: "sarsen dashboard:login",
        busy: false,
    })
}

pub(crate) fn missing(viewer: &Viewer, what: &str) -> Response {
    let text = format!("There is no such {what}.");
    refused(StatusCode::NOT_FOUND, Some(viewer), "Not found", text)
}

/// A page that says why there is no other.
pub(crate) fn refused(
    status: StatusCode,
    viewer: Option<&Viewer>,
    title: &'static str,
    text: String,
) -> Response {
    message(
        status,
        &MessagePage {
            viewer: viewer.map(|viewer| viewer.name.clone()).unwrap_or_default(),
            csrf: viewer.map(|viewer| viewer.csrf.clone()).unwrap_or_default(),
            title,
            text,
            command: "",
            busy: false,
        },
    )
}

pub(crate) fn broken(failure: &Failure) -> Response {
    tracing::error!(error = %failure, "a page of the dashboard cannot be made");
    message(
        StatusCode::INTERNAL_SERVER_ERROR,
        &MessagePage {
            viewer: String::new(),
            csrf: String::new(),
            title: "Something is wrong",
            text: failure.message.clone(),
            command: "sarsen doctor",
            busy: false,
        },
    )
}

fn show(page: Outcome<impl Template>) -> Response {
    match page {
        Ok(page) => render(&page),
        Err(failure) => broken(&failure),
    }
}

fn message(status: StatusCode, page: &MessagePage) -> Response {
    (status, render(page)).into_response()
}

fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of the dashboard cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
