//! The settings of Dokku's nginx, as far as they mean something to any proxy, and the view of an app's routes.

use std::fmt::Write;

use sarsen_domain::AppName;
use sarsen_router::{AppRoute, LogForm, Policy};
use sarsen_store::Scope;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::Concern;
use crate::report::ReportKind;
use crate::table::{Call, Command, verb};

mod logs;
mod properties;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "nginx:access-logs",
        "<app> [-t|--tail]",
        Read,
        "Shows the requests to an app",
        access_logs
    ),
    verb!(
        "nginx:error-logs",
        "<app> [-t|--tail]",
        Read,
        "Shows the requests to an app that failed",
        error_logs
    ),
    verb!("nginx:reload", "", Host, "Computes the routes anew", reload),
    verb!(
        "nginx:report",
        "[<app>] [--global] [--format stdout|json] [--nginx-*]",
        Read,
        "Displays a report of the proxy's settings",
        report
    ),
    verb!(
        "nginx:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a property of the proxy: client-max-body-size, proxy-read-timeout, hsts and others",
        set
    ),
    verb!(
        "nginx:show-conf",
        "<app>",
        Read,
        "Is nginx:show-config",
        show_config
    ),
    verb!(
        "nginx:show-config",
        "<app>",
        Read,
        "Shows the routes and the policy of an app",
        show_config
    ),
    verb!(
        "nginx:start",
        "",
        Host,
        "Says that the router runs, which it does as long as the daemon",
        start
    ),
    verb!(
        "nginx:stop",
        "",
        Host,
        "Says how to stop the router, which is a part of the daemon",
        stop
    ),
    verb!(
        "nginx:validate",
        "[--clean] [<app>]",
        Change,
        "Is nginx:validate-config",
        validate
    ),
    verb!(
        "nginx:validate-config",
        "[--clean] [<app>]",
        Change,
        "Checks the stored settings of one app or all; --clean takes out those that cannot be in force",
        validate
    ),
];

/// The settings.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "nginx",
    properties: properties::ALL,
    report: ReportKind {
        prefix: "nginx",
        label: "nginx",
        long_json_keys: false,
    },
};

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let at = usize::from(call.app.is_some());
    let key = call.args.get(at).unwrap_or_default().to_owned();
    let has_value = call.args.get(at + 1).is_some_and(|value| !value.is_empty());
    CONCERN.set(control, call).await?;
    if let Some(note) = properties::note(&key).filter(|_| has_value) {
        call.out.warn(note).await?;
    }
    control.refresh_routes().await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.report(control, call).await
}

async fn reload(control: &Control, call: &mut Call) -> Outcome {
    control.refresh_routes().await?;
    call.out.header("The routes are computed anew").await
}

async fn start(_: &Control, call: &mut Call) -> Outcome {
    call.out
        .header("The router is a part of the daemon and runs already")
        .await
}

#[expect(clippy::unused_async, reason = "verbs are asynchronous")]
async fn stop(_: &Control, _: &mut Call) -> Outcome {
    Err(Failure::new(
        "The router is a part of the daemon: stop the daemon, or use 'maintenance:enable' or 'ps:stop' for an app",
    ))
}

async fn access_logs(control: &Control, call: &mut Call) -> Outcome {
    logs::show(control, call, logs::Which::All).await
}

async fn error_logs(control: &Control, call: &mut Call) -> Outcome {
    logs::show(control, call, logs::Which::Failed).await
}

async fn validate(control: &Control, call: &mut Call) -> Outcome {
    let apps = crate::property::apps_to_report(control, call).await?;
    if call.args.has("--clean") {
        clean(control, call, &apps).await?;
    }
    let wishes = control.wishes().await?;
    let mut wrong = 0_usize;
    for app in apps {
        let (_, problems) = wishes.policy(&app);
        wrong += problems.len();
        for problem in problems {
            call.out.warn(&format!("{app}: {problem}")).await?;
        }
    }
    if wrong > 0 {
        return Err(Failure::new(
            "The settings named above are not in force: set them anew, or unset them",
        ));
    }
    call.out.header("The settings are valid").await
}

