//! What an app's containers say.

use sarsen_deploy::LogSource;
use sarsen_deploy::drain::Sink;
use sarsen_domain::{AppName, Invalid, ProcessType};
use sarsen_store::is_sealed_property;

use crate::access::authorise_ties;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, scope, scopes_to_report};
use crate::report::{self, ReportKind};
use crate::table::{Call, Command, verb};
use crate::verbs::run::show;

mod more;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "logs",
        "[-t|--tail] [-n|--num N] [-q|--quiet] [-p|--ps PROCESS] <app>",
        Read,
        "Shows the last log lines of an app, or follows them",
        logs
    ),
    verb!(
        "logs:failed",
        "<app>|--all",
        Read,
        "Shows what failed last: what the containers of a failed deploy wrote, or the end of a build",
        more::failed
    ),
    verb!(
        "logs:report",
        "[<app>] [--global] [--format stdout|json] [--logs-*]",
        Read,
        "Displays a logs report",
        report
    ),
    verb!(
        "logs:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a logs property: app-label-alias, max-size, vector-cron-sink, vector-sink (vector-image and vector-networks mean nothing here)",
        set
    ),
    verb!(
        "logs:vector-logs",
        "[-n|--num N] [-t|--tail]",
        Read,
        "Shows how the log drains are doing",
        more::vector_logs
    ),
    verb!(
        "logs:vector-start",
        "[--vector-image IMAGE]",
        Host,
        "Sends logs to their sinks again",
        more::vector_start
    ),
    verb!(
        "logs:vector-stop",
        "",
        Host,
        "Sends logs nowhere until they are started again",
        more::vector_stop
    ),
];

/// The properties of logs.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "logs",
    properties: &[
        Property {
            key: "app-label-alias",
            reach: Reach::AppAndGlobal,
            default: "com.dokku.app-name",
            check: json_key,
        },
        Property {
            key: "max-size",
            reach: Reach::AppAndGlobal,
            default: "10m",
            check: size,
        },
        Property {
            key: "vector-cron-sink",
            reach: Reach::AppAndGlobal,
            default: "",
            check: sink,
        },
        Property {
            key: "vector-image",
            reach: Reach::Global,
            default: "",
            check: no_image,
        },
        Property {
            key: "vector-networks",
            reach: Reach::Global,
            default: "",
            check: no_networks,
        },
        Property {
            key: "vector-sink",
            reach: Reach::AppAndGlobal,
            default: "",
            check: sink,
        },
    ],
    report: ReportKind {
        prefix: "logs",
        label: "logs",
        long_json_keys: true,
    },
};

fn sink(value: &str) -> Result<(), Invalid> {
    Sink::parse(value).map(|_| ())
}

fn no_image(_: &str) -> Result<(), Invalid> {
    Err(Invalid::new(
        "vector-image cannot be set: the daemon sends logs itself, so there is no container of Vector and no image of it",
    ))
}

fn no_networks(_: &str) -> Result<(), Invalid> {
    Err(Invalid::new(
        "vector-networks cannot be set: the daemon sends logs from the host, so there is no container to join networks",
    ))
}

fn json_key(value: &str) -> Result<(), Invalid> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if value.len() <= 200 && value.chars().all(legal) {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "Invalid label '{}': use letters, digits, '.', '-', '_' and '/'",
        value.escape_debug()
    )))
}

fn size(value: &str) -> Result<(), Invalid> {
    let digits = value.trim_end_matches(['k', 'm', 'g']);
    let is_size =
        digits.len() + 1 >= value.len() && digits.parse::<u64>().is_ok_and(|size| size > 0);
    if is_size || value == "unlimited" {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "Invalid size '{}': use a number with k, m or g, or unlimited",
        value.escape_debug()
    )))
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    for app in scopes_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, app.as_ref()).await?;
        for (field, value) in &mut fields {
            if field.ends_with("-sink") {
                *value = Sink::masked(value);
            }
        }
        for key in ["vector-image", "vector-networks"] {
            let value = fields.get(&format!("logs-global-{key}")).cloned();
            fields.insert(format!("logs-computed-{key}"), value.unwrap_or_default());
        }
        let name = app.as_ref().map_or("Global", AppName::as_str);
        report::print(call, &CONCERN.report, name, &fields).await?;
    }
    Ok(())
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let (scope, at) = scope(call)?;
    let key = call.args.get(at).unwrap_or_default().to_owned();
    let value = call.args.get(at + 1).unwrap_or_default().to_owned();
    if value.is_empty() || !is_sealed_property(CONCERN.plugin, &key) {
        return CONCERN.set(control, call).await;
    }
    // What was typed is not said again: it may hold a password.
    let sink = Sink::parse(&value)?;
    // It is the daemon that sends, and it reaches what listens on the host for nobody else.
    let is_sent = !matches!(sink, Sink::File { .. });
    let tie = is_sent.then(|| "a drain to another machine".to_owned());
    authorise_ties(&call.actor, tie.as_slice())?;
    let properties = control.store.properties();
    properties.set(&scope, CONCERN.plugin, &key, &value).await?;
    let shown = Sink::masked(&value);
    call.out.title(&format!("Setting {key} to {shown}")).await
}

async fn logs(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let sources = sources(control, call, &app).await?;
    show(control, call, sources).await
}

/// The live containers; those of one process type when one is named.
async fn sources(control: &Control, call: &mut Call, app: &AppName) -> Outcome<Vec<LogSource>> {
    let process = call
        .args
        .value("--ps")
        .map(ProcessType::parse)
        .transpose()?;
    let live = control.live_instances(app).await?;
    if live.is_empty() {
        return Err(Failure::new(format!("App {app} has not been deployed")));
    }
    let sources: Vec<_> = live
        .into_iter()
        .filter(|instance| {
            process
                .as_ref()
                .is_none_or(|process| *process == instance.process)
        })
        .filter_map(|instance| {
            let dyno = format!("{}.{}", instance.process, instance.index);
            Some(LogSource {
                dyno,
                container: instance.container?,
                index: instance.index,
            })
        })
        .collect();
    if sources.is_empty() {
        return Err(Failure::new(format!(
            "App {app} runs no such process: see 'ps:report {app}'"
        )));
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        for good in ["10m", "1g", "500k", "4096", "unlimited"] {
            assert!(size(good).is_ok(), "{good}");
        }
        for bad in ["", "m", "0", "10mm", "-1m", "ten"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
