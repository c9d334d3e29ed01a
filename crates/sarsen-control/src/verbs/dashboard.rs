//! The way into the dashboard, and who is in it.

use sarsen_store::Holder;

use crate::board::SessionRow;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::report::wants_json;
use crate::table::{Call, Command, verb};
use crate::time::rfc3339;
use crate::web::sessions::refuse_without_rights;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "dashboard:login",
        "",
        Own,
        "Prints a link into the dashboard, good once within 15 minutes",
        login
    ),
    verb!(
        "dashboard:logout",
        "[<session>...] [--all]",
        Own,
        "Ends sessions of the dashboard: one's own, or all that one may see",
        logout
    ),
    verb!(
        "dashboard:sessions",
        "[--format stdout|json]",
        List,
        "Lists the sessions of the dashboard: one's own, or everybody's for an admin",
        sessions
    ),
];

async fn login(control: &Control, call: &mut Call) -> Outcome {
    refuse_without_rights(&call.actor)?;
    let base = control.settings.dashboard.as_ref().ok_or_else(|| {
        Failure::new("The dashboard is turned off: set web.listen in the daemon's configuration")
    })?;
    let token = control.issue_link(&Holder::from(&call.actor)).await?;
    call.out.line(&format!("{base}/login?token={token}")).await
}

async fn sessions(control: &Control, call: &mut Call) -> Outcome {
    let rows = control.session_rows(&call.actor, None).await?;
    if wants_json(call)? {
        let text = serde_json::to_string(&rows).unwrap_or_default();
        return call.out.line(&text).await;
    }
    let mut table = Vec::new();
    if !call.out.quiet {
        let titles = [
            "Session",
            "Name",
            "From",
            "Signed in",
            "Last used",
            "Browser",
        ];
        table.push(titles.map(str::to_owned).to_vec());
    }
    table.extend(rows.into_iter().map(shown));
    call.out.table(&table).await
}

fn shown(row: SessionRow) -> Vec<String> {
    vec![
        row.id.to_string(),
        row.holder,
        row.source.unwrap_or_else(|| "-".to_owned()),
        rfc3339(row.created_at),
        rfc3339(row.seen_at),
        row.agent,
    ]
}

async fn logout(control: &Control, call: &mut Call) -> Outcome {
    let seen = control.sessions_of(&call.actor).await?;
    let mut ids = Vec::new();
    for word in call.args.from(0) {
        let known = word
            .parse()
            .ok()
            .filter(|id| seen.iter().any(|one| one.id == *id));
        ids.push(known.ok_or_else(|| {
            Failure::new(format!(
                "There is no session {}: see 'dashboard:sessions'",
                word.escape_debug()
            ))
        })?);
    }
    if call.args.has("--all") {
        ids = seen.iter().map(|session| session.id).collect();
    } else if ids.is_empty() {
        let own = Holder::from(&call.actor);
        ids = seen
            .iter()
            .filter(|one| one.holder == own)
            .map(|one| one.id)
            .collect();
    }
    for id in &ids {
        control.sign_out(*id).await?;
    }
    let word = if ids.len() == 1 {
        "session"
    } else {
        "sessions"
    };
    call.out
        .header(&format!("Ended {} {word}", ids.len()))
        .await
}
