//! Where an app's app.json is.

use crate::control::Control;
use crate::failure::Outcome;
use crate::property::{Concern, Property, Reach, repository_path};
use crate::report::ReportKind;
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "app-json:report",
        "[<app>] [--global] [--format stdout|json] [--app-json-*]",
        Read,
        "Displays an app.json report",
        report
    ),
    verb!(
        "app-json:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets an app.json property: appjson-path",
        set
    ),
];

/// The property of app.json.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "app-json",
    properties: &[Property {
        key: "appjson-path",
        reach: Reach::AppAndGlobal,
        default: "app.json",
        check: repository_path,
    }],
    report: ReportKind {
        prefix: "app-json",
        label: "app-json",
        long_json_keys: true,
    },
};

async fn report(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.report(control, call).await
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}
