//! Everything that the catalog is made of, and how it is made. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use sarsen_domain::{Health, Service};

use crate::catalog::{Catalog, Content, Instance, Mesh, Patch, Place, Source, Weights};
use crate::check::{Check, CheckSpec, CheckStatus, Probe};
use crate::externals::{CheckRegistration, Entry, Externals, Spot};
use crate::ledger::{Condition, Ledger, Life, Offer};

/// Containers, what others registered, and what all checks say.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    pub(crate) externals: Externals,
    states: HashMap<Place, CheckState>,
}

/// What a check says, and since when.
#[derive(Debug, Clone)]
pub(crate) struct CheckState {
    /// The life of the container that this was said of; 0 when there is none.
    pub(crate) generation: i64,
    /// What the check was when it said this.
    spec: CheckSpec,
    pub(crate) status: CheckStatus,
    pub(crate) output: String,
    /// When it last began to be critical, or was heard of first.
    pub(crate) critical_since: Instant,
    /// When somebody last reported; TTL counts from here.
    pub(crate) reported_at: Instant,
    passes: u32,
    failures: u32,
}

impl CheckState {
    fn new(spec: &CheckSpec, generation: i64) -> Self {
        let now = Instant::now();
        Self {
            generation,
            spec: spec.clone(),
            status: spec.initial,
            output: String::new(),
            critical_since: now,
            reported_at: now,
            passes: 0,
            failures: 0,
        }
    }

    /// Sets what it says. True when that is new.
    pub(crate) fn set(&mut self, status: CheckStatus, output: &str) -> bool {
        let now = Instant::now();
        self.reported_at = now;
        if status == CheckStatus::Critical && self.status != status {
            self.critical_since = now;
        }
        let is_new = self.status != status || self.output != output;
        self.status = status;
        output.clone_into(&mut self.output);
        is_new
    }

    /// Nobody reported in time.
    pub(crate) fn expire(&mut self) {
        let reported_at = self.reported_at;
        self.set(CheckStatus::Critical, "TTL expired");
        self.reported_at = reported_at;
    }

    /// Enters the result of one look: the status follows when there were enough of its kind in a row. True when
    /// anything is new.
    pub(crate) fn observe(&mut self, status: CheckStatus, output: &str) -> bool {
        let enough = if status == CheckStatus::Critical {
            self.passes = 0;
            self.failures = self.failures.saturating_add(1);
            self.failures >= self.spec.failures_needed
        } else {
            self.failures = 0;
            self.passes = self.passes.saturating_add(1);
            self.passes >= self.spec.passes_needed
        };
        let status = if enough { status } else { self.status };
        self.set(status, output)
    }
}

impl Book {
    /// What a check says, when there is one.
    pub(crate) fn state_mut(&mut self, place: &Place) -> Option<&mut CheckState> {
        self.states.get_mut(place)
    }

    /// Enters a check that somebody registered, as it was kept.
    pub(crate) fn restore(&mut self, check: CheckRegistration, status: CheckStatus, output: &str) {
        let mut state = CheckState::new(&check.spec, 0);
        state.set(status, output);
        self.states.insert(check.place(), state);
        self.externals.enter(Entry::Check(check));
    }

    /// The catalog's content as of now. Two containers that claim one id: the younger life wins. A container wins
    /// over what somebody registered under its id.
    pub(crate) fn content(&mut self) -> Content {
        let mut content = Content {
            nodes: self.externals.nodes.clone(),
            ..Content::default()
        };
        let mut states = std::mem::take(&mut self.states);
        let mut kept = HashMap::new();
        let mut keep = |place: Place, spec: &CheckSpec, generation: i64| {
            let known = states.remove(&place);
            let known = known.filter(|s| s.generation == generation && s.spec == *spec);
            let state = known.unwrap_or_else(|| CheckState::new(spec, generation));
            let said = (state.status, state.output.clone());
            kept.insert(place, state);
            said
        };
        let asked = self.asked_checks();
        for (id, (life, offer)) in self.ledger.offers() {
            let others = asked.get(&Place::here(id));
            let others = others.map(Vec::as_slice).unwrap_or_default();
            let (service, instance) = of_container(life, offer, others, &mut keep);
            if !service.attributes.contains_key("ignore") {
                content.instances.insert(instance.place(), instance);
            }
            content.services.insert(service.id.clone(), service);
        }
        for (place, registration) in &self.externals.services {
            if content.instances.contains_key(place) {
                continue;
            }
            let mut instance = registration.instance();
            let checks = asked.get(place).into_iter().flatten();
            let checks = checks.map(|check| said(check, &mut keep));
            instance.checks.extend(checks);
            content.instances.insert(place.clone(), instance);
        }
        for (place, check) in &self.externals.checks {
            if check.service.is_none() {
                content
                    .node_checks
                    .insert(place.clone(), said(check, &mut keep));
            }
        }
        self.states = kept;
        content
    }

    /// The checks that others registered, by the service they are of.
    fn asked_checks(&self) -> BTreeMap<Place, Vec<&CheckRegistration>> {
        let mut asked: BTreeMap<Place, Vec<&CheckRegistration>> = BTreeMap::new();
        for check in self.externals.checks.values() {
            if let Some(service) = check.service_place() {
                asked.entry(service).or_default().push(check);
            }
        }
        asked
    }

