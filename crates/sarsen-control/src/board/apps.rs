//! The list of apps, and one app's page.

use std::collections::{BTreeMap, HashMap, HashSet};

use sarsen_domain::AppName;
use sarsen_store::{BuildRecord, ReleaseSummary};

use super::trends::Trend;
use super::{AppBoard, AppCard, BuildRow, InstanceRow, ProcessRow, ReleaseRow, RunningDeploy};
use crate::control::Control;
use crate::failure::Outcome;
use crate::metrics::ProcessUsage;
use crate::overview::{AppOverview, InstanceLine};
use crate::session::Actor;

/// A page shows so many releases, builds and things that happened.
const NEWEST: usize = 20;

impl Control {
    /// The apps that this one may see, by name.
    pub async fn app_cards(&self, actor: &Actor) -> Outcome<Vec<AppCard>> {
        let (overview, usage, trends) =
            tokio::join!(self.overview(), self.usage_now(), self.trends());
        let (usage, trends) = (usage?, trends?);
        let maintained = self.maintained().await?;
        let mut seen = overview?;
        seen.retain(|app| actor.sees(&app.name));
        let card = |app: AppOverview| {
            let (usage, trend) = (usage.get(&app.name), trends.get(&app.name));
            let maintenance = maintained.contains(&app.name);
            AppCard {
                maintenance,
                ..self.card(app, usage.map_or(&[][..], Vec::as_slice), trend)
            }
        };
        Ok(seen.into_iter().map(card).collect())
    }

    fn card(&self, app: AppOverview, usage: &[ProcessUsage], trend: Option<&Trend>) -> AppCard {
        AppCard {
            state: app.condition.as_str(),
            maintenance: false,
            deploying: self.locks.holder(&app.name).map(|build| build.to_string()),
            release: app.release.map(|number| number.0),
            commit: app.commit.map(|commit| commit.to_string()),
            released_at: app.released_at,
            live: app.live,
            wanted: app.wanted,
            last_build: app.last_build.map(|status| status.as_str()),
            url: app.url.filter(|_| app.release.is_some()),
            rpm: trend.map(|trend| trend.rpm.clone()).unwrap_or_default(),
            p95_ms: trend.and_then(|trend| trend.p95_ms),
            share_5xx: trend.map_or(0.0, Trend::share_5xx),
            memory: usage.iter().map(|usage| usage.memory).sum(),
            cpu_millis: usage.iter().map(|usage| usage.cpu_millis).sum(),
            name: app.name.to_string(),
        }
    }

    /// Deploys under way of apps that this one may see, oldest first.
    pub async fn running_deploys(&self, actor: &Actor) -> Outcome<Vec<RunningDeploy>> {
        let mut running = Vec::new();
        for build in self.store.builds().running().await? {
            if !actor.sees(&build.app) {
                continue;
            }
            running.push(RunningDeploy {
                usual_ms: self.usual_ms(&build.app).await?,
                app: build.app.to_string(),
                build: build.id.to_string(),
                stage: build.stage,
                started_at: build.started_at,
                source: build.source.as_str(),
                author: build.author,
            });
        }
        Ok(running)
    }

    /// One app's page; nothing when there is no such app.
    pub async fn app_board(&self, actor: &Actor, app: &AppName) -> Outcome<Option<AppBoard>> {
        let Some(details) = self.app_details(app).await? else {
            return Ok(None);
        };
        let usage = self.usage_now().await?;
        let usage = usage.get(app).map_or(&[][..], Vec::as_slice);
        let trends = self.trends().await?;
        let record = self.store.apps().get(app).await?;
        let services = self.store.services().of_app(app).await?;
        let maintenance = self.is_in_maintenance(app).await?;
        Ok(Some(AppBoard {
            card: AppCard {
                maintenance,
                ..self.card(details.overview, usage, trends.get(app))
            },
            urls: details.urls,
            remote: self.remote(app),
            locked: record.locked,
            maintenance,
            processes: self.process_rows(app, &details.instances, usage).await?,
            releases: details.releases.iter().map(release_row).collect(),
            builds: details.builds.iter().map(build_row).collect(),
            services: self.service_rows(actor, services).await?,
            activity: self.activity(app, NEWEST).await?,
        }))
    }

    /// What `git remote add` needs to push to an app of this name.
    pub fn remote(&self, app: &AppName) -> String {
        let (host, port) = (&self.settings.ssh_host, self.settings.ssh_port);
        let user = if self.settings.dokku_owner.is_some() {
            "dokku"
        } else {
            "sarsen"
        };
        if port == 22 {
            format!("{user}@{host}:{app}")
        } else {
            format!("ssh://{user}@{host}:{port}/{app}")
        }
    }

