//! What an app is set to: domains, certificates, config, scale, services, tasks, storage.

use std::collections::BTreeSet;

use sarsen_domain::{AppName, Domain, ProcessType};
use sarsen_store::{BackupState, Scope, ServiceRecord};

use super::{
    AcmeRow, CertificateRow, ConfigRow, CronRow, CronRunRow, DomainBoard, DomainCheck, ScaleRow,
    ServiceRow, StorageRow,
};
use crate::certificates::CertificateView;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::session::Actor;
use crate::verbs::resource::Resources;

/// Of what a task wrote, so much is shown.
const OUTPUT: usize = 64 * 1024;

impl Control {
    /// The domains of an app, its certificate, and how that is kept.
    pub async fn domain_board(&self, app: &AppName) -> Outcome<DomainBoard> {
        let text =
            |domains: Vec<Domain>| domains.iter().map(ToString::to_string).collect::<Vec<_>>();
        let domains = self.store.domains();
        let certificates = self.certificates().await?;
        let acme = self.store.acme().state(app).await?.unwrap_or_default();
        Ok(DomainBoard {
            enabled: domains.vhosts_enabled(app).await?,
            own: text(domains.list(&Scope::App(app.clone())).await?),
            effective: text(self.app_domains(app).await?),
            global: text(domains.list(&Scope::Global).await?),
            https: self.settings.https_port.is_some(),
            certificate: certificates
                .into_iter()
                .find(|view| view.app == *app)
                .map(certificate_row),
            acme: AcmeRow {
                enabled: acme.is_enabled,
                failures: acme.failures,
                retry_at: (acme.failures > 0).then_some(acme.retry_at),
                renew_at: acme.renew_at,
                error: acme.error,
            },
        })
    }

    /// Whether a name of an app leads here: DNS is asked, and a request is sent.
    pub async fn check_domain(&self, app: &AppName, domain: &str) -> Outcome<DomainCheck> {
        let domain = Domain::parse(domain)?;
        // Nobody has this host ask about names that are not the app's.
        if !self.app_domains(app).await?.contains(&domain) {
            return Err(Failure::new(format!("{domain} is no domain of {app}")));
        }
        let port = self.settings.http_public_port;
        let found = tokio::net::lookup_host((domain.as_str(), port)).await;
        let addresses: BTreeSet<String> = found
            .map(|all| all.map(|one| one.ip().to_string()).collect())
            .unwrap_or_default();
        let reached = self.router.challenges().reach(domain.as_str(), port).await;
        Ok(DomainCheck {
            domain: domain.to_string(),
            addresses: addresses.into_iter().collect(),
            arrives: reached.is_ok(),
            problem: reached.err(),
        })
    }

    /// The certificates of apps that this one may see, the one that ends first in front.
    pub async fn certificate_rows(&self, actor: &Actor) -> Outcome<Vec<CertificateRow>> {
        let mut certificates = self.certificates().await?;
        certificates.retain(|view| actor.sees(&view.app));
        Ok(certificates.into_iter().map(certificate_row).collect())
    }

    /// The config vars of an app by key; never a value.
    pub async fn config_rows(&self, app: &AppName) -> Outcome<Vec<ConfigRow>> {
        let scope = Scope::App(app.clone());
        let own = self.store.config().get(&scope).await?;
        let merged = self.store.config().merged(app).await?;
        let row = |key: &str| ConfigRow {
            key: key.to_owned(),
            global: own.get(key).is_none(),
        };
        Ok(merged.iter().map(|(key, _)| row(key.as_str())).collect())
    }

    /// Quantities and limits by process type.
    pub async fn scale_rows(&self, app: &AppName) -> Outcome<Vec<ScaleRow>> {
        let formation = self.store.formation().get(app).await?;
        let resources = Resources::of(self, app).await?;
        let live = self.live_instances(app).await?;
        let release = self.store.releases().live(app).await?;
        let mut types: BTreeSet<ProcessType> =
            formation.iter().map(|(one, _)| one.clone()).collect();
        types.extend(resources.processes());
        if let Some(release) = &release {
            types.extend(release.procfile.iter().map(|(one, _)| one.clone()));
        }
        types.retain(|one| !one.is_release());
        let row = |process: ProcessType| {
            let value = |key: &str| resources.value(&process, key).map(str::to_owned);
            let running = live
                .iter()
                .filter(|instance| instance.process == process)
                .count();
            ScaleRow {
                wanted: formation.quantity(&process),
                live: u32::try_from(running).unwrap_or(u32::MAX),
                cpu_limit: value("limit.cpu"),
                memory_limit: value("limit.memory"),
                cpu_reservation: value("reserve.cpu"),
                memory_reservation: value("reserve.memory"),
                process: process.to_string(),
            }
        };
        Ok(types.into_iter().map(row).collect())
    }

