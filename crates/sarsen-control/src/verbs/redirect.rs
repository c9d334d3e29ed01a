//! Redirects from host names and paths.

use sarsen_domain::Domain;
use sarsen_router::{Redirect, RedirectSource};
use sarsen_store::StoredRedirect;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::apps_to_report;
use crate::report::wants_json;
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "redirect",
        "<app>",
        Read,
        "Lists the redirects of an app",
        list
    ),
    verb!(
        "redirect:report",
        "[<app>] [--format stdout|json]",
        Read,
        "Displays the redirects of one app or all",
        report
    ),
    verb!(
        "redirect:set",
        "<app> <source> <destination> [<code>]",
        Change,
        "Redirects a host name or a path to a host name, a path or a URL",
        set
    ),
    verb!(
        "redirect:unset",
        "<app> <source>",
        Change,
        "Removes a redirect",
        unset
    ),
];

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let word = |at| call.args.get(at).unwrap_or_default();
    let code = call.args.get(3).unwrap_or("301");
    let code: u16 = code.parse().map_err(|_| {
        let code = code.escape_debug();
        Failure::new(format!(
            "Invalid code '{code}': use 301, 302, 303, 307 or 308"
        ))
    })?;
    let redirect = Redirect::new(word(1), word(2), code)?;
    if let RedirectSource::Host(host) = redirect.source() {
        control
            .refuse_taken(&app, std::slice::from_ref(host), None)
            .await?;
        refuse_redirected(control, &app, host).await?;
    }
    let stored = StoredRedirect {
        source: redirect.source().to_string(),
        destination: redirect.destination().to_owned(),
        code,
    };
    let (source, destination) = (stored.source.clone(), stored.destination.clone());
    control.store.routing().set_redirect(&app, &stored).await?;
    control.refresh_routes().await?;
    call.out
        .header(&format!(
            "Set a redirect of {}: {source} to {destination} ({code})",
            &*app
        ))
        .await
}

/// A name leads to one place only.
async fn refuse_redirected(
    control: &Control,
    app: &sarsen_domain::AppName,
    host: &Domain,
) -> Outcome {
    let wishes = control.wishes().await?;
    let owner = wishes.apps.iter().find(|(owner, wishes)| {
        *owner != app && wishes.redirects.iter().any(|r| r.source == host.as_str())
    });
    match owner {
        None => Ok(()),
        Some((owner, _)) => Err(Failure::new(format!(
            "{host} is redirected by {owner} already: remove it there first"
        ))),
    }
}

async fn unset(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let source = call.args.get(1).unwrap_or_default().to_ascii_lowercase();
    let given = call.args.get(1).unwrap_or_default().to_owned();
    // Host names are kept in lower case, paths as they were written.
    let source = if given.starts_with('/') {
        given
    } else {
        source
    };
    let routing = control.store.routing();
    if !routing.unset_redirect(&app, &source).await? {
        let source = source.escape_debug();
        return Err(Failure::new(format!(
            "{} has no redirect from {source}",
            &*app
        )));
    }
    control.refresh_routes().await?;
    call.out
        .header(&format!("Removed the redirect of {}: {source}", &*app))
        .await
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let redirects = control.store.routing().redirects(&app).await?;
    print(call, redirects).await
}

async fn print(call: &mut Call, redirects: Vec<StoredRedirect>) -> Outcome {
    let mut rows = vec![vec![
        "SOURCE".to_owned(),
        "DESTINATION".to_owned(),
        "CODE".to_owned(),
    ]];
    rows.extend(
        redirects
            .into_iter()
            .map(|r| vec![r.source, r.destination, r.code.to_string()]),
    );
    call.out.table(&rows).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    let as_json = wants_json(call)?;
    for app in apps_to_report(control, call).await? {
        let redirects = control.store.routing().redirects(&app).await?;
        if as_json {
            let list: Vec<_> = redirects
                .iter()
                .map(|r| {
                    serde_json::json!({
                        "source": r.source, "destination": r.destination, "code": r.code,
                    })
                })
                .collect();
            let object = serde_json::json!({ "app": app.as_str(), "redirects": list });
            call.out.line(&object.to_string()).await?;
        } else {
            call.out
                .title(&format!("{app} redirect information"))
                .await?;
            print(call, redirects).await?;
        }
    }
    Ok(())
}
