//! Which ports of the host lead to which port of an app.

use sarsen_domain::port::{self, check_unique};
use sarsen_domain::{AppName, PortMapping};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::columns;
use crate::property::apps_to_report;
use crate::report::{self, Fields, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "ports:add",
        "<app> <mapping>...",
        Change,
        "Adds port mappings (scheme:host-port:container-port)",
        add
    ),
    verb!(
        "ports:clear",
        "<app>",
        Change,
        "Removes all port mappings of an app",
        clear
    ),
    verb!(
        "ports:list",
        "<app>",
        Read,
        "Lists the port mappings of an app",
        list
    ),
    verb!(
        "ports:remove",
        "<app> <mapping-or-host-port>...",
        Change,
        "Removes port mappings",
        remove
    ),
    verb!(
        "ports:report",
        "[<app>] [--format stdout|json] [--ports-*]",
        Read,
        "Displays a ports report",
        report
    ),
    verb!(
        "ports:set",
        "<app> <mapping>...",
        Change,
        "Replaces the port mappings of an app",
        set
    ),
];

const REPORT: ReportKind = ReportKind {
    prefix: "ports",
    label: "ports",
    long_json_keys: true,
};

fn parse(words: &[String]) -> Outcome<Vec<PortMapping>> {
    Ok(words
        .iter()
        .map(|word| word.parse())
        .collect::<Result<_, _>>()?)
}

async fn add(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mut mappings = control.store.ports().list(&app).await?;
    for mapping in parse(call.args.from(1))? {
        if !mappings.contains(&mapping) {
            mappings.push(mapping);
        }
    }
    store(control, call, &app, mappings).await
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mappings = parse(call.args.from(1))?;
    store(control, call, &app, mappings).await
}

async fn remove(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mut mappings = control.store.ports().list(&app).await?;
    for word in call.args.from(1) {
        if word.contains(':') {
            let gone: PortMapping = word.parse()?;
            mappings.retain(|mapping| *mapping != gone);
        } else {
            let gone = port::parse_port(word)?;
            mappings.retain(|mapping| mapping.host != gone);
        }
    }
    store(control, call, &app, mappings).await
}

async fn clear(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    store(control, call, &app, Vec::new()).await
}

async fn store(
    control: &Control,
    call: &mut Call,
    app: &AppName,
    mappings: Vec<PortMapping>,
) -> Outcome {
    check_unique(&mappings)
        .map_err(|error| Failure::new(format!("Error validating port mappings: {error}")))?;
    control.check_ports_can_be_opened(app, &mappings).await?;
    control.store.ports().set(app, &mappings).await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Port mappings of {app} updated"))
        .await
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mappings = control.store.ports().list(&app).await?;
    if mappings.is_empty() {
        return Err(Failure::new("No port mappings configured for app"));
    }
    let mut rows = Vec::new();
    if !call.out.quiet {
        call.out
            .header(&format!("Port mappings for {}", &*app))
            .await?;
        let titles = ["-----> scheme", "host port", "container port"];
        rows.push(titles.map(str::to_owned).to_vec());
    }
    rows.extend(mappings.iter().map(|mapping| {
        vec![
            format!("    {}", mapping.scheme),
            mapping.host.to_string(),
            mapping.container.to_string(),
        ]
    }));
    call.out.bytes(columns(&rows).as_bytes()).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_to_report(control, call).await? {
        let own = control.store.ports().list(&app).await?;
        let detected = control.detected_ports(&app).await?;
        let fields = Fields::from([
            ("ports-map".to_owned(), join(&own)),
            ("ports-map-json".to_owned(), to_json(&own)),
            ("ports-map-detected".to_owned(), join(&detected)),
            ("ports-map-detected-json".to_owned(), to_json(&detected)),
        ]);
        report::print(call, &REPORT, app.as_str(), &fields).await?;
    }
    Ok(())
}

fn to_json(mappings: &[PortMapping]) -> String {
    let list = mappings.iter().map(|mapping| {
        serde_json::json!({
            "container_port": mapping.container, "host_port": mapping.host, "scheme": mapping.scheme.as_str(),
        })
    });
    serde_json::Value::Array(list.collect()).to_string()
}

fn join(mappings: &[PortMapping]) -> String {
    mappings
        .iter()
        .map(PortMapping::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}