    /// The services of addons: those of an app, or those that this one may know of.
    pub async fn all_services(&self, actor: &Actor) -> Outcome<Vec<ServiceRow>> {
        let services = self.store.services().all().await?;
        let mut rows = self.service_rows(actor, services).await?;
        if !actor.may(crate::Action::Read, None) {
            rows.retain(|row| !row.apps.is_empty());
        }
        Ok(rows)
    }

    /// The services that an app is linked to.
    pub async fn app_services(&self, actor: &Actor, app: &AppName) -> Outcome<Vec<ServiceRow>> {
        let services = self.store.services().of_app(app).await?;
        self.service_rows(actor, services).await
    }

    /// The addons that there are: name and title.
    pub fn addon_names(&self) -> Vec<(String, String)> {
        let catalog = self.addons.catalog.iter();
        catalog
            .map(|addon| (addon.name.to_string(), addon.title.clone()))
            .collect()
    }

    pub(super) async fn service_rows(
        &self,
        actor: &Actor,
        services: Vec<ServiceRecord>,
    ) -> Outcome<Vec<ServiceRow>> {
        let mut rows = Vec::new();
        let backups = self.store.service_backups().all().await?;
        for service in services {
            let own = backups
                .iter()
                .filter(|one| one.addon == service.addon && one.service == service.name);
            let done = own.clone().filter(|one| one.state == BackupState::Done);
            let good = own.filter_map(|one| one.verified.as_ref().filter(|last| last.good));
            let mut apps = self.store.services().links(service.id).await?;
            apps.retain(|app| actor.sees(app));
            let addon = self.addons.catalog.get(service.addon.as_str());
            rows.push(ServiceRow {
                title: addon.map_or_else(|| service.addon.to_string(), |addon| addon.title.clone()),
                addon: service.addon.to_string(),
                name: service.name.to_string(),
                image: service.image.to_string(),
                state: service.state.as_str(),
                created_at: service.created_at,
                apps: apps.iter().map(ToString::to_string).collect(),
                size: service.size.and_then(|size| u64::try_from(size.bytes).ok()),
                last_backup_at: done.filter_map(|one| one.finished_at).max(),
                last_verify_at: good.map(|last| last.at).max(),
            });
        }
        Ok(rows)
    }

    /// The tasks of an app.
    pub async fn cron_rows(&self, app: &AppName) -> Outcome<Vec<CronRow>> {
        let mut rows = Vec::new();
        for task in self.cron_tasks(app).await? {
            let suspended = task.app_in_maintenance || task.in_maintenance || task.stopped;
            let last = match task.last_run {
                Some(run) => Some(CronRunRow {
                    output: end_of(&self.cron_output(run.id).await.unwrap_or_default()),
                    id: run.id,
                    state: run.state.as_str(),
                    started_at: run.started_at,
                    finished_at: run.finished_at,
                    exit_code: run.exit_code,
                    message: run.message,
                }),
                None => None,
            };
            rows.push(CronRow {
                id: task.id.to_string(),
                command: task.command,
                schedule: task.schedule,
                zone: task.zone,
                policy: task.policy.as_str(),
                suspended,
                next_at: task.next_run,
                last,
            });
        }
        Ok(rows)
    }

    /// What an app mounts.
    pub async fn storage_rows(&self, app: &AppName) -> Outcome<Vec<StorageRow>> {
        let mounts = self.store.storage().mounts(app).await?;
        let row = |mount: sarsen_store::StorageMount| StorageRow {
            name: mount.entry.name,
            source: mount.entry.source,
            target: mount.mount.target,
            phases: mount.mount.phases,
            process: mount.mount.process,
            read_only: mount.mount.read_only,
        };
        Ok(mounts.into_iter().map(row).collect())
    }
}

fn end_of(text: &str) -> String {
    let start = text.len().saturating_sub(OUTPUT);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at));
    text.get(start.unwrap_or_default()..)
        .unwrap_or_default()
        .to_owned()
}

fn certificate_row(view: CertificateView) -> CertificateRow {
    CertificateRow {
        app: view.app.to_string(),
        source: view.source,
        hosts: view.facts.hosts,
        issuer: view.facts.issuer,
        starts_at: view.facts.starts_at,
        expires_at: view.facts.expires_at,
        uncovered: view.uncovered.iter().map(ToString::to_string).collect(),
        warning: view.warning,
    }
}
