//! What an app is set to, a page for each concern.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use sarsen_control::board::Property;
use sarsen_control::board::{
    AppBoard, CronRow, DomainBoard, DomainCheck, DomainState, ScaleRow, ServiceRow, StorageRow,
};

use super::frame::{Frame, Head};
use super::show;
use crate::Web;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "domains.html")]
struct DomainsPage {
    frame: Frame,
    head: Head,
    board: DomainBoard,
    rows: Vec<DomainRow>,
}

struct DomainRow {
    domain: String,
    dns: String,
    dns_tone: &'static str,
    addresses: String,
    tls: &'static str,
    tls_tone: &'static str,
    is_own: bool,
}

#[derive(Template)]
#[template(path = "scale.html")]
struct ScalePage {
    frame: Frame,
    head: Head,
    board: AppBoard,
    rows: Vec<ScaleLine>,
}

struct ScaleLine {
    row: ScaleRow,
    command: String,
}

#[derive(Template)]
#[template(path = "addons.html")]
struct AddonsPage {
    frame: Frame,
    head: Head,
    linked: Vec<ServiceRow>,
    others: Vec<ServiceRow>,
    kinds: Vec<(String, String)>,
    /// Action and label.
    service_actions: [(&'static str, &'static str); 3],
}

#[derive(Template)]
#[template(path = "cron.html")]
struct CronPage {
    frame: Frame,
    head: Head,
    rows: Vec<CronRow>,
}

#[derive(Template)]
#[template(path = "storage.html")]
struct StoragePage {
    frame: Frame,
    head: Head,
    /// Where this host keeps the folders of apps.
    root: String,
    rows: Vec<StorageRow>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    head: Head,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    head: Head,
    properties: Vec<Property>,
}

/// So many domains are looked up for one page.
const CHECKED: usize = 20;

pub(crate) async fn domains(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(whole) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let board = web.control.domain_board(app).await?;
        let state = |(number, domain): (usize, &String)| match number < CHECKED {
            true => web.control.domain_state(app, domain),
            false => DomainState::Unknown,
        };
        let states: Vec<_> = board.effective.iter().enumerate().map(state).collect();
        let is_checking = states.contains(&DomainState::Checking);
        let rows = board.effective.iter().zip(states);
        let rows = rows
            .map(|(domain, state)| domain_row(&board, domain, state))
            .collect();
        let name = &whole.card.name;
        Ok(Some(DomainsPage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/domains"))
                .lively(3)
                .busy(is_checking)
                .commands([
                    format!("sarsen domains:report {name}"),
                    format!("sarsen domains:add {name} DOMAIN"),
                    format!("sarsen letsencrypt:enable {name}"),
                    format!("sarsen certs:report {name}"),
                ]),
            head: Head::new(&visit, &whole, "/domains"),
            rows,
            board,
        }))
    };
    Ok(super::found(&visit, page.await))
}

fn domain_row(board: &DomainBoard, domain: &str, state: DomainState) -> DomainRow {
    let (dns, dns_tone, addresses) = match state {
        DomainState::Checked(check) => {
            let (dns, tone) = led_to(&check);
            (dns, tone, check.addresses.join(" "))
        }
        DomainState::Checking => ("checking…".to_owned(), "idle", String::new()),
        DomainState::Unknown => ("not checked in time".to_owned(), "idle", String::new()),
    };
    let (tls, tls_tone) = match &board.certificate {
        None => ("no certificate", "idle"),
        Some(certificate) if certificate.uncovered.iter().any(|host| host == domain) => {
            ("not covered", "odd")
        }
        Some(certificate) => ("covered", show::expiry_tone(&certificate.expires_at)),
    };
    DomainRow {
        domain: domain.to_owned(),
        dns,
        dns_tone,
        addresses,
        tls,
        tls_tone,
        is_own: board.own.iter().any(|own| own == domain),
    }
}

/// Where a domain leads, and how good that is.
fn led_to(check: &DomainCheck) -> (String, &'static str) {
    if check.arrives {
        return ("leads here".to_owned(), "good");
    }
    if check.addresses.is_empty() {
        return ("not in DNS".to_owned(), "odd");
    }
    let why = check.problem.as_deref();
    (
        why.map_or("leads elsewhere".to_owned(), show::first_line),
        "bad",
    )
}

