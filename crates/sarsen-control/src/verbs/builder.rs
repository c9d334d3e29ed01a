//! Which builder an app uses, and where it looks.

use sarsen_domain::{BuilderKind, Invalid};

use crate::control::Control;
use crate::failure::Outcome;
use crate::property::{Concern, Property, Reach, apps_to_report, boolean, repository_path};
use crate::report::{self, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "builder:report",
        "[<app>] [--global] [--format stdout|json] [--builder-*]",
        Read,
        "Displays a builder report",
        report
    ),
    verb!(
        "builder:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a builder property: selected, build-dir, skip-cleanup",
        set
    ),
    verb!(
        "builder-dockerfile:report",
        "[<app>] [--global] [--format stdout|json] [--builder-dockerfile-*]",
        Read,
        "Displays a Dockerfile builder report",
        report_dockerfile
    ),
    verb!(
        "builder-dockerfile:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a Dockerfile builder property: dockerfile-path, build-args",
        set_dockerfile
    ),
    verb!(
        "builder-herokuish:report",
        "[<app>] [--global] [--format stdout|json] [--builder-herokuish-*]",
        Read,
        "Displays a report on builds with buildpacks",
        report_herokuish
    ),
    verb!(
        "builder-herokuish:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a property of builds with buildpacks: allowed",
        set_herokuish
    ),
    verb!(
        "builder-pack:report",
        "[<app>] [--global] [--format stdout|json] [--builder-pack-*]",
        Read,
        "Displays where project.toml is looked for",
        report_pack
    ),
    verb!(
        "builder-pack:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets where project.toml is looked for: projecttoml-path",
        set_pack
    ),
];

/// The properties of every builder.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "builder",
    properties: &[
        Property {
            key: "selected",
            reach: Reach::AppAndGlobal,
            default: "",
            check: builder_name,
        },
        Property {
            key: "build-dir",
            reach: Reach::AppAndGlobal,
            default: "",
            check: repository_path,
        },
        Property {
            key: "skip-cleanup",
            reach: Reach::AppAndGlobal,
            default: "false",
            check: boolean,
        },
    ],
    report: ReportKind {
        prefix: "builder",
        label: "builder",
        long_json_keys: true,
    },
};

/// The properties of the Dockerfile builder.
pub(crate) const DOCKERFILE: Concern = Concern {
    plugin: "builder-dockerfile",
    properties: &[
        Property {
            key: "dockerfile-path",
            reach: Reach::AppAndGlobal,
            default: "Dockerfile",
            check: repository_path,
        },
        Property {
            key: "build-args",
            reach: Reach::App,
            default: "",
            check: build_args,
        },
    ],
    report: ReportKind {
        prefix: "builder-dockerfile",
        label: "builder dockerfile",
        long_json_keys: false,
    },
};

/// The properties of builds with buildpacks.
pub(crate) const HEROKUISH: Concern = Concern {
    plugin: "builder-herokuish",
    properties: &[Property {
        key: "allowed",
        reach: Reach::AppAndGlobal,
        default: "true",
        check: boolean,
    }],
    report: ReportKind {
        prefix: "builder-herokuish",
        label: "builder herokuish",
        long_json_keys: false,
    },
};

/// The properties of what project.toml asks for.
pub(crate) const PACK: Concern = Concern {
    plugin: "builder-pack",
    properties: &[Property {
        key: "projecttoml-path",
        reach: Reach::AppAndGlobal,
        default: "project.toml",
        check: repository_path,
    }],
    report: ReportKind {
        prefix: "builder-pack",
        label: "builder pack",
        long_json_keys: false,
    },
};

fn builder_name(value: &str) -> Result<(), Invalid> {
    value.parse::<BuilderKind>().map(|_| ())
}

fn build_args(value: &str) -> Result<(), Invalid> {
    parse_build_args(value).map(|_| ())
}

/// `NAME=value` words, quoted as in a shell where a value holds spaces.
pub(crate) fn parse_build_args(value: &str) -> Result<Vec<(String, String)>, Invalid> {
    let invalid = || {
        Invalid::new(
            "Invalid build arguments: write them as NAME=value, separated by spaces, quoted where needed",
        )
    };
    let words = shlex::split(value).ok_or_else(invalid)?;
    words
        .iter()
        .map(|word| {
            let (key, value) = word.split_once('=').ok_or_else(invalid)?;
            Ok((
                sarsen_domain::EnvKey::parse(key)?.to_string(),
                value.to_owned(),
            ))
        })
        .collect()
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let live = control.store.releases().live(&app).await?;
        let detected = live
            .map(|release| release.builder.to_string())
            .unwrap_or_default();
        fields.insert("builder-detected".to_owned(), detected);
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

async fn set_dockerfile(control: &Control, call: &mut Call) -> Outcome {
    DOCKERFILE.set(control, call).await
}

async fn report_dockerfile(control: &Control, call: &mut Call) -> Outcome {
    DOCKERFILE.report(control, call).await
}

async fn set_herokuish(control: &Control, call: &mut Call) -> Outcome {
    HEROKUISH.set(control, call).await
}

async fn report_herokuish(control: &Control, call: &mut Call) -> Outcome {
    HEROKUISH.report(control, call).await
}

async fn set_pack(control: &Control, call: &mut Call) -> Outcome {
    PACK.set(control, call).await
}

async fn report_pack(control: &Control, call: &mut Call) -> Outcome {
    PACK.report(control, call).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_arguments_are_words_of_a_shell_that_never_runs() {
        let args = parse_build_args("A=1 B='x y' C=$(id)").unwrap();
        assert_eq!(args.last().unwrap().1, "$(id)");
        assert!(parse_build_args("A").is_err());
        assert!(parse_build_args("A='x").is_err());
    }
}
