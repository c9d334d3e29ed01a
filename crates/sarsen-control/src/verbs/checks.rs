//! Whether new containers are checked before old ones go, and checking those that run.

use std::collections::BTreeMap;

use sarsen_deploy::{AppSettings, CheckMode, PlannedInstance};
use sarsen_domain::{AppName, Invalid, ProcessType};
use sarsen_store::{Instance, Scope};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, apps_to_report};
use crate::report::{self, ReportKind};
use crate::table::{Call, Command, verb};
use crate::verbs::ps::warn_of_unknown;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "checks:disable",
        "<app> [<processes>]",
        Change,
        "Has old containers stop before new ones start, without checks",
        disable
    ),
    verb!(
        "checks:enable",
        "<app> [<processes>]",
        Change,
        "Has new containers checked before old ones stop",
        enable
    ),
    verb!(
        "checks:report",
        "[<app>] [--global] [--format stdout|json] [--checks-*]",
        Read,
        "Displays a checks report",
        report
    ),
    verb!(
        "checks:run",
        "<app> [<processes>]",
        Inside,
        "Checks the containers that run",
        run
    ),
    verb!(
        "checks:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a checks property: wait-to-retire",
        set
    ),
    verb!(
        "checks:skip",
        "<app> [<processes>]",
        Change,
        "Has old containers stop when new ones run, without checks",
        skip
    ),
];

/// The properties of checks, but for the two lists that the verbs keep.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "checks",
    properties: &[Property {
        key: "wait-to-retire",
        reach: Reach::AppAndGlobal,
        default: "60",
        check: wait,
    }],
    report: ReportKind {
        prefix: "checks",
        label: "checks",
        long_json_keys: false,
    },
};

/// Every process type.
const ALL: &str = "_all_";

fn wait(value: &str) -> Result<(), Invalid> {
    match value.parse::<u32>() {
        Ok(seconds) if seconds <= 86_400 => Ok(()),
        _ => Err(Invalid::new(format!(
            "Invalid time '{}': give seconds, at most 86400",
            value.escape_debug()
        ))),
    }
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}

/// Which process types are in which of the two lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Lists {
    disabled: Vec<String>,
    skipped: Vec<String>,
}

impl Lists {
    async fn load(control: &Control, app: &AppName) -> Outcome<Self> {
        let scope = Scope::App(app.clone());
        let all = control.store.properties().all(&scope, "checks").await?;
        let list = |key: &str| {
            let text = all.get(key).map_or("", String::as_str);
            let names = text.split(',').filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        Ok(Self {
            disabled: list("disabled"),
            skipped: list("skipped"),
        })
    }

    async fn save(&self, control: &Control, app: &AppName) -> Outcome {
        let scope = Scope::App(app.clone());
        for (key, list) in [("disabled", &self.disabled), ("skipped", &self.skipped)] {
            let properties = control.store.properties();
            if list.is_empty() {
                properties.unset(&scope, "checks", key).await?;
            } else {
                let text = list.join(",");
                properties.set(&scope, "checks", key, &text).await?;
            }
        }
        Ok(())
    }

    /// Moves these types (all when none is named) to where `mode` has them. `known` are the types that "all" meant.
    fn put(&mut self, mode: CheckMode, types: &[String], known: &[String]) {
        if types.is_empty() {
            *self = Self::default();
        }
        for list in [&mut self.disabled, &mut self.skipped] {
            if list.iter().any(|name| name == ALL) {
                *list = known.to_vec();
            }
            list.retain(|name| !types.contains(name));
        }
        let list = match mode {
            CheckMode::Enabled => return,
            CheckMode::Skipped => &mut self.skipped,
            CheckMode::Disabled => &mut self.disabled,
        };
        if types.is_empty() {
            list.push(ALL.to_owned());
        } else {
            list.extend_from_slice(types);
            list.sort();
            list.dedup();
        }
    }

    fn shown(list: &[String]) -> String {
        if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(",")
        }
    }
}

async fn disable(control: &Control, call: &mut Call) -> Outcome {
    put(
        control,
        call,
        CheckMode::Disabled,
        "Disabling zero downtime",
    )
    .await
}

async fn skip(control: &Control, call: &mut Call) -> Outcome {
    put(
        control,
        call,
        CheckMode::Skipped,
        "Skipping zero downtime checks",
    )
    .await
}

async fn enable(control: &Control, call: &mut Call) -> Outcome {
    put(control, call, CheckMode::Enabled, "Enabling zero downtime").await
}

