//! The pages: what control tells, put into templates. The templates print and decide nothing.

pub(crate) mod apps;
mod chart;
pub(crate) mod config;
pub(crate) mod deploys;
mod files;
pub(crate) mod frame;
pub(crate) mod host;
pub(crate) mod logs;
pub(crate) mod overview;
pub(crate) mod runs;
pub(crate) mod settings;
mod show;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use sarsen_control::{Failure, Outcome};

use crate::ansi;
use crate::visit::{Viewer, Visit};
use frame::Frame;

pub(crate) use files::{icon, script, style};

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    frame: Frame,
    title: String,
    text: String,
    /// Something to type.
    command: &'static str,
}

pub(crate) async fn nowhere(visit: Visit) -> Response {
    missing(&visit.viewer, "page")
}

/// What everybody without a session sees.
pub(crate) fn denied() -> Response {
    message(
        StatusCode::UNAUTHORIZED,
        &MessagePage {
            frame: Frame::bare(),
            title: "Not signed in".to_owned(),
            text: "This page is for people with a link, which works once and within 15 minutes. To get one, run this \
                   on the host, or over ssh with your key:"
                .to_owned(),
            command: "sarsen dashboard:login",
        },
    )
}

pub(crate) fn missing(viewer: &Viewer, what: &str) -> Response {
    say(
        viewer,
        StatusCode::NOT_FOUND,
        "Not found",
        &format!("There is no such {what}."),
    )
}

/// Something to tell somebody who is signed in.
pub(crate) fn say(viewer: &Viewer, status: StatusCode, title: &str, text: &str) -> Response {
    refused(status, Some(viewer), title, text.to_owned())
}

/// What the gate has against a request, of whoever it is.
pub(crate) fn refused(
    status: StatusCode,
    viewer: Option<&Viewer>,
    title: &str,
    text: String,
) -> Response {
    message(
        status,
        &MessagePage {
            frame: viewer.map_or_else(Frame::bare, Frame::of),
            title: title.to_owned(),
            text,
            command: "",
        },
    )
}

pub(crate) fn broken(failure: &Failure) -> Response {
    tracing::error!(error = %failure, "a page of the dashboard cannot be made");
    message(
        StatusCode::INTERNAL_SERVER_ERROR,
        &MessagePage {
            frame: Frame::bare(),
            title: "Something is wrong".to_owned(),
            text: failure.message.clone(),
            command: "sarsen doctor",
        },
    )
}

fn show(page: Outcome<impl Template>) -> Response {
    match page {
        Ok(page) => render(&page),
        Err(failure) => broken(&failure),
    }
}

/// A page of something that may not be there.
fn found(visit: &Visit, page: Outcome<Option<impl Template>>) -> Response {
    match page {
        Ok(Some(page)) => render(&page),
        Ok(None) => missing(&visit.viewer, "app, or nothing of that name in it"),
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

/// A log as HTML, a span a line.
fn lines(text: &str) -> String {
    let mut html = String::with_capacity(text.len() * 2);
    for line in ansi::lines(text.strip_suffix('\n').unwrap_or(text)) {
        html.push_str("<span class=\"l\">");
        spans(&line, &mut html);
        html.push_str("\n</span>");
    }
    if text.is_empty() { String::new() } else { html }
}

/// One line as HTML.
fn with_colours(text: &str) -> String {
    let mut html = String::new();
    for line in ansi::lines(text) {
        spans(&line, &mut html);
    }
    html
}

fn spans(line: &[ansi::Span], html: &mut String) {
    for span in line {
        let text = escaped(&span.text);
        // Writing to a string does not fail.
        match span.class.is_empty() {
            true => write!(html, "{text}"),
            false => write!(html, "<span class=\"{}\">{text}</span>", span.class),
        }
        .ok();
    }
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
