//! Taking an app off for a while: the router answers in its place.

use sarsen_domain::AppName;
use sarsen_store::Scope;
use tokio::io::AsyncReadExt;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, apps_to_report, boolean};
use crate::report::{self, Fields, ReportKind};
use crate::table::{Call, Command, verb};
use crate::verbs::router::MAX_PAGE;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "maintenance:custom-page",
        "<app> [--clear]",
        Change,
        "Sets the maintenance page: a tar file with maintenance.html, or HTML, from standard input",
        custom_page
    ),
    verb!(
        "maintenance:disable",
        "<app>",
        Change,
        "Takes an app out of maintenance mode",
        disable
    ),
    verb!(
        "maintenance:enable",
        "<app>",
        Change,
        "Takes an app into maintenance mode",
        enable
    ),
    verb!(
        "maintenance:report",
        "[<app>] [--format stdout|json] [--maintenance-*]",
        Read,
        "Displays a maintenance report",
        report
    ),
];

/// Whether an app is off.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "maintenance",
    properties: &[Property {
        key: "enabled",
        reach: Reach::App,
        default: "false",
        check: boolean,
    }],
    report: ReportKind {
        prefix: "maintenance",
        label: "maintenance",
        long_json_keys: false,
    },
};

const PAGE: &str = "maintenance";
/// A page of the plugin that this replaces comes with pictures beside it.
const MAX_ARCHIVE: u64 = 8 * 1024 * 1024;

async fn enable(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let scope = Scope::App(AppName::clone(&app));
    let properties = control.store.properties();
    properties
        .set(&scope, CONCERN.plugin, "enabled", "true")
        .await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Enabled maintenance mode for {}", &*app))
        .await
}

async fn disable(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let scope = Scope::App(AppName::clone(&app));
    let properties = control.store.properties();
    properties.unset(&scope, CONCERN.plugin, "enabled").await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!("Disabled maintenance mode for {}", &*app))
        .await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_to_report(control, call).await? {
        let enabled = CONCERN.effective(control, &app, "enabled").await?;
        let pages = control.store.routing().pages(&app).await?;
        let custom = pages.iter().any(|page| page == PAGE);
        let fields = Fields::from([
            ("maintenance-enabled".to_owned(), enabled),
            ("maintenance-custom-page".to_owned(), custom.to_string()),
        ]);
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

async fn custom_page(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    if call.args.has("--clear") {
        if !control.store.routing().remove_page(&app, PAGE).await? {
            return Err(Failure::new(format!(
                "{} has no maintenance page of its own",
                &*app
            )));
        }
        control.refresh_routes().await?;
        return call
            .out
            .header(&format!("Removed the maintenance page of {}", &*app))
            .await;
    }
    let mut bytes = Vec::new();
    let mut input = call.take_stdin().take(MAX_ARCHIVE + 1);
    input
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| Failure::new(format!("Cannot read standard input: {error}")))?;
    let (html, others) = page_in(&bytes)?;
    let routing = control.store.routing();
    routing.set_page(&app, PAGE, &html).await?;
    control.refresh_routes().await?;
    if !others.is_empty() {
        let others = others.join(", ");
        call.out
            .warn(&format!(
                "Left out, because the page is served alone: {others}"
            ))
            .await?;
    }
    call.out
        .header(&format!("Set the maintenance page of {}", &*app))
        .await
}

/// The page in what was sent, and the names of other files that came along.
fn page_in(bytes: &[u8]) -> Outcome<(Vec<u8>, Vec<String>)> {
    if bytes.is_empty() {
        return Err(Failure::new(
            "Send a tar file with maintenance.html, or the page itself, on standard input",
        ));
    }
    if bytes.len() as u64 > MAX_ARCHIVE {
        return Err(Failure::new("The archive is too large: 8 MiB at most"));
    }
    let is_tar = bytes.get(257..262).is_some_and(|magic| magic == b"ustar");
    let (html, others) = if is_tar {
        page_in_archive(bytes)?
    } else {
        (bytes.to_vec(), Vec::new())
    };
    if html.is_empty() || html.len() as u64 > MAX_PAGE {
        return Err(Failure::new(format!(
            "The page must have 1 byte to {} KiB",
            MAX_PAGE / 1024
        )));
    }
    if std::str::from_utf8(&html).is_err() {
        return Err(Failure::new("The page is not text in UTF-8"));
    }
    Ok((html, others))
}

fn page_in_archive(bytes: &[u8]) -> Outcome<(Vec<u8>, Vec<String>)> {
    let unreadable = |error| Failure::new(format!("Cannot read the tar file: {error}"));
    let mut page = None;
    let mut others = Vec::new();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if path.trim_start_matches("./") == "maintenance.html" {
            let mut html = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut html).map_err(unreadable)?;
            page = Some(html);
        } else {
            others.push(path.escape_debug().to_string());
        }
    }
    let page = page.ok_or_else(|| Failure::new("There is no maintenance.html in the tar file"))?;
    Ok((page, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn the_page_comes_alone_or_in_an_archive() {
        let (html, others) = page_in(b"<h1>Back soon</h1>").unwrap();
        assert_eq!((&*html, others.len()), (&b"<h1>Back soon</h1>"[..], 0));
        let tar = archive(&[("./maintenance.html", "<p>"), ("logo.svg", "<svg/>")]);
        let (html, others) = page_in(&tar).unwrap();
        assert_eq!(
            (&*html, &*others),
            (&b"<p>"[..], &["logo.svg".to_owned()][..])
        );
        assert!(page_in(&archive(&[("index.html", "x")])).is_err());
        assert!(page_in(&archive(&[("maintenance.html", "")])).is_err());
        assert!(page_in(b"").is_err());
        assert!(page_in(b"\xff\xfe").is_err());
        assert!(page_in(&vec![b'x'; 300 * 1024]).is_err());
    }
}
