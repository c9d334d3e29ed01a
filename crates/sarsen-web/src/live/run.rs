//! What a command writes, and its end.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use sarsen_control::{Control, RunState, WebActor};
use tokio::sync::watch;

use super::{Lines, batches, event, last_id, line_event, send};
use crate::Web;
use crate::visit::Visit;

struct Following {
    control: Control,
    actor: WebActor,
    id: String,
    changes: watch::Receiver<u64>,
    lines: Lines,
    /// Bytes that were taken out of the command's output so far.
    taken: u64,
    over: bool,
}

/// `line`: a line as JSON text, its id the bytes up to its end. `end`: the exit code.
pub(crate) async fn stream(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let actor = visit.viewer.web.clone();
    let Some(mut changes) = web.control.run_changes(&actor, &id) else {
        let text = "There is no such command, or it is not remembered any more\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    changes.mark_changed();
    let position = last_id(&headers, &uri)
        .and_then(|id| id.parse().ok())
        .unwrap_or(0);
    let following = Following {
        control: web.control.clone(),
        actor,
        id,
        changes,
        lines: Lines::at(position),
        taken: position,
        over: false,
    };
    send(&web, &visit, None, batches(following, Following::next))
}

impl Following {
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        if self.over {
            return None;
        }
        // When the sender is gone, the command is forgotten, and there is no view.
        if self.changes.changed().await.is_err() {
            return None;
        }
        let run = self
            .control
            .run_progress(&self.actor, &self.id, self.taken)?;
        self.taken = run.position;
        let mut events: Vec<Event> = self
            .lines
            .push(&run.bytes)
            .into_iter()
            .map(line_event)
            .collect();
        if run.state == RunState::Ended {
            events.extend(self.lines.rest().map(line_event));
            events.push(event("end", &run.exit_code));
            self.over = true;
        }
        Some((events, self))
    }
}
