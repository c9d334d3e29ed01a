//! What runs an app's containers, and how. There is one scheduler: this host's engine.

use sarsen_domain::Invalid;

use crate::control::Control;
use crate::failure::Outcome;
use crate::property::{Concern, Property, Reach, boolean};
use crate::report::ReportKind;
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "scheduler:report",
        "[<app>] [--global] [--format stdout|json] [--scheduler-*]",
        Read,
        "Displays a scheduler report",
        report
    ),
    verb!(
        "scheduler:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a scheduler property: selected, shell",
        set
    ),
    verb!(
        "scheduler-docker-local:report",
        "[<app>] [--global] [--format stdout|json] [--scheduler-docker-local-*]",
        Read,
        "Displays a report about the local scheduler",
        report_local
    ),
    verb!(
        "scheduler-docker-local:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a property of the local scheduler: init-process, parallel-schedule-count",
        set_local
    ),
];

/// The one scheduler there is.
const LOCAL: &str = "docker-local";

/// How many process types may start at the same time.
const PARALLEL_MAX: usize = 64;

/// The properties of every scheduler.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "scheduler",
    properties: &[
        Property {
            key: "selected",
            reach: Reach::AppAndGlobal,
            default: LOCAL,
            check: known,
        },
        Property {
            key: "shell",
            reach: Reach::AppAndGlobal,
            default: "",
            check: program,
        },
    ],
    report: ReportKind {
        prefix: "scheduler",
        label: "scheduler",
        long_json_keys: true,
    },
};

/// The properties of the local scheduler.
pub(crate) const DOCKER_LOCAL: Concern = Concern {
    plugin: "scheduler-docker-local",
    properties: &[
        Property {
            key: "init-process",
            reach: Reach::AppAndGlobal,
            default: "true",
            check: boolean,
        },
        Property {
            key: "parallel-schedule-count",
            reach: Reach::AppAndGlobal,
            default: "1",
            check: count,
        },
    ],
    report: ReportKind {
        prefix: "scheduler-docker-local",
        label: "scheduler docker local",
        long_json_keys: false,
    },
};

fn known(value: &str) -> Result<(), Invalid> {
    if value == LOCAL {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "There is no scheduler '{}' here: apps run on this host's engine, which is called {LOCAL}",
        value.escape_debug()
    )))
}

/// The path of a program in the container, which is run without arguments.
fn program(value: &str) -> Result<(), Invalid> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if value.starts_with('-') || value.contains(odd) {
        return Err(Invalid::new(format!(
            "Invalid shell '{}': give the path of a program, such as /bin/sh",
            value.escape_debug()
        )));
    }
    Ok(())
}

fn count(value: &str) -> Result<(), Invalid> {
    parallel(value).map(|_| ())
}

/// How many process types start at the same time.
pub(crate) fn parallel(value: &str) -> Result<usize, Invalid> {
    value
        .parse()
        .ok()
        .filter(|count| (1..=PARALLEL_MAX).contains(count))
        .ok_or_else(|| {
            Invalid::new(format!(
                "Invalid count '{}': use a number from 1 to {PARALLEL_MAX}",
                value.escape_debug()
            ))
        })
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.report(control, call).await
}

async fn set_local(control: &Control, call: &mut Call) -> Outcome {
    DOCKER_LOCAL.set(control, call).await
}

async fn report_local(control: &Control, call: &mut Call) -> Outcome {
    DOCKER_LOCAL.report(control, call).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_mean_nothing_here_are_refused() {
        assert!(known("docker-local").is_ok() && known("k3s").is_err());
        assert!(program("/bin/ash").is_ok() && program("bash").is_ok());
        for bad in ["/bin/sh -c", "-x", "a\nb"] {
            assert!(program(bad).is_err(), "{bad:?}");
        }
        for bad in ["0", "-1", "", "x", "65"] {
            assert!(parallel(bad).is_err(), "{bad:?}");
        }
    }
}