    /// The apps whose visitors get the maintenance page.
    async fn maintained(&self) -> Outcome<HashSet<AppName>> {
        let plugin = crate::verbs::maintenance::CONCERN.plugin;
        let set = self.store.properties().by_app(plugin, "enabled").await?;
        let is_on = |(app, value): (AppName, String)| (value == "true").then_some(app);
        Ok(set.into_iter().filter_map(is_on).collect())
    }

    async fn is_in_maintenance(&self, app: &AppName) -> Outcome<bool> {
        let concern = &crate::verbs::maintenance::CONCERN;
        Ok(concern.effective(self, app, "enabled").await? == "true")
    }

    async fn process_rows(
        &self,
        app: &AppName,
        instances: &[InstanceLine],
        usage: &[ProcessUsage],
    ) -> Outcome<Vec<ProcessRow>> {
        let formation = self.store.formation().get(app).await?;
        let live = self.store.releases().live(app).await?;
        let mut rows: BTreeMap<String, ProcessRow> = BTreeMap::new();
        let row = |process: &str| ProcessRow {
            process: process.to_owned(),
            command: None,
            wanted: 0,
            instances: Vec::new(),
        };
        for (process, wanted) in formation.iter() {
            let name = process.as_str();
            rows.entry(name.to_owned())
                .or_insert_with(|| row(name))
                .wanted = wanted;
        }
        if let Some(live) = &live {
            for (process, command) in live.procfile.iter() {
                let name = process.as_str();
                let row = rows.entry(name.to_owned()).or_insert_with(|| row(name));
                row.command = Some(command.to_owned());
            }
        }
        let usage: HashMap<&str, &ProcessUsage> = usage
            .iter()
            .map(|usage| (usage.dyno.as_str(), usage))
            .collect();
        for line in instances {
            let name = line.process.as_str();
            let row = rows.entry(name.to_owned()).or_insert_with(|| row(name));
            let dyno = format!("{}.{}", line.process, line.index);
            // One that is on its way out goes by the same name and is not the one that was measured.
            let own = usage
                .get(dyno.as_str())
                .filter(|_| line.state != "stopping");
            row.instances.push(InstanceRow {
                cpu_millis: own.map(|usage| usage.cpu_millis),
                memory: own.map(|usage| usage.memory),
                memory_limit: own.and_then(|usage| usage.memory_limit),
                restarts: own.map(|usage| usage.restarts),
                name: dyno,
                release: line.release.0,
                state: line.state,
                container: line.container.clone(),
                created_at: line.created_at,
            });
        }
        Ok(rows.into_values().collect())
    }
}

pub(super) fn release_row(release: &ReleaseSummary) -> ReleaseRow {
    ReleaseRow {
        number: release.number.0,
        state: release.state.as_str(),
        commit: release.commit.as_ref().map(ToString::to_string),
        author: release.author.clone(),
        description: release.description.clone(),
        created_at: release.created_at,
        build: release.build.to_string(),
        image: release.image.to_string(),
    }
}

pub(super) fn build_row(build: &BuildRecord) -> BuildRow {
    BuildRow {
        id: build.id.to_string(),
        app: build.app.to_string(),
        status: build.status.as_str(),
        source: build.source.as_str(),
        commit: build.commit.as_ref().map(ToString::to_string),
        release: build.release.map(|number| number.0),
        author: build.author.clone(),
        stage: build.stage.clone(),
        error: build.error.clone(),
        started_at: build.started_at,
        finished_at: build.finished_at,
    }
}

#[cfg(test)]
mod tests {
    use sarsen_runtime::fake::Behaviour;

    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn maintenance_is_in_the_list_and_release_is_not_scaled() {
        let world = World::new(Behaviour::default()).await;
        world.release("shop", "web: a\nrelease: b\n", None).await;
        world.release("blog", "web: a\n", None).await;
        world.ok("maintenance:enable shop").await;
        let actor = Actor::Local {
            user: "ada".to_owned(),
        };
        let cards = world.control.app_cards(&actor).await.unwrap();
        let seen = cards
            .iter()
            .map(|card| (card.name.as_str(), card.maintenance));
        assert_eq!(seen.collect::<Vec<_>>(), [("blog", false), ("shop", true)]);
        let shop = AppName::parse("shop").unwrap();
        let board = world.control.app_board(&actor, &shop).await.unwrap();
        assert!(board.unwrap().card.maintenance);
        let rows = world.control.scale_rows(&shop).await.unwrap();
        let processes: Vec<_> = rows.iter().map(|row| row.process.as_str()).collect();
        assert_eq!(processes, ["web"]);
    }
}
