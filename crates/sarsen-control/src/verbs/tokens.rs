//! Tokens for programs that use the API.

use sarsen_domain::{AppName, KeyName, Right, Rights};
use sarsen_store::Holder;

use crate::board::TokenRow;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::report::wants_json;
use crate::table::{Call, Command, verb};
use crate::time::{now, rfc3339};
use crate::web::sessions::refuse_without_rights;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "tokens:create",
        "[--right read|deploy|admin] [--on APP]... [--days N] [--key NAME] <name>",
        Own,
        "Makes a token for the API and shows it once: with one's own rights, or less",
        create
    ),
    verb!(
        "tokens:list",
        "[--format stdout|json]",
        List,
        "Lists the tokens: one's own, or everybody's for an admin",
        list
    ),
    verb!(
        "tokens:revoke",
        "<name>...",
        Own,
        "Takes tokens back; they are good for nothing at once",
        revoke
    ),
];

/// A token that nobody uses any more is one too many.
const DAYS: i64 = 365;

async fn create(control: &Control, call: &mut Call) -> Outcome {
    refuse_without_rights(&call.actor)?;
    let name = KeyName::parse(call.args.get(0).unwrap_or_default())?.to_string();
    let holder = holder(control, call).await?;
    let limit = limit(call)?;
    for app in limit.apps.keys() {
        if !call.actor.sees(app) || !control.store.apps().exists(app).await? {
            return Err(Failure::new(format!("App {app} does not exist"))
                .with_code(crate::failure::NO_SUCH_APP));
        }
    }
    if !control.rights_of(&holder, Some(&limit)).await?.any() {
        return Err(Failure::new(
            "Such a token could do nothing: ask for rights that you have yourself",
        ));
    }
    let days = call.args.value("--days").map_or(Some(DAYS), |text| {
        text.parse().ok().filter(|days| (1..=3650).contains(days))
    });
    let days = days.ok_or_else(|| Failure::new("--days needs a number from 1 to 3650"))?;
    let end = now() + days * 24 * 3600;
    let secret = control
        .create_token(&name, &holder, &limit, Some(end))
        .await?;
    call.out.line(&secret).await
}

/// Whom the token stands for: the caller, or the key that somebody on the host names.
async fn holder(control: &Control, call: &mut Call) -> Outcome<Holder> {
    let Some(name) = call.args.value("--key") else {
        return Ok(Holder::from(&call.actor));
    };
    if call.actor.rights().is_some() {
        return Err(Failure::new(
            "Tokens for somebody else's key are made on the host itself: leave --key out",
        ));
    }
    let name = KeyName::parse(name)?;
    let keys = control.store.ssh_keys().list().await?;
    if !keys.iter().any(|key| key.name == name) {
        return Err(Failure::new(format!(
            "There is no key {name}: see 'ssh-keys:list'"
        )));
    }
    Ok(Holder::Key { name })
}

/// The most that the token may do; without apps, everywhere that its holder may.
fn limit(call: &Call) -> Outcome<Rights> {
    let right: Right = call.args.value("--right").unwrap_or("deploy").parse()?;
    let mut limit = Rights::default();
    for app in call.args.values("--on") {
        limit.apps.insert(AppName::parse(app)?, right);
    }
    if limit.apps.is_empty() {
        limit.everywhere = Some(right);
    }
    Ok(limit)
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let rows = control.token_rows(&call.actor).await?;
    if wants_json(call)? {
        let text = serde_json::to_string(&rows).unwrap_or_default();
        return call.out.line(&text).await;
    }
    let mut table = Vec::new();
    if !call.out.quiet {
        let titles = ["Token", "Of", "May", "Made", "Ends", "Last used"];
        table.push(titles.map(str::to_owned).to_vec());
    }
    table.extend(rows.into_iter().map(shown));
    call.out.table(&table).await
}

fn shown(row: TokenRow) -> Vec<String> {
    let or_dash = |time: Option<i64>| time.map_or("-".to_owned(), rfc3339);
    vec![
        row.name,
        row.holder,
        row.rights.join(", "),
        rfc3339(row.created_at),
        or_dash(row.expires_at),
        or_dash(row.used_at),
    ]
}

async fn revoke(control: &Control, call: &mut Call) -> Outcome {
    let seen = control.tokens_of(&call.actor).await?;
    let mut ids = Vec::new();
    for name in call.args.from(0) {
        let found = seen.iter().find(|token| token.name == *name);
        ids.push(found.map(|token| token.id).ok_or_else(|| {
            Failure::new(format!(
                "There is no token {}: see 'tokens:list'",
                name.escape_debug()
            ))
        })?);
    }
    for id in ids {
        control.store.api_tokens().revoke(id).await?;
    }
    call.out
        .header("The tokens are good for nothing any more")
        .await
}
