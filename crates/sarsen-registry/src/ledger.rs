//! Which containers are registered, and which are known to be dead. Pure: the order of what is heard does not matter.
//!
//! The engine goes on listing a container as running for about a tenth of a second after its death, and tells of
//! events again after a reconnect. So each life of a container is known by its start time, a death leaves a
//! tombstone, and whatever speaks of a life older than the tombstone is ignored. Looks at a container overlap, too:
//! each is counted when it begins, and one that began earlier does not overwrite one that began later.

use std::collections::{BTreeMap, HashMap, HashSet};

use sarsen_domain::{ContainerId, Service};

use crate::check::{CheckSpec, CheckStatus};
use crate::process::FirstProcess;

/// Tombstones of containers that no longer exist are forgotten after this many nanoseconds.
const TOMBSTONE_LIFE: i64 = 60_000_000_000;

/// A container that was asked to stop and still runs after so many nanoseconds has other plans: it counts again.
pub(crate) const DRAIN_LIMIT: i64 = 15 * 60 * 1_000_000_000;

/// The kind of the condition of a container that was asked to stop.
pub(crate) const DRAINING: &str = "_draining";

/// One service of a container, and the check that the container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The service.
    pub(crate) service: Service,
    /// Its check.
    pub(crate) check: Option<CheckSpec>,
}

/// What an inspection found of a container that runs.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    pub(crate) id: ContainerId,
    /// Nanoseconds since 1970.
    pub(crate) started: i64,
    /// Of a container of ours, when we can watch it ourselves.
    pub(crate) process: Option<FirstProcess>,
    pub(crate) offers: Vec<Offer>,
    /// What the engine says of its health.
    pub(crate) conditions: Vec<Condition>,
}

/// Something that the engine says of a container and that decides on its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The first part of the check's id.
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) status: CheckStatus,
    pub(crate) output: String,
}

/// What is to become of the services of a container that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deregister {
    /// They go.
    #[default]
    Always,
    /// They stay when it failed by itself: an exit code that is neither 0 nor a signal's.
    OnSuccess,
}

/// The book of all containers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    alive: HashMap<ContainerId, Life>,
    tombstones: HashMap<ContainerId, i64>,
    looks: u64,
}

/// When a look at the engine began, among all looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Look(u64);

/// A container that runs.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) started: i64,
    process: Option<FirstProcess>,
    pub(crate) offers: Vec<Offer>,
    conditions: Vec<Condition>,
    /// When it was asked to stop.
    stopping: Option<i64>,
    /// It has ended and is kept all the same.
    failed: bool,
    seen: Look,
}

impl Life {
    /// What the engine says, and that it is about to end.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = Condition> {
        let draining = self.is_draining().then(|| Condition {
            kind: DRAINING,
            name: "Draining",
            status: CheckStatus::Critical,
            output: "The container was asked to stop".to_owned(),
        });
        self.conditions.iter().cloned().chain(draining)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stopping.is_some()
    }

    fn is_ours(&self) -> bool {
        self.offers
            .iter()
            .any(|offer| offer.service.owner.is_some())
    }
}

impl Ledger {
    /// A look at the engine begins.
    pub(crate) fn begin(&mut self) -> Look {
        self.looks += 1;
        Look(self.looks)
    }

    /// Enters what was seen, unless that life is known to be over. False when it is.
    pub(crate) fn saw(&mut self, look: Look, sighting: Sighting) -> bool {
        let buried = self
            .tombstones
            .get(&sighting.id)
            .is_some_and(|died| sighting.started <= *died);
        if buried {
            return false;
        }
        let known = self.alive.get(&sighting.id);
        let known = known.filter(|life| life.started >= sighting.started);
        if known.is_some_and(|life| life.started > sighting.started || life.seen > look) {
            return true;
        }
        let life = Life {
            started: sighting.started,
            process: sighting.process,
            offers: sighting.offers,
            conditions: sighting.conditions,
            stopping: known.and_then(|life| life.stopping),
            failed: false,
            seen: look,
        };
        self.alive.insert(sighting.id, life);
        true
    }

    /// Notes a death. One that came before the present life is old news.
    pub(crate) fn died(&mut self, id: &ContainerId, at: i64) {
        if self.alive.get(id).is_some_and(|life| life.started > at) {
            return;
        }
        self.alive.remove(id);
        self.bury(id, at);
    }

    /// Notes a death whose services stay, until the container is removed or started again. Those of our own containers
    /// never do: requests would be sent to them.
    pub(crate) fn failed(&mut self, id: &ContainerId, at: i64) {
        if self.alive.get(id).is_some_and(Life::is_ours) {
            self.died(id, at);
            return;
        }
        if let Some(life) = self.alive.get_mut(id).filter(|life| life.started <= at) {
            life.failed = true;
            life.stopping = None;
        }
        self.bury(id, at);
    }

