//! A route table together with the living state of its upstreams.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sarsen_domain::AppName;

use crate::balance::{self, Wish};
use crate::policy::state::AppMemory;
use crate::policy::{Policy, Timeouts};
use crate::settings::RouterSettings;
use crate::stats::AppCounters;
use crate::table::{AppState, PortKind, RouteTable, Target};
use crate::upstream::{InFlight, Instance, UpstreamState};

/// What requests are routed by; replaced whole.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    table: RouteTable,
    apps: Vec<Arc<LiveApp>>,
    upstreams: Upstreams,
}

type Upstreams = HashMap<(i64, SocketAddr, PortKind), Arc<UpstreamState>>;

/// One app of the table.
#[derive(Debug)]
pub(crate) struct LiveApp {
    pub(crate) name: AppName,
    pub(crate) state: AppState,
    pub(crate) counters: Arc<AppCounters>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) memory: Arc<AppMemory>,
    /// The router's own, with the app's limits in them.
    pub(crate) settings: Arc<RouterSettings>,
    // By position of the port mapping.
    ports: Vec<Vec<Arc<UpstreamState>>>,
    cursor: AtomicUsize,
}

/// What outlives the tables.
#[derive(Debug, Default)]
pub(crate) struct Survivors {
    instances: HashMap<i64, Arc<Instance>>,
    counters: HashMap<AppName, Arc<AppCounters>>,
    memories: HashMap<AppName, Arc<AppMemory>>,
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
    pub(crate) fn succeed(
        previous: &Self,
        table: RouteTable,
        settings: &Arc<RouterSettings>,
        survivors: &mut Survivors,
    ) -> Self {
        let mut upstreams = Upstreams::new();
        let mut apps = Vec::with_capacity(table.apps().len());
        for route in table.apps() {
            let mut ports = Vec::with_capacity(route.ports.len());
            for &port in &route.ports {
                let states = route.upstreams.iter().map(|upstream| {
                    let address = upstream.address(port);
                    let key = (upstream.instance, address, port.kind);
                    let known = previous.upstreams.get(&key);
                    let make = || {
                        let known = known.filter(|known| known.dyno == upstream.dyno);
                        known.cloned().unwrap_or_else(|| {
                            let instance = survivors.instance(upstream.instance);
                            let (id, dyno) = (upstream.instance, upstream.dyno.clone());
                            Arc::new(UpstreamState::new(id, (address, port.kind), dyno, instance))
                        })
                    };
                    Arc::clone(upstreams.entry(key).or_insert_with(make))
                });
                ports.push(states.collect());
            }
            let counters = survivors.counters.entry(route.app.clone()).or_default();
            let memory = survivors.memories.entry(route.app.clone()).or_default();
            apps.push(Arc::new(LiveApp {
                name: route.app.clone(),
                state: route.state,
                counters: Arc::clone(counters),
                memory: Arc::clone(memory),
                settings: own_settings(settings, route.policy.timeouts),
                policy: Arc::clone(&route.policy),
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
    pub(crate) fn find(&self, port: u16, host: &str, path: &str) -> Option<(&Arc<LiveApp>, usize)> {
        self.at(self.table.locate(port, host, path)?)
    }

    /// The app that a raw port belongs to, and the position of the port mapping.
    pub(crate) fn find_raw(&self, kind: PortKind, port: u16) -> Option<(&Arc<LiveApp>, usize)> {
        self.at(self.table.locate_raw(kind, port)?)
    }

    fn at(&self, target: Target) -> Option<(&Arc<LiveApp>, usize)> {
        Some((self.apps.get(target.app)?, target.port))
    }

    pub(crate) fn apps(&self) -> &[Arc<LiveApp>] {
        &self.apps
    }

    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<UpstreamState>> {
        self.upstreams.values()
    }

    fn instances(&self) -> HashSet<i64> {
        self.upstreams.keys().map(|(id, _, _)| *id).collect()
    }
}

// ===== impl LiveApp =====

impl LiveApp {
    /// The next upstream for a request.
    pub(crate) fn pick(&self, port: usize, wish: Wish<'_>) -> Result<Picked, NoPick> {
        let upstreams = self.ports.get(port).map_or(&[][..], Vec::as_slice);
        let start = self.cursor.fetch_add(1, Ordering::Relaxed);
        let upstream = balance::choose(upstreams, self.policy.balance, start, wish)
            .ok_or(NoPick::Exhausted)?;
        let in_flight = upstream.instance.enter().ok_or(NoPick::Outdated)?;
        Ok(Picked {
            upstream: Arc::clone(upstream),
            in_flight,
        })
    }

    /// Counts a failure against an upstream.
    pub(crate) fn note_failure(&self, failed: &UpstreamState) {
        let is_one = |u: &Arc<UpstreamState>| u.address == failed.address;
        let its = self.ports.iter().find(|port| port.iter().any(is_one));
        balance::note_failure(
            its.map_or(&[][..], Vec::as_slice),
            self.policy.balance,
            failed,
        );
    }

    /// Requests under way, each container counted once.
    pub(crate) fn in_flight(&self) -> usize {
        let mut seen = Vec::new();
        let mut active = 0;
        for upstream in self.ports.iter().flatten() {
            if !seen.contains(&upstream.id) {
                seen.push(upstream.id);
                active += upstream.instance.active();
            }
        }
        active
    }
}

fn own_settings(usual: &Arc<RouterSettings>, own: Timeouts) -> Arc<RouterSettings> {
    if own == Timeouts::default() {
        return Arc::clone(usual);
    }
    Arc::new(RouterSettings {
        connect_timeout: own.connect.unwrap_or(usual.connect_timeout),
        first_byte_timeout: own.first_byte.unwrap_or(usual.first_byte_timeout),
        idle_timeout: own.idle.unwrap_or(usual.idle_timeout),
        tunnel_idle_timeout: own.tunnel_idle.unwrap_or(usual.tunnel_idle_timeout),
        ..RouterSettings::clone(usual)
    })
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
        let there = table.instances();
        self.instances.retain(|id, instance| {
            let stays = there.contains(id);
            if !stays {
                instance.retire();
            }
            stays || instance.active() > 0
        });
    }

    /// Forgets what belongs to apps that are gone.
    pub(crate) fn forget_apps(&mut self, table: &LiveTable) {
        let there: HashSet<&AppName> = table.apps().iter().map(|app| &app.name).collect();
        self.counters.retain(|name, _| there.contains(name));
        self.memories.retain(|name, _| there.contains(name));
    }
}
