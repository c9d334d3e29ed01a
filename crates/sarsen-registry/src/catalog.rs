//! A snapshot of all services.

mod instance;
mod patch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_domain::{AppName, ContainerId, Service};

pub use instance::{Instance, Mesh, Node, Place, Source, Weights};
pub(crate) use patch::Patch;

use crate::check::Check;

/// All services at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    services: Arc<BTreeMap<String, Service>>,
    instances: Arc<BTreeMap<Place, Arc<Instance>>>,
    node_checks: Arc<BTreeMap<Place, Check>>,
    nodes: Arc<BTreeMap<String, Node>>,
    indexes: Indexes,
    version: u64,
    index: u64,
}

/// When what changed last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Indexes {
    /// Before anything was known.
    start: u64,
    services: BTreeMap<String, u64>,
    /// When a service last lost its last instance.
    extinction: u64,
    nodes: u64,
}

/// What a catalog is made of. The indexes in it do not count.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) instances: BTreeMap<Place, Instance>,
    pub(crate) node_checks: BTreeMap<Place, Check>,
    pub(crate) nodes: BTreeMap<String, Node>,
}

/// What somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Any change.
    All,
    /// A change of this service's instances or their checks.
    Service(String),
    /// A change of a node or of its own checks.
    Nodes,
}

impl Catalog {
    /// An empty catalog whose first change gets the index after this one.
    pub(crate) fn starting_at(index: u64) -> Self {
        Self {
            index,
            indexes: Indexes {
                start: index,
                extinction: index,
                nodes: index,
                ..Indexes::default()
            },
            ..Self::default()
        }
    }

    /// The index before anything was known: that of what is there whatever happens, such as this host.
    pub fn first_index(&self) -> u64 {
        self.indexes.start.max(1)
    }

    /// Counts up with each change of content; 0 while nothing is known.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Grows with each change of content, from one start of the daemon to the next as well.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// When the service last changed. One that is not there may come at any time after the last one that went.
    pub fn service_index(&self, name: &str) -> u64 {
        let own = self.indexes.services.get(name).copied();
        own.unwrap_or(self.indexes.extinction).max(1)
    }

    /// When this last changed; never 0.
    pub fn index_of(&self, scope: &Scope) -> u64 {
        match scope {
            Scope::All => self.index.max(1),
            Scope::Service(name) => self.service_index(name),
            Scope::Nodes => self.indexes.nodes.max(1),
        }
    }

    /// The services of containers by id, with those that `SERVICE_IGNORE` hides from everybody but the router.
    pub fn services(&self) -> &BTreeMap<String, Service> {
        &self.services
    }

    /// The services of one container.
    pub fn by_container<'a>(&'a self, id: &'a ContainerId) -> impl Iterator<Item = &'a Service> {
        self.services
            .values()
            .filter(move |service| service.container == *id)
    }

    /// The services of one app's containers.
    pub fn by_app<'a>(&'a self, app: &'a AppName) -> impl Iterator<Item = &'a Service> {
        self.services
            .values()
            .filter(move |service| service.owner.as_ref().is_some_and(|o| o.app == *app))
    }

    /// Every instance, by node and id.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// One instance.
    pub fn instance(&self, place: &Place) -> Option<&Arc<Instance>> {
        self.instances.get(place)
    }

