//! Process types that somebody names: those of the release that serves, or of one that is still to come.

use sarsen_domain::{AppName, ProcessType};

use crate::control::Control;
use crate::failure::Outcome;
use crate::table::Call;

/// Settings may be made ahead of the deploy that brings the type. A slip of the pen looks the same, so it is said.
pub(crate) async fn warn_of_unknown(
    control: &Control,
    call: &mut Call,
    app: &AppName,
    named: &[ProcessType],
) -> Outcome {
    let Some(release) = control.store.releases().live(app).await? else {
        return Ok(());
    };
    let known = release.process_types();
    let known: Vec<_> = known.iter().map(ProcessType::as_str).collect();
    for process in named.iter().filter(|process| !release.runs(process)) {
        call.out
            .warn(&format!(
                "{app} has no process type '{process}' now, only {}: this counts when a deploy brings it",
                known.join(", ")
            ))
            .await?;
    }
    Ok(())
}