/// Takes out what another version wrote and this one cannot read.
async fn clean(control: &Control, call: &mut Call, apps: &[AppName]) -> Outcome {
    let properties = control.store.properties();
    for app in apps {
        let scope = Scope::App(app.clone());
        for plugin in ["nginx", "router"] {
            for (key, value) in properties.all(&scope, plugin).await? {
                let Err(why) = crate::verbs::check_property(plugin, &key, &value) else {
                    continue;
                };
                properties.unset(&scope, plugin, &key).await?;
                let text = format!("Removed {plugin} {key} of {app}: {why}");
                call.out.header(&text).await?;
            }
        }
    }
    control.refresh_routes().await
}

async fn show_config(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let routes = control.current_routes().await?;
    let route = routes.iter().find(|route| route.app == *app);
    let route = route.ok_or_else(|| Failure::new(format!("{} has no route", &*app)))?;
    call.out.bytes(describe(route).as_bytes()).await
}

/// The router's view of an app, for people.
fn describe(route: &AppRoute) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            // Writing to a string does not fail.
            writeln!(text, "{:<20} {value}", format!("{name}:")).unwrap_or_default();
        }
    };
    row("app", route.app.to_string());
    row("state", format!("{:?}", route.state));
    for host in &route.hosts {
        row("host", host.to_string());
    }
    let path = route.policy.path.as_ref();
    row("path", path.map(ToString::to_string).unwrap_or_default());
    for port in &route.ports {
        let (from, to) = (port.host_port, port.container_port);
        row("port", format!("{from} -> {to}"));
        for upstream in &route.upstreams {
            let address = upstream.address(*port);
            row("upstream", format!("{} {address}", upstream.dyno));
        }
    }
    describe_policy(&route.policy, &mut row);
    text
}

fn describe_policy(policy: &Policy, row: &mut impl FnMut(&str, String)) {
    let Policy {
        canonical_host,
        redirects,
        maintenance,
        auth,
        max_body,
        rate,
        timeouts,
        balance,
        ..
    } = policy;
    row("canonical host", canonical_host.clone().unwrap_or_default());
    for redirect in redirects {
        let (source, to) = (redirect.source(), redirect.destination());
        row(
            "redirect",
            format!("{source} -> {to} ({})", redirect.code()),
        );
    }
    let on = |is: bool| if is { "on" } else { "" }.to_owned();
    row("maintenance", on(maintenance.is_some()));
    for status in policy.error_pages.keys() {
        row("error page", status.to_string());
    }
    if let Some(auth) = auth {
        let names: Vec<_> = auth.users.iter().map(|user| user.name.as_str()).collect();
        row("password for", names.join(" "));
        for address in &auth.allowed {
            row("no password for", address.to_string());
        }
    }
    for network in &policy.allow {
        row("allow", network.to_string());
    }
    for network in &policy.deny {
        row("deny", network.to_string());
    }
    row(
        "largest body",
        max_body.map_or(String::new(), |n| n.to_string()),
    );
    row(
        "rate",
        rate.map_or(String::new(), |rate| {
            let per = 1.0 / rate.interval.as_secs_f64();
            format!("{per:.0} a second, burst {}", rate.burst)
        }),
    );
    describe_answers(policy, row);
    row("balance", format!("{:?}", balance.by));
    for (name, time) in [
        ("connect timeout", timeouts.connect),
        ("first byte timeout", timeouts.first_byte),
        ("idle timeout", timeouts.idle),
        ("websocket timeout", timeouts.tunnel_idle),
    ] {
        row(name, time.map_or(String::new(), |time| format!("{time:?}")));
    }
}

fn describe_answers(policy: &Policy, row: &mut impl FnMut(&str, String)) {
    for rule in &policy.request_headers {
        row("request header", rule.to_string());
    }
    for rule in &policy.response_headers {
        row("response header", rule.to_string());
    }
    let port = policy
        .https
        .redirect
        .map(|redirect| redirect.to.to_string());
    row("https redirect", port.unwrap_or_default());
    row("compression", format!("{:?}", policy.compression));
    let log = match policy.log {
        LogForm::Heroku => "heroku",
        LogForm::Json => "json",
        LogForm::Off => "off",
    };
    row("access log", log.to_owned());
}
