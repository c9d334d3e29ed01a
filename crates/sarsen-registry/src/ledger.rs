//! Which containers are registered, and which are known to be dead. Pure: the order of what is heard does not matter.
//!
//! The engine goes on listing a container as running for about a tenth of a second after its death, and tells of
//! events again after a reconnect. So each life of a container is known by its start time, a death leaves a
//! tombstone, and whatever speaks of a life older than the tombstone is ignored.

use std::collections::{BTreeMap, HashMap, HashSet};

use sarsen_domain::{ContainerId, Service};

/// Tombstones of containers that no longer exist are forgotten after this many nanoseconds.
const TOMBSTONE_LIFE: i64 = 60_000_000_000;

/// What an inspection found of a container that runs.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) id: ContainerId,
    /// Nanoseconds since 1970.
    pub(crate) started: i64,
    pub(crate) services: Vec<Service>,
}

/// The book of all containers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    alive: HashMap<ContainerId, Life>,
    tombstones: HashMap<ContainerId, i64>,
}

#[derive(Debug)]
struct Life {
    started: i64,
    services: Vec<Service>,
}

impl Ledger {
    /// Enters what was seen, unless that life is known to be over. False when it is.
    pub(crate) fn saw(&mut self, sighting: Sighting) -> bool {
        let buried = self
            .tombstones
            .get(&sighting.id)
            .is_some_and(|died| sighting.started <= *died);
        if buried {
            return false;
        }
        let life = Life {
            started: sighting.started,
            services: sighting.services,
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
        let tombstone = self.tombstones.entry(id.clone()).or_insert(at);
        *tombstone = at.max(*tombstone);
        self.tombstones
            .retain(|_, died| at - *died < TOMBSTONE_LIFE);
    }

    /// An inspection found that it is not running, or not there.
    pub(crate) fn is_gone(&mut self, id: &ContainerId) {
        self.alive.remove(id);
    }

    /// Makes the book agree with a full listing begun at `listed_at`; lives that began later are left alone.
    pub(crate) fn compare(&mut self, seen: Vec<Sighting>, listed_at: i64) {
        let listed: HashSet<_> = seen.iter().map(|sighting| sighting.id.clone()).collect();
        self.alive
            .retain(|id, life| listed.contains(id) || life.started >= listed_at);
        for sighting in seen {
            self.saw(sighting);
        }
    }

    /// All services, by id. Two containers that claim one id: the younger life wins.
    pub(crate) fn services(&self) -> BTreeMap<String, Service> {
        let mut lives: Vec<_> = self.alive.values().collect();
        lives.sort_by_key(|life| life.started);
        lives
            .into_iter()
            .flat_map(|life| &life.services)
            .map(|service| (service.id.clone(), service.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_domain::Health;

    fn id() -> ContainerId {
        ContainerId::parse("abc").unwrap()
    }

    fn sighting(started: i64) -> Sighting {
        let service = Service {
            id: format!("h:c:{started}"),
            name: "c".into(),
            address: "127.0.0.1:1".parse().unwrap(),
            tags: vec![],
            attributes: BTreeMap::new(),
            health: Health::Passing,
            container: id(),
            owner: None,
        };
        Sighting {
            id: id(),
            started,
            services: vec![service],
        }
    }

    #[test]
    fn a_dead_container_is_not_resurrected_by_a_late_listing() {
        let mut ledger = Ledger::default();
        ledger.saw(sighting(10));
        ledger.died(&id(), 20);
        assert!(ledger.services().is_empty());
        assert!(!ledger.saw(sighting(10)));
        ledger.compare(vec![sighting(10)], 15);
        assert!(ledger.services().is_empty());
        assert!(ledger.saw(sighting(21)), "its next life counts");
    }

    #[test]
    fn a_death_told_again_does_not_end_the_next_life() {
        let mut ledger = Ledger::default();
        ledger.died(&id(), 20);
        ledger.saw(sighting(21));
        ledger.died(&id(), 20);
        assert_eq!(ledger.services().len(), 1);
    }

    #[test]
    fn a_listing_removes_what_it_lacks_but_nothing_younger() {
        let mut ledger = Ledger::default();
        ledger.saw(sighting(10));
        ledger.compare(vec![], 10);
        assert_eq!(ledger.services().len(), 1);
        ledger.compare(vec![], 11);
        assert!(ledger.services().is_empty());
    }

    #[test]
    fn old_tombstones_are_forgotten() {
        let mut ledger = Ledger::default();
        ledger.died(&ContainerId::parse("def").unwrap(), 1);
        ledger.died(&id(), TOMBSTONE_LIFE + 2);
        assert_eq!(ledger.tombstones.len(), 1);
    }
}