    /// What of [`Book::content`] is at these spots as of now. `before` is the catalog that followed from the last
    /// content: checks that are no longer what it shows are forgotten.
    pub(crate) fn patch(&mut self, spots: &BTreeSet<Spot>, before: &Catalog) -> Patch {
        let mut states = std::mem::take(&mut self.states);
        let mut there = BTreeSet::new();
        let mut keep = |place: Place, spec: &CheckSpec, generation: i64| {
            let fresh = || CheckState::new(spec, generation);
            let state = states.entry(place.clone()).or_insert_with(fresh);
            if state.generation != generation || state.spec != *spec {
                *state = fresh();
            }
            there.insert(place);
            (state.status, state.output.clone())
        };
        let mut patch = Patch::default();
        for spot in spots {
            match spot {
                Spot::Instance(place) => self.patch_instance(place, &mut keep, &mut patch),
                Spot::NodeCheck(place) => {
                    let check = self.externals.checks.get(place);
                    let check = check.filter(|check| check.service.is_none());
                    let check = check.map(|check| said(check, &mut keep));
                    patch.node_checks.push((place.clone(), check));
                }
                Spot::Node(name) => {
                    let node = self.externals.nodes.get(name).cloned();
                    patch.nodes.push((name.clone(), node));
                }
            }
        }
        for gone in spots.iter().flat_map(|spot| checks_at(spot, before)) {
            if !there.contains(&gone) {
                states.remove(&gone);
            }
        }
        self.states = states;
        patch
    }

    fn patch_instance(&self, place: &Place, keep: &mut Keep<'_>, patch: &mut Patch) {
        let others: Vec<_> = self.externals.asked_of(place).collect();
        let (mut service, mut instance) = (None, None);
        if place.node.is_none() {
            if let Some((life, offer)) = self.ledger.offer_of(&place.id) {
                let (found, offered) = of_container(life, offer, &others, keep);
                if !found.attributes.contains_key("ignore") {
                    instance = Some(offered);
                }
                service = Some(found);
            }
            patch.services.push((place.id.clone(), service));
        }
        if instance.is_none() {
            instance = self.externals.services.get(place).map(|registration| {
                let mut instance = registration.instance();
                let checks = others.iter().map(|check| said(check, keep));
                instance.checks.extend(checks);
                instance
            });
        }
        patch.instances.push((place.clone(), instance));
    }
}

/// The checks that a catalog shows at a spot.
fn checks_at(spot: &Spot, catalog: &Catalog) -> Vec<Place> {
    match spot {
        Spot::Instance(place) => {
            let checks = catalog.instance(place).into_iter();
            let checks = checks.flat_map(|instance| &instance.checks);
            checks.map(Check::place).collect()
        }
        Spot::NodeCheck(place) => vec![place.clone()],
        Spot::Node(_) => Vec::new(),
    }
}

type Keep<'a> = dyn FnMut(Place, &CheckSpec, i64) -> (CheckStatus, String) + 'a;

fn said(check: &CheckRegistration, keep: &mut Keep<'_>) -> Check {
    let (status, output) = keep(check.place(), &check.spec, 0);
    Check {
        spec: check.spec.clone(),
        node: check.node.clone(),
        service: check.service.clone(),
        status,
        output,
        create_index: 0,
        modify_index: 0,
    }
}

fn of_container(
    life: &Life,
    offer: &Offer,
    others: &[&CheckRegistration],
    keep: &mut Keep<'_>,
) -> (Service, Instance) {
    let mut service = offer.service.clone();
    let mut checks: Vec<_> = life
        .conditions()
        .map(|condition| of_engine(&service, &condition))
        .collect();
    if let Some(spec) = &offer.check {
        let (status, output) = keep(Place::here(spec.id.clone()), spec, life.started);
        checks.push(of_service(&service, spec.clone(), status, output));
    }
    checks.extend(others.iter().map(|check| said(check, keep)));
    let is_critical = checks.iter().any(|c| c.status == CheckStatus::Critical);
    if is_critical && service.health == Health::Passing {
        service.health = Health::Critical;
    }
    if life.is_draining() {
        service.health = Health::Critical;
    }
    let instance = Instance {
        node: None,
        id: service.id.clone(),
        name: service.name.clone(),
        address: service.address.ip().to_string(),
        port: service.address.port(),
        tags: service.tags.clone(),
        attributes: service.attributes.clone(),
        weights: Weights::default(),
        tagged_addresses: BTreeMap::new(),
        tags_are_open: false,
        mesh: Mesh::default(),
        source: Source::Container {
            id: service.container.clone(),
            started: life.started,
            owner: service.owner.clone(),
        },
        checks,
        create_index: 0,
        modify_index: 0,
    };
    (service, instance)
}

fn of_engine(service: &Service, condition: &Condition) -> Check {
    let id = format!("{}:{}", condition.kind, service.id);
    let spec = CheckSpec::new(id, condition.name, Probe::Engine);
    of_service(service, spec, condition.status, condition.output.clone())
}

fn of_service(service: &Service, spec: CheckSpec, status: CheckStatus, output: String) -> Check {
    Check {
        spec,
        node: None,
        service: Some(service.id.clone()),
        status,
        output,
        create_index: 0,
        modify_index: 0,
    }
}

#[cfg(test)]
mod tests;
