//! Deploys under way: the whole list whenever it changes.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use sarsen_control::board::RunningDeploy;
use sarsen_control::{Actor, Control};

use super::{batches, event, send};
use crate::Web;
use crate::visit::Visit;

const LOOK: Duration = Duration::from_secs(1);

struct Watching {
    control: Control,
    actor: Actor,
    shown: Option<Vec<RunningDeploy>>,
}

/// `deploys`: those under way. The first comes at once, so that nothing is missed between two streams.
pub(crate) async fn stream(visit: Visit, State(web): State<Web>) -> Response {
    let watching = Watching {
        control: web.control.clone(),
        actor: visit.viewer.actor.clone(),
        shown: None,
    };
    send(&web, &visit, None, batches(watching, Watching::next))
}

impl Watching {
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        loop {
            // Whoever's rights have changed since is found out within seconds, and the stream ends.
            let running = self.control.running_deploys(&self.actor).await.ok()?;
            if self.shown.as_ref() != Some(&running) {
                let events = vec![event("deploys", &running)];
                self.shown = Some(running);
                return Some((events, self));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