pub(crate) async fn scale(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let rows = web.control.scale_rows(app).await?;
        let command = |row: &ScaleRow| {
            let known = board
                .processes
                .iter()
                .find(|known| known.process == row.process);
            known
                .and_then(|known| known.command.clone())
                .unwrap_or_default()
        };
        let line = |row: ScaleRow| ScaleLine {
            command: command(&row),
            row,
        };
        let rows = rows.into_iter().map(line).collect();
        let name = &board.card.name;
        Ok(Some(ScalePage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/scale"))
                .lively(10)
                .commands([
                    format!("sarsen ps:scale {name} web=2"),
                    format!(
                        "sarsen resource:limit --process-type web --memory 512m --cpu 1 {name}"
                    ),
                    format!("sarsen resource:reserve --process-type web --memory 256m {name}"),
                ]),
            head: Head::new(&visit, &board, "/scale"),
            rows,
            board,
        }))
    };
    Ok(super::found(&visit, page.await))
}

pub(crate) async fn addons(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let linked = web.control.app_services(&visit.viewer.actor, app).await?;
        let mut others = web.control.all_services(&visit.viewer.actor).await?;
        others.retain(|row| {
            !linked
                .iter()
                .any(|own| own.addon == row.addon && own.name == row.name)
        });
        let name = &board.card.name;
        Ok(Some(AddonsPage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/addons"))
                .lively(0)
                .commands([
                    format!("sarsen postgres:create {name}"),
                    format!("sarsen postgres:link {name} {name}"),
                    format!("sarsen postgres:unlink {name} {name}"),
                ]),
            head: Head::new(&visit, &board, "/addons"),
            linked,
            others,
            kinds: web.control.addon_names(),
            service_actions: [
                ("addon-backup", "Back up"),
                ("addon-verify", "Verify"),
                ("addon-restart", "Restart"),
            ],
        }))
    };
    Ok(super::found(&visit, page.await))
}

pub(crate) async fn cron(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let rows = web.control.cron_rows(app).await?;
        let name = &board.card.name;
        Ok(Some(CronPage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/cron"))
                .lively(5)
                .commands([
                    format!("sarsen cron:list {name}"),
                    format!("sarsen cron:run {name} ID"),
                    format!("sarsen cron:logs {name} ID"),
                    format!("sarsen cron:suspend {name} ID"),
                ]),
            head: Head::new(&visit, &board, "/cron"),
            rows,
        }))
    };
    Ok(super::found(&visit, page.await))
}

pub(crate) async fn storage(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let rows = web.control.storage_rows(app).await?;
        let name = &board.card.name;
        Ok(Some(StoragePage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/storage")).commands([
                format!("sarsen storage:list {name}"),
                format!("sarsen storage:mount {name} FOLDER:/data"),
                format!("sarsen storage:unmount {name} FOLDER:/data"),
            ]),
            head: Head::new(&visit, &board, "/storage"),
            root: web.control.storage_root(),
            rows,
        }))
    };
    Ok(super::found(&visit, page.await))
}

pub(crate) async fn run(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let name = &board.card.name;
        Ok(Some(RunPage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/run")).commands([
                format!("sarsen run {name} COMMAND"),
                format!("sarsen enter {name} web"),
            ]),
            head: Head::new(&visit, &board, "/run"),
        }))
    };
    Ok(super::found(&visit, page.await))
}

pub(crate) async fn settings(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let properties = web.control.property_rows(app).await?;
        let name = &board.card.name;
        Ok(Some(SettingsPage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/settings")).commands([
                format!("sarsen report {name}"),
                format!("sarsen maintenance:enable {name}"),
                format!("sarsen apps:lock {name}"),
                format!("sarsen apps:rename {name} NAME"),
                format!("sarsen apps:destroy {name}"),
            ]),
            head: Head::new(&visit, &board, "/settings"),
            properties,
        }))
    };
    Ok(super::found(&visit, page.await))
}
