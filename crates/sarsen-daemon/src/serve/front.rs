//! The router and its ports: what goes on serving while all that stands behind it changes.

use std::io;
use std::time::Duration;

use anyhow::Result;
use sarsen_control::{PortSocket, RouterPorts};
use sarsen_router::{Router, RouterSettings};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::components::Components;
use super::listeners::Listeners;
use super::succession::Predecessor;

/// The router, serving from [`Front::open`] on.
pub(super) struct Front {
    pub(super) router: Router,
    pub(super) ports: RouterPorts,
    stop: CancellationToken,
    hurry: CancellationToken,
    /// What is served at ports that routes ask for.
    tasks: TaskTracker,
    components: Components,
    is_open: bool,
}

impl Front {
    pub(super) fn new(settings: RouterSettings, handed: Vec<PortSocket>) -> io::Result<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let ports = RouterPorts::new(stop.clone(), tasks.clone());
        for socket in handed {
            ports.take_over(socket)?;
        }
        Ok(Self {
            router: Router::new(settings),
            ports,
            components: Components::new(stop.clone()),
            stop,
            hurry: CancellationToken::new(),
            tasks,
            is_open: false,
        })
    }

    /// Lets requests in. Call it when there are routes; again does nothing.
    pub(super) fn open(&mut self, listeners: &Listeners) -> Result<()> {
        if self.is_open {
            return Ok(());
        }
        for listener in listeners.http.listeners()? {
            let (router, stop) = (self.router.clone(), self.stop.clone());
            self.components.start("the router", async move {
                if let Err(error) = router.serve(listener, stop).await {
                    tracing::error!(%error, "the router cannot serve");
                }
            });
        }
        for listener in listeners.https.listeners()? {
            let (router, stop) = (self.router.clone(), self.stop.clone());
            self.components.start("the router (HTTPS)", async move {
                if let Err(error) = router.serve_tls(listener, stop).await {
                    tracing::error!(%error, "the router cannot serve HTTPS");
                }
            });
        }
        self.is_open = true;
        Ok(())
    }

    /// The first part that ends although nobody asked it to.
    pub(super) async fn first_end(&mut self) -> &'static str {
        self.components.first_end().await
    }

    /// We serve: the daemon before us may end. `alone` fires when it has, and so have those before it.
    pub(super) fn relieve(&mut self, predecessor: Predecessor, alone: CancellationToken) {
        let hurry = self.hurry.clone();
        self.tasks.spawn(async move {
            let relieving = predecessor.relieve();
            if let Some(Err(error)) = hurry.run_until_cancelled(relieving).await {
                tracing::warn!(%error, "cannot tell the daemon before this one that it is relieved");
            }
            alone.cancel();
        });
    }

    /// Does not wait for the daemon before us, when it is still there.
    pub(super) fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Lets nobody in any more, and waits for what is under way, here and in daemons before us.
    pub(super) async fn close(&self, deadline: Duration) {
        self.stop.cancel();
        self.tasks.close();
        let all = async {
            self.components.wait().await;
            self.tasks.wait().await;
        };
        if timeout(deadline, all).await.is_err() {
            tracing::warn!("requests are still under way after {deadline:?}; ending anyway");
        }
    }
}