async fn put(control: &Control, call: &mut Call, mode: CheckMode, what: &str) -> Outcome {
    let app = call.app()?;
    let text = call.args.get(1).unwrap_or_default();
    let named = text
        .split(',')
        .filter(|name| !name.is_empty() && *name != ALL);
    let named: Vec<_> = named.map(ProcessType::parse).collect::<Result<_, _>>()?;
    if mode != CheckMode::Enabled {
        warn_of_unknown(control, call, &app, &named).await?;
    }
    let types: Vec<_> = named.iter().map(ToString::to_string).collect();
    let formation = control.store.formation().get(&app).await?;
    let known: Vec<_> = formation.iter().map(|(name, _)| name.to_string()).collect();
    let mut lists = Lists::load(control, &app).await?;
    lists.put(mode, &types, &known);
    lists.save(control, &app).await?;
    let whose = if types.is_empty() {
        ALL.to_owned()
    } else {
        types.join(",")
    };
    call.out
        .header(&format!("{what} for app's ({}) proctypes ({whose})", &*app))
        .await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let lists = Lists::load(control, &app).await?;
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let (disabled, skipped) = (Lists::shown(&lists.disabled), Lists::shown(&lists.skipped));
        fields.insert("checks-disabled-list".to_owned(), disabled);
        fields.insert("checks-skipped-list".to_owned(), skipped);
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

/// Adds what the lists say to the settings of an app's containers.
pub(crate) async fn apply(control: &Control, app: &AppName, settings: &mut AppSettings) -> Outcome {
    let lists = Lists::load(control, app).await?;
    let (modes, default) = modes(&lists);
    settings.check_mode = modes;
    settings.check_mode_default = default;
    Ok(())
}

fn modes(lists: &Lists) -> (BTreeMap<ProcessType, CheckMode>, CheckMode) {
    let mut modes = BTreeMap::new();
    let mut default = CheckMode::Enabled;
    let both = [
        (&lists.skipped, CheckMode::Skipped),
        (&lists.disabled, CheckMode::Disabled),
    ];
    for (list, mode) in both {
        for name in list {
            if name == ALL {
                default = mode;
            } else if let Ok(process) = ProcessType::parse(name) {
                modes.insert(process, mode);
            }
        }
    }
    (modes, default)
}

async fn run(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let release = control.live_release(&app).await?;
    let mut settings = control.app_settings(&release).await?;
    // Who asks for the checks wants them made.
    settings.check_mode.clear();
    settings.check_mode_default = CheckMode::Enabled;
    let live = control.live_instances(&app).await?;
    let chosen = choose(&live, call.args.get(1).unwrap_or_default())?;
    let mut failed: u8 = 0;
    for instance in chosen {
        let place = PlannedInstance {
            id: instance.id,
            process: instance.process.clone(),
            index: instance.index,
        };
        let dyno = place.dyno();
        call.out.header(&format!("Running checks ({dyno})")).await?;
        let outcome = match &instance.container {
            Some(container) => control.deployer.check(&settings, &place, container).await,
            None => Err("it has no container".to_owned()),
        };
        match outcome {
            Ok(()) => {
                let text = format!("       All checks successful ({dyno})");
                call.out.line(&text).await?;
            }
            Err(cause) => {
                failed = failed.saturating_add(1);
                call.out
                    .warn(&format!("Check failed ({dyno}): {cause}"))
                    .await?;
            }
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::new("1 container does not pass its checks")),
        count => Err(
            Failure::new(format!("{count} containers do not pass their checks"))
                .with_code(count.min(125)),
        ),
    }
}

/// The instances that `web,worker.2` names; every one when nothing is named.
fn choose<'a>(live: &'a [Instance], text: &str) -> Outcome<Vec<&'a Instance>> {
    let mut chosen = Vec::new();
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let fits = |one: &&Instance| {
            one.process.as_str() == name || format!("{}.{}", one.process, one.index) == name
        };
        let before = chosen.len();
        chosen.extend(live.iter().filter(fits));
        if chosen.len() == before {
            return Err(Failure::new(format!(
                "No container '{}' runs: see 'ps:report'",
                name.escape_debug()
            )));
        }
    }
    if text.is_empty() {
        chosen.extend(live);
    }
    if chosen.is_empty() {
        return Err(Failure::new("No container runs: see 'ps:report'"));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use sarsen_runtime::fake::Behaviour;

    use super::*;
    use crate::testing::World;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_type_is_in_one_list_at_most() {
        let known = names(&["web", "worker"]);
        let mut lists = Lists::default();
        lists.put(CheckMode::Disabled, &[], &known);
        assert_eq!(lists.disabled, [ALL]);
        lists.put(CheckMode::Skipped, &names(&["worker"]), &known);
        assert_eq!(
            (lists.disabled.len(), &*lists.skipped),
            (1, &*names(&["worker"]))
        );
        assert_eq!(lists.disabled, ["web"]);
        lists.put(CheckMode::Enabled, &names(&["web"]), &known);
        assert!(lists.disabled.is_empty());
        lists.put(CheckMode::Enabled, &[], &known);
        assert_eq!(lists, Lists::default());
    }

    #[tokio::test]
    async fn settings_follow_the_lists_and_bad_input_changes_nothing() {
        let world = World::new(Behaviour::default()).await;
        world
            .release("shop", "web: serve\nworker: work", None)
            .await;
        world.ok("checks:disable shop worker").await;
        world.ok("checks:skip shop web").await;
        for bad in [
            "checks:disable shop not/a/type",
            "checks:set shop wait-to-retire soon",
            "checks:set shop attempts 3",
            "checks:run shop web",
            "checks:skip nowhere",
        ] {
            assert!(!world.refused(bad).await.is_empty(), "{bad}");
        }
        let app = AppName::parse("shop").unwrap();
        let release = world.control.live_release(&app).await.unwrap();
        let settings = world.control.app_settings(&release).await.unwrap();
        let mode = |name: &str| settings.check_mode(&ProcessType::parse(name).unwrap());
        assert_eq!(mode("worker"), CheckMode::Disabled);
        assert_eq!(mode("web"), CheckMode::Skipped);
        assert_eq!(mode("other"), CheckMode::Enabled);
        let shown = world.ok("checks:report shop --checks-disabled-list").await;
        assert_eq!(shown, "worker\n");
        let shown = world
            .ok("checks:report shop --checks-computed-wait-to-retire")
            .await;
        assert_eq!(shown, "60\n");
    }
}
