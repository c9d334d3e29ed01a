//! A route table together with the living state of its upstreams.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sarsen_domain::AppName;

use crate::stats::AppCounters;
use crate::table::{AppState, RouteTable};
use crate::upstream::{InFlight, Instance, UpstreamState};

/// What requests are routed by; replaced whole.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    table: RouteTable,
    apps: Vec<Arc<LiveApp>>,
    upstreams: Upstreams,
}

type Upstreams = HashMap<(i64, SocketAddr), Arc<UpstreamState>>;

/// One app of the table.
#[derive(Debug)]
pub(crate) struct LiveApp {
    pub(crate) name: AppName,
    pub(crate) state: AppState,
    pub(crate) counters: Arc<AppCounters>,
    // By position of the port mapping.
    ports: Vec<Vec<Arc<UpstreamState>>>,
    cursor: AtomicUsize,
}

/// What outlives the tables.
#[derive(Debug, Default)]
pub(crate) struct Survivors {
    instances: HashMap<i64, Arc<Instance>>,
    counters: HashMap<AppName, Arc<AppCounters>>,
}

/// An upstream that was picked, with the request already counted in.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) upstream: Arc<UpstreamState>,
    pub(crate) in_flight: InFlight,
}

/// Why no upstream was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPick {
    /// All that there are were tried.
    Exhausted,
    /// The table changed meanwhile; look again.
    Outdated,
}

// ===== impl LiveTable =====

impl LiveTable {
    /// Builds the successor of `previous`, which keeps what the two have in common.
    pub(crate) fn succeed(previous: &Self, table: RouteTable, survivors: &mut Survivors) -> Self {
        let mut upstreams = Upstreams::new();
        let mut apps = Vec::with_capacity(table.apps().len());
        for route in table.apps() {
            let mut ports = Vec::with_capacity(route.ports.len());
            for &port in &route.ports {
                let states = route.upstreams.iter().map(|upstream| {
                    let address = upstream.address(port);
                    let known = previous.upstreams.get(&(upstream.instance, address));
                    let make = || {
                        let known = known.filter(|known| known.dyno == upstream.dyno);
                        known.cloned().unwrap_or_else(|| {
                            let instance = survivors.instance(upstream.instance);
                            Arc::new(UpstreamState::new(address, upstream.dyno.clone(), instance))
                        })
                    };
                    Arc::clone(
                        upstreams
                            .entry((upstream.instance, address))
                            .or_insert_with(make),
                    )
                });
                ports.push(states.collect());
            }
            let counters = survivors.counters.entry(route.app.clone()).or_default();
            apps.push(Arc::new(LiveApp {
                name: route.app.clone(),
                state: route.state,
                counters: Arc::clone(counters),
                ports,
                cursor: AtomicUsize::new(rand::random::<u32>() as usize),
            }));
        }
        Self {
            table,
            apps,
            upstreams,
        }
    }

    /// The app that answers, and the position of the port mapping.
    pub(crate) fn find(&self, port: u16, host: &str) -> Option<(&Arc<LiveApp>, usize)> {
        let target = self.table.locate(port, host)?;
        Some((self.apps.get(target.app)?, target.port))
    }

    pub(crate) fn apps(&self) -> &[Arc<LiveApp>] {
        &self.apps
    }

    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<UpstreamState>> {
        self.upstreams.values()
    }

    fn has(&self, instance: i64) -> bool {
        self.upstreams.keys().any(|(id, _)| *id == instance)
    }
}

// ===== impl LiveApp =====

impl LiveApp {
    /// The next upstream in turn that was not tried yet; one that refused a connection lately only when no other is left.
    pub(crate) fn pick(&self, port: usize, tried: &[SocketAddr]) -> Result<Picked, NoPick> {
        let upstreams = self.ports.get(port).map_or(&[][..], Vec::as_slice);
        let start = self.cursor.fetch_add(1, Ordering::Relaxed);
        let in_turn = || {
            let split = start.checked_rem(upstreams.len()).unwrap_or(0);
            let (before, after) = upstreams.split_at(split);
            after
                .iter()
                .chain(before)
                .filter(|u| !tried.contains(&u.address))
        };
        let upstream = in_turn()
            .find(|u| !u.is_quarantined())
            .or_else(|| in_turn().next())
            .ok_or(NoPick::Exhausted)?;
        let in_flight = upstream.instance.enter().ok_or(NoPick::Outdated)?;
        Ok(Picked {
            upstream: Arc::clone(upstream),
            in_flight,
        })
    }
}

// ===== impl Survivors =====

impl Survivors {
    fn instance(&mut self, id: i64) -> Arc<Instance> {
        let instance = self.instances.entry(id).or_default();
        if instance.cut.is_cancelled() {
            // Its tunnels were cut when it left; it came back and may have new ones.
            *instance = Arc::default();
        }
        Arc::clone(instance)
    }

    pub(crate) fn get(&self, id: i64) -> Option<Arc<Instance>> {
        self.instances.get(&id).cloned()
    }

    /// Brings the instances in line with the table that is now in use.
    pub(crate) fn settle(&mut self, table: &LiveTable) {
        self.instances.retain(|id, instance| {
            let stays = table.has(*id);
            if !stays {
                instance.retire();
            }
            stays || instance.active() > 0
        });
    }

    /// Forgets the counters of apps that are gone.
    pub(crate) fn forget_apps(&mut self, table: &LiveTable) {
        self.counters
            .retain(|name, _| table.apps().iter().any(|app| app.name == *name));
    }
}