    fn bury(&mut self, id: &ContainerId, at: i64) {
        let tombstone = self.tombstones.entry(id.clone()).or_insert(at);
        *tombstone = at.max(*tombstone);
        self.tombstones
            .retain(|_, died| at - *died < TOMBSTONE_LIFE);
    }

    /// Notes that a container was asked to stop.
    pub(crate) fn stops(&mut self, id: &ContainerId, at: i64) {
        if let Some(life) = self.alive.get_mut(id).filter(|life| life.started <= at) {
            life.stopping = Some(at);
        }
    }

    /// Those that were asked to stop long ago and still run count again.
    pub(crate) fn end_drains(&mut self, now: i64) {
        for life in self.alive.values_mut() {
            let is_over = |at: i64| now - at > DRAIN_LIMIT;
            life.stopping = life.stopping.filter(|at| !is_over(*at));
        }
    }

    /// A look found that it is not running, or not there.
    pub(crate) fn is_gone(&mut self, look: Look, id: &ContainerId) {
        let is_news = |life: &Life| life.seen <= look && !life.failed;
        if self.alive.get(id).is_some_and(is_news) {
            self.alive.remove(id);
        }
    }

    /// It exists no longer.
    pub(crate) fn destroyed(&mut self, id: &ContainerId) {
        self.alive.remove(id);
    }

    /// Ends the lives whose first process is over, as far as that can be seen; for when nobody tells of deaths.
    pub(crate) fn bury_the_dead(&mut self) {
        let is_over = |life: &Life| life.process.is_some_and(|process| !process.lives());
        let over = self.alive.iter();
        let over = over.filter(|(_, life)| !life.failed && is_over(life));
        let over: Vec<_> = over.map(|(id, life)| (id.clone(), life.started)).collect();
        for (id, started) in over {
            // Its next life may have begun already: only this one is known to be over.
            self.died(&id, started);
        }
    }

    /// The containers that can be watched without the engine, as they were seen.
    pub(crate) fn watched(&self) -> Vec<Sighting> {
        let sighting = |(id, life): (&ContainerId, &Life)| Sighting {
            id: id.clone(),
            started: life.started,
            process: life.process,
            offers: life.offers.clone(),
            conditions: Vec::new(),
        };
        let watched = self.alive.iter().filter(|(_, life)| life.process.is_some());
        let mut watched: Vec<_> = watched.map(sighting).collect();
        watched.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        watched
    }

    /// Makes the book agree with a full listing; what was seen after it began is left alone.
    pub(crate) fn compare(&mut self, look: Look, listing: Listing) {
        let runs: HashSet<_> = listing.running.iter().map(|s| s.id.clone()).collect();
        self.alive.retain(|id, life| {
            runs.contains(id)
                || listing.unknown.contains(id)
                || life.seen > look
                || life.failed && listing.ended.contains(id)
        });
        for sighting in listing.running {
            self.saw(look, sighting);
        }
    }

    /// Whether it counts.
    pub(crate) fn is_alive(&self, id: &ContainerId) -> bool {
        self.alive.contains_key(id)
    }

    /// The containers that count, oldest first.
    pub(crate) fn lives(&self) -> Vec<&Life> {
        let mut lives: Vec<_> = self.alive.iter().collect();
        // Of two that began in the same moment always the same one comes first.
        lives.sort_by_key(|(id, life)| (life.started, id.as_str()));
        lives.into_iter().map(|(_, life)| life).collect()
    }

    /// What counts of each service id: of several containers that claim it, the youngest has it.
    pub(crate) fn offers(&self) -> BTreeMap<&str, (&Life, &Offer)> {
        let mut offers = BTreeMap::new();
        for life in self.lives() {
            for offer in &life.offers {
                offers.insert(offer.service.id.as_str(), (life, offer));
            }
        }
        offers
    }

    /// What counts of one service id.
    pub(crate) fn offer_of(&self, id: &str) -> Option<(&Life, &Offer)> {
        let claims = self.alive.iter().filter_map(|(container, life)| {
            let offer = life.offers.iter().rfind(|offer| offer.service.id == id)?;
            Some(((life.started, container.as_str()), life, offer))
        });
        let youngest = claims.max_by_key(|(age, ..)| *age);
        youngest.map(|(_, life, offer)| (life, offer))
    }
}

/// All containers of the engine.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) running: Vec<Sighting>,
    /// Those that are there and do not run.
    pub(crate) ended: HashSet<ContainerId>,
    /// Those of which the engine does not say what they are.
    pub(crate) unknown: HashSet<ContainerId>,
}

#[cfg(test)]
mod tests;
