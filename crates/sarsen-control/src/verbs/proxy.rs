//! Whether the router of this host leads to an app, and on which ports.

use std::sync::PoisonError;

use sarsen_domain::{AppName, Invalid, port};
use sarsen_store::Scope;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, apps_meant, apps_to_report, boolean, scope};
use crate::report::{self, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "proxy:build-config",
        "[--parallel N] <app>|--all",
        Change,
        "Computes the routes anew, also for apps whose routes were cleared",
        build_config
    ),
    verb!(
        "proxy:clear-config",
        "<app>|--all",
        Change,
        "Takes the routes of an app away until the next deploy or proxy:build-config",
        clear_config
    ),
    verb!(
        "proxy:disable",
        "[--parallel N] <app>|--all",
        Change,
        "Stops routing requests to an app",
        disable
    ),
    verb!(
        "proxy:enable",
        "[--parallel N] <app>|--all",
        Change,
        "Routes requests to an app again",
        enable
    ),
    verb!(
        "proxy:report",
        "[<app>] [--global] [--format stdout|json] [--proxy-*]",
        Read,
        "Displays a proxy report",
        report
    ),
    verb!(
        "proxy:set",
        "<app>|--global <key-or-type> [<value>]",
        Change,
        "Sets a proxy property: type, disabled, proxy-port, proxy-ssl-port",
        set
    ),
];

/// Our own router.
const OURS: &str = "sarsen";
/// No routes at all.
const NONE: &str = "null";

/// The properties of the proxy.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "proxy",
    properties: &[
        Property {
            key: "type",
            reach: Reach::AppAndGlobal,
            default: OURS,
            check: kind,
        },
        Property {
            key: "disabled",
            reach: Reach::App,
            default: "false",
            check: boolean,
        },
        Property {
            key: "proxy-port",
            reach: Reach::AppAndGlobal,
            default: "",
            check: a_port,
        },
        Property {
            key: "proxy-ssl-port",
            reach: Reach::AppAndGlobal,
            default: "",
            check: a_port,
        },
    ],
    report: ReportKind {
        prefix: "proxy",
        label: "proxy",
        long_json_keys: true,
    },
};

fn kind(value: &str) -> Result<(), Invalid> {
    match value {
        OURS | NONE => Ok(()),
        other => Err(Invalid::new(format!(
            "Proxy '{}' is not here: the router of this host is '{OURS}', and '{NONE}' routes nothing",
            other.escape_debug()
        ))),
    }
}

fn a_port(value: &str) -> Result<(), Invalid> {
    port::parse_port(value).map(|_| ())
}

/// `proxy:set APP nginx` of old scripts names the type alone.
async fn set(control: &Control, call: &mut Call) -> Outcome {
    let (scope, at) = scope(call)?;
    let key = call.args.get(at).unwrap_or_default().to_owned();
    let value = call.args.get(at + 1).unwrap_or_default().to_owned();
    let known = CONCERN.properties.iter().any(|known| known.key == key);
    if known {
        if key == "proxy-port" && !value.is_empty() {
            let wanted = port::parse_port(&value)?;
            control.check_port_can_be_opened(wanted).await?;
        }
        if key == "proxy-ssl-port" && !value.is_empty() {
            let wanted = port::parse_port(&value)?;
            control.check_tls_port_can_be_opened(wanted).await?;
        }
        CONCERN.set(control, call).await?;
    } else if value.is_empty() {
        kind(&key)?;
        let properties = control.store.properties();
        properties.set(&scope, CONCERN.plugin, "type", &key).await?;
        call.out.title(&format!("Setting type to {key}")).await?;
    } else {
        return CONCERN.set(control, call).await;
    }
    control.refresh_routes().await
}

async fn enable(control: &Control, call: &mut Call) -> Outcome {
    for app in chosen(control, call).await? {
        call.out
            .header(&format!("Enabling proxy for app ({app})"))
            .await?;
        let scope = Scope::App(app.clone());
        let properties = control.store.properties();
        properties.unset(&scope, CONCERN.plugin, "disabled").await?;
        control.show_routes(&app);
    }
    control.refresh_routes().await
}

async fn disable(control: &Control, call: &mut Call) -> Outcome {
    for app in chosen(control, call).await? {
        call.out
            .header(&format!("Disabling proxy for app ({app})"))
            .await?;
        let scope = Scope::App(app);
        let properties = control.store.properties();
        properties
            .set(&scope, CONCERN.plugin, "disabled", "true")
            .await?;
    }
    control.refresh_routes().await
}

