//! What the router does for an app beyond nginx's settings: paths, balancing, limits, headers, pages.

use sarsen_domain::{Domain, Invalid};
use sarsen_router::PathPrefix;
use tokio::io::AsyncReadExt;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::policies::{parse_networks, parse_number, parse_rules, parse_time};
use crate::property::{Concern, Property, Reach, boolean};
use crate::report::ReportKind;
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "router:error-page",
        "<app> <status> [--clear]",
        Change,
        "Replaces the router's page for a status by HTML from standard input",
        error_page
    ),
    verb!(
        "router:report",
        "[<app>] [--global] [--format stdout|json] [--router-*]",
        Read,
        "Displays a router report",
        report
    ),
    verb!(
        "router:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a router property: path-prefix, balance, rate-limit, allow, sticky and others",
        set
    ),
];

/// The largest page; it is kept in memory.
pub(crate) const MAX_PAGE: u64 = 256 * 1024;

const fn property(
    key: &'static str,
    reach: Reach,
    default: &'static str,
    check: fn(&str) -> Result<(), Invalid>,
) -> Property {
    Property {
        key,
        reach,
        default,
        check,
    }
}

/// The router's own properties.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "router",
    properties: &[
        property("allow", Reach::AppAndGlobal, "", networks),
        property("balance", Reach::AppAndGlobal, "round-robin", balance),
        property("canonical-host", Reach::App, "", host),
        property("compression", Reach::AppAndGlobal, "true", boolean),
        property("deny", Reach::AppAndGlobal, "", networks),
        property("eject-after", Reach::AppAndGlobal, "5", number),
        property("eject-time", Reach::AppAndGlobal, "10s", time),
        property("https-redirect", Reach::AppAndGlobal, "true", boolean),
        property("path-prefix", Reach::App, "", path),
        property("rate-burst", Reach::AppAndGlobal, "", number),
        property("rate-limit", Reach::AppAndGlobal, "0", number),
        property("request-headers", Reach::AppAndGlobal, "", rules),
        property("response-headers", Reach::AppAndGlobal, "", rules),
        property("slow-start", Reach::AppAndGlobal, "", time),
        property("sticky", Reach::AppAndGlobal, "false", boolean),
        property("strip-path", Reach::App, "false", boolean),
        property("websocket-drain-timeout", Reach::AppAndGlobal, "10s", time),
        property("websocket-timeout", Reach::AppAndGlobal, "", time),
    ],
    report: ReportKind {
        prefix: "router",
        label: "router",
        long_json_keys: false,
    },
};

fn networks(value: &str) -> Result<(), Invalid> {
    parse_networks(value).map(drop)
}

fn number(value: &str) -> Result<(), Invalid> {
    parse_number(value).map(drop)
}

fn time(value: &str) -> Result<(), Invalid> {
    parse_time(value).map(drop)
}

fn rules(value: &str) -> Result<(), Invalid> {
    parse_rules(value).map(drop)
}

fn path(value: &str) -> Result<(), Invalid> {
    value.parse::<PathPrefix>().map(drop)
}

fn host(value: &str) -> Result<(), Invalid> {
    let domain = Domain::parse(value)?;
    if domain.is_catch_all() || domain.wildcard_suffix().is_some() {
        return Err(Invalid::new("Give one host name, without * or _"));
    }
    Ok(())
}

fn balance(value: &str) -> Result<(), Invalid> {
    match value {
        "round-robin" | "least-requests" => Ok(()),
        other => Err(Invalid::new(format!(
            "Invalid value '{}': use round-robin or least-requests",
            other.escape_debug()
        ))),
    }
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    if let Some(app) = call.app.clone() {
        let (key, value) = (call.args.get(1), call.args.get(2));
        let domains = control.app_domains(&app).await?;
        match (key, value.unwrap_or_default()) {
            (Some("path-prefix"), value) => {
                control.refuse_taken(&app, &domains, Some(value)).await?;
            }
            (Some("canonical-host"), value) if !value.is_empty() => {
                host(value)?;
                let name = Domain::parse(value)?;
                if !domains.contains(&name) {
                    return Err(Failure::new(format!(
                        "{name} is not a domain of {}: add it with 'domains:add' first",
                        &*app
                    )));
                }
            }
            _ => {}
        }
    }
    CONCERN.set(control, call).await?;
    control.refresh_routes().await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.report(control, call).await
}

async fn error_page(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let status = call.args.get(1).unwrap_or_default().to_owned();
    let number: Option<u16> = status.parse().ok();
    if !number.is_some_and(|number| (400..600).contains(&number)) {
        return Err(Failure::new(format!(
            "Invalid status '{}': give one between 400 and 599",
            status.escape_debug()
        )));
    }
    if call.args.has("--clear") {
        if !control.store.routing().remove_page(&app, &status).await? {
            return Err(Failure::new(format!("{} has no page for {status}", &*app)));
        }
        control.refresh_routes().await?;
        return call
            .out
            .header(&format!("Removed the page for {status} of {}", &*app))
            .await;
    }
    let html = read_page(call).await?;
    control
        .store
        .routing()
        .set_page(&app, &status, &html)
        .await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Set the page for {status} of {}", &*app))
        .await
}

/// A page from standard input.
pub(crate) async fn read_page(call: &mut Call) -> Outcome<Vec<u8>> {
    let mut html = Vec::new();
    let mut input = call.take_stdin().take(MAX_PAGE + 1);
    input
        .read_to_end(&mut html)
        .await
        .map_err(|error| Failure::new(format!("Cannot read standard input: {error}")))?;
    if html.is_empty() {
        return Err(Failure::new("Send the page on standard input"));
    }
    if html.len() as u64 > MAX_PAGE {
        return Err(Failure::new(format!(
            "The page is too large: {} KiB at most, with everything in it",
            MAX_PAGE / 1024
        )));
    }
    Ok(html)
}
