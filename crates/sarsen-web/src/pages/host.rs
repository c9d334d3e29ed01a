//! The host: what is registered, plugins, who may come in, and who did what.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sarsen_control::Outcome;
use sarsen_control::board::{
    AuditRow, CatalogRow, DiskRow, HostStrip, KeyRow, PluginRow, ServiceRow, SessionRow, TokenRow,
};
use serde::Deserialize;

use super::apps::{Fact, facts};
use super::frame::Frame;
use super::show;
use crate::Web;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "host_services.html")]
struct ServicesPage {
    frame: Frame,
    strip: HostStrip,
    facts: Vec<Fact>,
    tab: &'static str,
    catalog: Vec<CatalogRow>,
    services: Vec<ServiceRow>,
    disk: Vec<DiskRow>,
}

#[derive(Template)]
#[template(path = "host_plugins.html")]
struct PluginsPage {
    frame: Frame,
    strip: HostStrip,
    facts: Vec<Fact>,
    tab: &'static str,
    plugins: Vec<PluginRow>,
}

#[derive(Template)]
#[template(path = "host_keys.html")]
struct KeysPage {
    frame: Frame,
    strip: HostStrip,
    facts: Vec<Fact>,
    tab: &'static str,
    keys: Vec<KeyRow>,
    tokens: Vec<TokenRow>,
    sessions: Vec<SessionRow>,
}

#[derive(Template)]
#[template(path = "host_audit.html")]
struct AuditPage {
    frame: Frame,
    strip: HostStrip,
    facts: Vec<Fact>,
    tab: &'static str,
    entries: Vec<AuditRow>,
    /// An entry that somebody has altered.
    broken: Option<i64>,
    /// Where older entries begin.
    older: Option<i64>,
}

#[derive(Deserialize)]
pub(crate) struct Before {
    before: Option<i64>,
}

/// Entries of the audit log on one page.
const ENTRIES: usize = 200;

async fn around(web: &Web, visit: &Visit) -> Outcome<(HostStrip, Vec<Fact>)> {
    let strip = web.control.host_strip(&visit.viewer.actor).await?;
    let facts = facts(&strip);
    Ok((strip, facts))
}

pub(crate) async fn services(visit: Visit, State(web): State<Web>) -> Response {
    let page = async {
        let (strip, facts) = around(&web, &visit).await?;
        Ok(ServicesPage {
            frame: Frame::new(&visit, "host", "/host").lively(10).commands([
                "sarsen services".to_owned(),
                "sarsen report".to_owned(),
                "sarsen doctor".to_owned(),
            ]),
            catalog: web.control.catalog_rows(),
            services: web.control.all_services(&visit.viewer.actor).await?,
            disk: web.control.disk_rows().await?,
            strip,
            facts,
            tab: "",
        })
    };
    super::show(page.await)
}

pub(crate) async fn plugins(visit: Visit, State(web): State<Web>) -> Response {
    let page = async {
        let (strip, facts) = around(&web, &visit).await?;
        Ok(PluginsPage {
            frame: Frame::new(&visit, "host", "/host/plugins").commands([
                "sarsen plugin:list".to_owned(),
                "sarsen plugin:report".to_owned(),
                "sarsen plugin:install URL".to_owned(),
            ]),
            plugins: web.control.plugin_rows().await?,
            strip,
            facts,
            tab: "plugins",
        })
    };
    super::show(page.await)
}

pub(crate) async fn keys(visit: Visit, State(web): State<Web>) -> Response {
    let page = async {
        let (strip, facts) = around(&web, &visit).await?;
        let actor = &visit.viewer.actor;
        Ok(KeysPage {
            frame: Frame::new(&visit, "host", "/host/keys").commands([
                "sarsen ssh-keys:list".to_owned(),
                "sarsen access:list".to_owned(),
                "sarsen tokens:list".to_owned(),
                "sarsen dashboard:sessions".to_owned(),
            ]),
            keys: web.control.key_rows().await?,
            tokens: web.control.token_rows(actor).await?,
            sessions: web
                .control
                .session_rows(actor, visit.viewer.session)
                .await?,
            strip,
            facts,
            tab: "keys",
        })
    };
    super::show(page.await)
}

pub(crate) async fn audit(
    visit: Visit,
    State(web): State<Web>,
    Query(asked): Query<Before>,
) -> Response {
    let page = async {
        let (strip, facts) = around(&web, &visit).await?;
        let entries = web.control.audit_rows(asked.before, ENTRIES).await?;
        let last = entries.last().map(|row| row.id);
        Ok(AuditPage {
            frame: Frame::new(&visit, "host", "/host/audit").commands(["sarsen events".to_owned()]),
            older: last.filter(|id| entries.len() == ENTRIES && *id > 1),
            entries,
            broken: web.control.first_broken_event().await?,
            strip,
            facts,
            tab: "audit",
        })
    };
    super::show(page.await)
}
