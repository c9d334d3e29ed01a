//! Where an app answers.

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!("url", "<app>", Read, "Shows the first URL of an app", url),
    verb!("urls", "<app>", Read, "Shows all URLs of an app", urls),
];

async fn url(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let urls = control.urls_told(&app, "url").await?;
    let first = urls.first().ok_or_else(|| {
        Failure::new(format!(
            "{} answers on no host name: add one with 'domains:add {} DOMAIN'",
            &*app, &*app
        ))
    })?;
    call.out.line(first).await
}

async fn urls(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mut urls = control.urls_told(&app, "urls").await?;
    urls.sort();
    let lines: String = urls.iter().map(|url| format!("{url}\n")).collect();
    call.out.bytes(lines.as_bytes()).await
}
