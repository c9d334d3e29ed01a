//! A catalog that differs from the one before in a few places: the work is that of those places, whatever else there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_domain::Service;

use super::{Catalog, Instance, Node, Place, renew_node, stamp_check};
use crate::check::Check;

/// What is now where something may have changed; `None` where there is nothing any more.
#[derive(Debug, Default)]
pub(crate) struct Patch {
    pub(crate) services: Vec<(String, Option<Service>)>,
    pub(crate) instances: Vec<(Place, Option<Instance>)>,
    pub(crate) node_checks: Vec<(Place, Option<Check>)>,
    pub(crate) nodes: Vec<(String, Option<Node>)>,
}

impl Catalog {
    /// The catalog that follows when these places are as they are now and all others as before. What is copied besides
    /// is a pointer for each instance.
    pub(crate) fn patched(&self, patch: Patch) -> Self {
        let next = self.index + 1;
        let mut catalog = self.clone();
        let mut changed = false;
        for (id, service) in patch.services {
            changed |= put(&mut catalog.services, id, service);
        }
        let touched = catalog.patch_instances(patch.instances, next);
        changed |= !touched.is_empty();
        for name in touched {
            catalog.note_change(name, next);
        }
        if catalog.patch_nodes(patch.nodes, patch.node_checks, next) {
            catalog.indexes.nodes = next;
            changed = true;
        }
        if changed {
            catalog.version += 1;
            catalog.index = next;
        }
        catalog
    }

    /// Gives the names of services that changed.
    fn patch_instances(
        &mut self,
        instances: Vec<(Place, Option<Instance>)>,
        next: u64,
    ) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        for (place, new) in instances {
            let new = match new {
                Some(new) => Some(self.renewed(&place, new, next, &mut touched)),
                None => {
                    let old = self.instances.get(&place);
                    touched.extend(old.map(|old| old.name.clone()));
                    None
                }
            };
            put(&mut self.instances, place, new);
        }
        touched
    }

    fn note_change(&mut self, name: String, next: u64) {
        if self.named(&name).next().is_some() {
            self.indexes.services.insert(name, next);
        } else if self.indexes.services.remove(&name).is_some() {
            self.indexes.extinction = next;
        }
    }

    /// Whether any node or check of a node is another than before.
    fn patch_nodes(
        &mut self,
        nodes: Vec<(String, Option<Node>)>,
        checks: Vec<(Place, Option<Check>)>,
        next: u64,
    ) -> bool {
        let mut changed = false;
        for (name, node) in nodes {
            let old = self.nodes.get(&name);
            let node = node.map(|node| renew_node(old, node, next));
            changed |= put(&mut self.nodes, name, node);
        }
        for (place, check) in checks {
            let old = self.node_checks.get(&place);
            let check = check.map(|mut check| {
                stamp_check(&mut check, old, next);
                check
            });
            changed |= check
                .as_ref()
                .map_or(old.is_some(), |c| c.modify_index == next);
            put(&mut self.node_checks, place, check);
        }
        changed
    }
}

/// Puts an entry into its place, or takes it away. True when it is another than before; else nothing is copied.
fn put<K: Ord + Clone, V: Clone + PartialEq>(
    map: &mut Arc<BTreeMap<K, V>>,
    key: K,
    value: Option<V>,
) -> bool {
    if map.get(&key) == value.as_ref() {
        return false;
    }
    let map = Arc::make_mut(map);
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
    true
}