async fn build_config(control: &Control, call: &mut Call) -> Outcome {
    for app in chosen(control, call).await? {
        control.show_routes(&app);
        call.out
            .header(&format!("Computed the routes of {app}"))
            .await?;
    }
    control.refresh_routes().await
}

async fn clear_config(control: &Control, call: &mut Call) -> Outcome {
    for app in chosen(control, call).await? {
        call.out
            .header(&format!("Cleared the routes of {app}"))
            .await?;
        control.hide_routes(app);
    }
    control.refresh_routes().await
}

/// The app, or every app with `--all`. The table is swapped once for all of them, so any `--parallel` is met.
async fn chosen(control: &Control, call: &mut Call) -> Outcome<Vec<AppName>> {
    if let Some(count) = call.args.value("--parallel") {
        count
            .parse::<i32>()
            .ok()
            .filter(|count| *count >= -1 && *count != 0)
            .ok_or_else(|| {
                Failure::new(format!(
                    "Invalid --parallel '{}': give a number, or -1 for one per CPU",
                    count.escape_debug()
                ))
            })?;
    }
    apps_meant(control, call).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let disabled = CONCERN.effective(control, &app, "disabled").await? == "true";
        fields.insert("proxy-enabled".to_owned(), (!disabled).to_string());
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

/// What the proxy's properties say about the routes of all apps.
#[derive(Debug, Default)]
pub(crate) struct ProxyView {
    /// Apps that get no requests.
    pub hidden: std::collections::BTreeSet<AppName>,
    /// The port in place of 80, for apps whose ports are detected.
    pub ports: std::collections::BTreeMap<AppName, u16>,
    pub global_port: Option<u16>,
    /// The port in place of 443, likewise.
    pub ssl_ports: std::collections::BTreeMap<AppName, u16>,
    pub global_ssl_port: Option<u16>,
}

fn numbers(
    values: std::collections::BTreeMap<AppName, String>,
) -> std::collections::BTreeMap<AppName, u16> {
    let parsed = values.into_iter();
    parsed
        .filter_map(|(app, port)| Some((app, port.parse().ok()?)))
        .collect()
}

impl ProxyView {
    /// The port in place of 80.
    pub(crate) fn port(&self, app: &AppName) -> Option<u16> {
        self.ports.get(app).copied().or(self.global_port)
    }

    /// The port in place of 443, when it is another one.
    pub(crate) fn ssl_port(&self, app: &AppName) -> Option<u16> {
        let chosen = self.ssl_ports.get(app).copied().or(self.global_ssl_port);
        chosen.filter(|port| *port != 443)
    }
}

impl Control {
    /// Reads what the routes depend on.
    pub(crate) async fn proxy_view(
        &self,
        apps: impl Iterator<Item = &AppName>,
    ) -> Outcome<ProxyView> {
        let properties = self.store.properties();
        let kinds = properties.by_app(CONCERN.plugin, "type").await?;
        let disabled = properties.by_app(CONCERN.plugin, "disabled").await?;
        let ports = properties.by_app(CONCERN.plugin, "proxy-port").await?;
        let ssl_ports = properties.by_app(CONCERN.plugin, "proxy-ssl-port").await?;
        let kind = CONCERN.global(self, "type").await?;
        let port = CONCERN.global(self, "proxy-port").await?;
        let ssl_port = CONCERN.global(self, "proxy-ssl-port").await?;
        let cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        let hidden = apps.filter(|app| {
            kinds.get(*app).unwrap_or(&kind) == NONE
                || disabled.get(*app).is_some_and(|value| value == "true")
                || cleared.contains(*app)
        });
        Ok(ProxyView {
            hidden: hidden.cloned().collect(),
            ports: numbers(ports),
            global_port: port.parse().ok(),
            ssl_ports: numbers(ssl_ports),
            global_ssl_port: ssl_port.parse().ok(),
        })
    }

    /// Leaves an app out of the routes until [`Self::show_routes`]; forgotten when the daemon ends.
    pub(crate) fn hide_routes(&self, app: AppName) {
        let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        cleared.insert(app);
    }

    /// Routes to an app again.
    pub(crate) fn show_routes(&self, app: &AppName) {
        let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        cleared.remove(app);
    }
}
