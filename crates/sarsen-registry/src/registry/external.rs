//! What others register, and what they report.

use crate::catalog::{Node, Place, Source};
use crate::check::{CheckStatus, Probe};
use crate::externals::{CheckRegistration, Entry, Key, OtherChecks, Registration, Spot, Told};
use crate::{Registry, RegistryError};

/// Ids and names longer than this are nobody's.
const NAME_MAX: usize = 1024;

impl Registry {
    /// Registers a service that is no container of this host, with checks of its own; the same id again replaces it.
    /// A check that is registered again as it was goes on saying what it said.
    pub async fn register_external(
        &self,
        service: Registration,
        checks: Vec<CheckRegistration>,
        others: OtherChecks,
    ) -> Result<(), RegistryError> {
        sane("service id", &service.id)?;
        sane("service name", &service.name)?;
        let place = service.place();
        self.refuse_container(&place)?;
        for check in &checks {
            self.refuse_foreign_check(check)?;
        }
        let mut dropped = Vec::new();
        if others == OtherChecks::Drop {
            dropped = self.with_book(|book| book.externals.checks_of(&place));
            let is_old = |key: &Key| checks.iter().all(|check| check.place() != key.place);
            dropped.retain(is_old);
        }
        let mut entries = vec![Entry::Service(service)];
        entries.extend(checks.into_iter().map(Entry::Check));
        self.enter(entries, dropped).await
    }

    /// Registers a node, a service on it and checks of either, of which it is told what they say: all of it, or nothing.
    pub async fn register_together(
        &self,
        node: Option<Node>,
        service: Option<Registration>,
        checks: Vec<Told>,
    ) -> Result<(), RegistryError> {
        let mut entries = Vec::new();
        if let Some(node) = node {
            sane("node name", &node.name)?;
            entries.push(Entry::Node(node));
        }
        let place = service.as_ref().map(Registration::place);
        if let Some(service) = service {
            sane("service id", &service.id)?;
            sane("service name", &service.name)?;
            self.refuse_container(&service.place())?;
            entries.push(Entry::Service(service));
        }
        for told in &checks {
            sane("check id", &told.check.spec.id)?;
            self.refuse_foreign_check(&told.check)?;
            let of = told.check.service_place();
            if let Some(of) = of.filter(|of| Some(of) != place.as_ref())
                && self.catalog().instance(&of).is_none()
            {
                return Err(RegistryError::NoSuchService(of.id));
            }
        }
        self.enter_told(entries, checks, Vec::new()).await
    }

    /// Forgets a service that somebody registered, and its checks. False when nobody did.
    pub async fn deregister(&self, place: &Place) -> Result<bool, RegistryError> {
        let (is_there, mut gone) = self.with_book(|book| {
            let is_there = book.externals.services.contains_key(place);
            (is_there, book.externals.checks_of(place))
        });
        if !is_there {
            self.refuse_container(place)?;
            return Ok(false);
        }
        gone.push(Key::of_service(place));
        self.enter(Vec::new(), gone).await?;
        Ok(true)
    }

    /// Registers a check of a node, or one more check of a service, be it a container's.
    pub async fn register_check(&self, check: CheckRegistration) -> Result<(), RegistryError> {
        sane("check id", &check.spec.id)?;
        self.refuse_foreign_check(&check)?;
        if let Some(service) = check.service_place()
            && self.catalog().instance(&service).is_none()
        {
            return Err(RegistryError::NoSuchService(service.id));
        }
        self.enter(vec![Entry::Check(check)], Vec::new()).await
    }

    /// Forgets a check that somebody registered. False when nobody did.
    pub async fn deregister_check(&self, place: &Place) -> Result<bool, RegistryError> {
        let is_there = self.with_book(|book| book.externals.checks.contains_key(place));
        if is_there {
            self.enter(Vec::new(), vec![Key::of_check(place)]).await?;
        }
        Ok(is_there)
    }

    /// Registers a node, for services that are elsewhere.
    pub async fn register_node(&self, node: Node) -> Result<(), RegistryError> {
        sane("node name", &node.name)?;
        self.enter(vec![Entry::Node(node)], Vec::new()).await
    }

    /// Forgets a node and everything on it. False when nobody registered it.
    pub async fn deregister_node(&self, name: &str) -> Result<bool, RegistryError> {
        let (is_there, everything) = self.with_book(|book| {
            let is_there = book.externals.nodes.contains_key(name);
            (is_there, book.externals.on_node(name))
        });
        if !everything.is_empty() {
            self.enter(Vec::new(), everything).await?;
        }
        Ok(is_there)
    }

    /// Takes a report on a check with a TTL, or on one that stays as it is set.
    pub async fn set_check_status(
        &self,
        place: &Place,
        status: CheckStatus,
        output: &str,
    ) -> Result<(), RegistryError> {
        let catalog = self.catalog();
        let check = catalog.check(place);
        let check = check.ok_or_else(|| RegistryError::NoSuchCheck(place.id.clone()))?;
        if !matches!(check.spec.probe, Probe::Ttl(_) | Probe::Set) {
            return Err(RegistryError::NotReported(place.id.clone()));
        }
        if check.status != status {
            self.keep_status(place, status, output).await?;
        }
        let spot = Spot::of_check(place.clone(), check.service.as_deref());
        self.change_at(|book| {
            let state = book.state_mut(place);
            let is_news = state.is_some_and(|state| state.set(status, output));
            is_news.then_some(spot).into_iter().collect()
        });
        Ok(())
    }

    /// What a container stands for is nobody else's to say.
    fn refuse_container(&self, place: &Place) -> Result<(), RegistryError> {
        let catalog = self.catalog();
        let Some(instance) = catalog.instance(place) else {
            return Ok(());
        };
        match &instance.source {
            Source::Container { id, .. } => Err(RegistryError::OfContainer {
                id: place.id.clone(),
                container: id.short().to_owned(),
            }),
            Source::External { .. } => Ok(()),
        }
    }

    /// A check that a container asks for, or the engine's, cannot be replaced.
    fn refuse_foreign_check(&self, check: &CheckRegistration) -> Result<(), RegistryError> {
        let place = check.place();
        let is_known = self.with_book(|book| book.externals.checks.contains_key(&place));
        if !is_known && self.catalog().check(&place).is_some() {
            let text = format!("Check {} is a container's: choose another id", place.id);
            return Err(RegistryError::Invalid(text));
        }
        Ok(())
    }
}

fn sane(what: &str, text: &str) -> Result<(), RegistryError> {
    let problem = if text.is_empty() {
        "is missing"
    } else if text.len() > NAME_MAX {
        "is too long"
    } else if text.chars().any(char::is_control) {
        "has control characters"
    } else {
        return Ok(());
    };
    Err(RegistryError::Invalid(format!("The {what} {problem}")))
}
