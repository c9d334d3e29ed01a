//! A build: its log line by line, and its phases as they change.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use sarsen_control::board::DeployBoard;
use sarsen_control::{BuildFollower, Control};
use sarsen_domain::{AppName, BuildId};

use super::{Lines, batches, event, last_id, line_event, send};
use crate::Web;
use crate::visit::Visit;

/// Phases are looked at this often while nothing is written.
const LOOK: Duration = Duration::from_secs(1);

struct Following {
    control: Control,
    app: AppName,
    build: BuildId,
    follower: BuildFollower,
    lines: Lines,
    shown: Option<DeployBoard>,
    over: bool,
}

/// `line`: a line as JSON text, its id the bytes up to its end. `state`: the build and its phases. `end`: the last.
pub(crate) async fn stream(
    visit: Visit,
    State(web): State<Web>,
    Path((_, build)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let missing = || (StatusCode::NOT_FOUND, "There is no such build\n").into_response();
    let (Ok(app), Ok(build)) = (visit.app(), BuildId::parse(&build)) else {
        return missing();
    };
    let position = last_id(&headers, &uri)
        .and_then(|id| id.parse().ok())
        .unwrap_or(0);
    let Ok(follower) = web.control.follow_build(app, &build, position).await else {
        return missing();
    };
    let following = Following {
        control: web.control.clone(),
        app: app.clone(),
        build,
        follower,
        lines: Lines::at(position),
        shown: None,
        over: false,
    };
    send(
        &web,
        &visit,
        Some(app.clone()),
        batches(following, Following::next),
    )
}

impl Following {
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        if self.over {
            return None;
        }
        let mut events = Vec::new();
        if self.shown.is_none() {
            events.extend(self.state().await);
            return Some((events, self));
        }
        match tokio::time::timeout(LOOK, self.follower.next()).await {
            Ok(Ok(Some(bytes))) => {
                events.extend(self.lines.push(&bytes).into_iter().map(line_event))
            }
            // Nothing new for a while.
            Err(_) => {}
            // Over, or its log is gone.
            Ok(Ok(None) | Err(_)) => {
                events.extend(self.lines.rest().map(line_event));
                events.extend(self.state().await);
                let status = self.shown.as_ref().map_or("", |board| board.build.status);
                events.push(event("end", &status));
                self.over = true;
                return Some((events, self));
            }
        }
        events.extend(self.state().await);
        Some((events, self))
    }

    /// The build, when it has changed.
    async fn state(&mut self) -> Option<Event> {
        let board = self
            .control
            .deploy_board(&self.app, &self.build)
            .await
            .ok()??;
        if self.shown.as_ref() == Some(&board) {
            return None;
        }
        let event = event("state", &board);
        self.shown = Some(board);
        Some(event)
    }
}