    /// The instances of one service, the unavailable ones among them.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Instance>> {
        self.instances().filter(move |found| found.name == name)
    }

    /// Those that have a tag.
    pub fn tagged<'a>(
        &'a self,
        name: &'a str,
        tag: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Instance>> {
        self.named(name).filter(move |found| found.has_tag(tag))
    }

    /// The names of all services, and every tag that one of their instances has.
    pub fn names(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for instance in self.instances() {
            let tags = names.entry(&instance.name).or_default();
            tags.extend(instance.tags.iter().map(String::as_str));
        }
        names
    }

    /// Every check: those of instances, then those of nodes.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        let of_instances = self.instances().flat_map(|instance| &instance.checks);
        of_instances.chain(self.node_checks.values())
    }

    /// One check.
    pub fn check(&self, place: &Place) -> Option<&Check> {
        self.checks()
            .find(|check| check.spec.id == place.id && check.node == place.node)
    }

    /// The checks of a node itself; `None` is this host.
    pub fn node_checks<'a>(&'a self, node: Option<&'a str>) -> impl Iterator<Item = &'a Check> {
        self.node_checks
            .values()
            .filter(move |check| check.node.as_deref() == node)
    }

    /// The nodes that somebody registered, by name.
    pub fn nodes(&self) -> &BTreeMap<String, Node> {
        &self.nodes
    }

    /// The catalog that follows with this content, and whether anybody should know.
    pub(crate) fn followed_by(&self, content: Content) -> (Self, bool) {
        let next = self.index + 1;
        let mut changed = *self.services != content.services;
        let mut indexes = self.indexes.clone();
        let (instances, touched) = self.renew_instances(content.instances, next);
        changed |= !touched.is_empty();
        for name in touched {
            indexes.services.insert(name, next);
        }
        let alive: BTreeSet<&str> = instances.values().map(|i| i.name.as_str()).collect();
        let before = indexes.services.len();
        indexes
            .services
            .retain(|name, _| alive.contains(name.as_str()));
        if indexes.services.len() != before {
            indexes.extinction = next;
        }
        let (nodes, nodes_changed) = self.renew_nodes(content.nodes, next);
        let (node_checks, checks_changed) =
            renew_checks(&self.node_checks, content.node_checks, next);
        if nodes_changed || checks_changed {
            indexes.nodes = next;
            changed = true;
        }
        let steps = u64::from(changed);
        let catalog = Self {
            services: Arc::new(content.services),
            instances: Arc::new(instances),
            node_checks: Arc::new(node_checks),
            nodes: Arc::new(nodes),
            indexes,
            version: self.version + steps,
            index: self.index + steps,
        };
        (catalog, changed)
    }

    /// This content has been looked at, even if it is empty.
    pub(crate) fn known(self) -> Self {
        Self {
            version: self.version.max(1),
            ..self
        }
    }

    /// The instances with their indexes, and the names of services that changed.
    fn renew_instances(
        &self,
        instances: BTreeMap<Place, Instance>,
        next: u64,
    ) -> (BTreeMap<Place, Arc<Instance>>, BTreeSet<String>) {
        let mut touched = BTreeSet::new();
        let gone = self.instances.iter();
        let gone = gone.filter(|(place, _)| !instances.contains_key(place));
        touched.extend(gone.map(|(_, old)| old.name.clone()));
        let renew = |(place, instance): (Place, Instance)| {
            let instance = self.renewed(&place, instance, next, &mut touched);
            (place, instance)
        };
        (instances.into_iter().map(renew).collect(), touched)
    }

    /// One instance with its indexes; services that changed by it are entered among the touched.
    fn renewed(
        &self,
        place: &Place,
        instance: Instance,
        next: u64,
        touched: &mut BTreeSet<String>,
    ) -> Arc<Instance> {
        let old = self.instances.get(place);
        let instance = match old {
            Some(old) => renew_instance(old, instance, next),
            None => Arc::new(stamped(instance, next)),
        };
        if instance.modify_index == next {
            touched.insert(instance.name.clone());
            touched.extend(old.map(|old| old.name.clone()));
        }
        instance
    }

    fn renew_nodes(
        &self,
        nodes: BTreeMap<String, Node>,
        next: u64,
    ) -> (BTreeMap<String, Node>, bool) {
        let mut changed = self.nodes.keys().any(|name| !nodes.contains_key(name));
        let renew = |(name, node): (String, Node)| {
            let node = renew_node(self.nodes.get(&name), node, next);
            changed |= node.modify_index == next;
            (name, node)
        };
        (nodes.into_iter().map(renew).collect(), changed)
    }
}

fn renew_node(old: Option<&Node>, mut node: Node, next: u64) -> Node {
    (node.create_index, node.modify_index) = (next, next);
    if let Some(old) = old {
        node.create_index = old.create_index;
        node.modify_index = old.modify_index;
        if node != *old {
            node.modify_index = next;
        }
    }
    node
}

fn stamped(mut instance: Instance, index: u64) -> Instance {
    (instance.create_index, instance.modify_index) = (index, index);
    for check in &mut instance.checks {
        (check.create_index, check.modify_index) = (index, index);
    }
    instance
}

fn renew_instance(old: &Arc<Instance>, mut new: Instance, next: u64) -> Arc<Instance> {
    let is_news = !new.says_as(old);
    new.create_index = old.create_index;
    new.modify_index = if is_news { next } else { old.modify_index };
    for check in &mut new.checks {
        let before = old.checks.iter().find(|old| old.spec.id == check.spec.id);
        stamp_check(check, before, next);
    }
    if new == **old {
        return Arc::clone(old);
    }
    Arc::new(new)
}

fn renew_checks(
    old: &BTreeMap<Place, Check>,
    mut new: BTreeMap<Place, Check>,
    next: u64,
) -> (BTreeMap<Place, Check>, bool) {
    let mut changed = old.keys().any(|place| !new.contains_key(place));
    for (place, check) in &mut new {
        stamp_check(check, old.get(place), next);
        changed |= check.modify_index == next;
    }
    (new, changed)
}

fn stamp_check(check: &mut Check, old: Option<&Check>, next: u64) {
    check.create_index = old.map_or(next, |old| old.create_index);
    check.modify_index = match old {
        Some(old) if check.says_as(old) => old.modify_index,
        Some(_) | None => next,
    };
}

#[cfg(test)]
mod tests;
