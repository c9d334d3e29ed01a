//! `run:logs`: what one-off containers write, and what runs of scheduled tasks have written.

use futures_util::StreamExt;
use sarsen_deploy::{LogFormat, LogSource, TextStyle};
use sarsen_domain::container::label;
use sarsen_runtime::{ContainerInfo, LogOptions};

use crate::control::Control;
use crate::failure::{Failure, Outcome, STOPPING};
use crate::table::Call;

/// `run:logs APP|--container NAME`
pub(super) async fn logs(control: &Control, call: &mut Call) -> Outcome {
    let count = count(call)?;
    if let Some(kept) = kept(control, call).await? {
        let lines: Vec<_> = kept.lines().collect();
        let skipped = lines.len().saturating_sub(count as usize);
        for line in lines.into_iter().skip(skipped) {
            call.out.line(line).await?;
        }
        return Ok(());
    }
    let runs = super::chosen(control, call).await?;
    let Some(first) = runs.first() else {
        return Err(Failure::new("No one-off containers run: see 'run:list'"));
    };
    tracing::debug!(container.name = %first.name, "showing one-off containers");
    let sources = runs.iter().zip(1..).map(|(run, index)| LogSource {
        dyno: dyno(run),
        container: run.id.clone(),
        index,
    });
    show(control, call, sources.collect()).await
}

/// How many of the last lines are wanted.
fn count(call: &Call) -> Result<u32, Failure> {
    let count = call.args.value("--num").unwrap_or("100");
    count
        .parse()
        .map_err(|_| Failure::new("--num needs a number of lines"))
}

/// Copies lines to the caller until they end or the caller is gone.
pub(crate) async fn show(control: &Control, call: &mut Call, sources: Vec<LogSource>) -> Outcome {
    let options = LogOptions {
        follow: call.args.has("--tail"),
        tail: Some(count(call)?),
        timestamps: true,
    };
    let style = if call.terminal.is_some() {
        TextStyle::Coloured
    } else {
        TextStyle::Plain
    };
    let format = if call.args.has("--quiet") {
        LogFormat::Raw
    } else {
        LogFormat::Full
    };
    let mut lines = control
        .deployer
        .log_stream(sources, options, (format, style))
        .await?;
    let gone = call.gone.clone();
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(line) => call.out.bytes(&line?).await?,
                None => return Ok(()),
            },
            () = gone.cancelled() => return Ok(()),
            () = control.shutdown.cancelled() => return Err(Failure::new(STOPPING)),
        }
    }
}

/// The kept output of the scheduled run that the named container carried out, when that has ended.
async fn kept(control: &Control, call: &mut Call) -> Outcome<Option<String>> {
    let Some(name) = call.args.value("--container") else {
        return Ok(None);
    };
    let run = control.store.cron().by_container(name).await?;
    let mine = run.filter(|run| call.app.as_ref().is_none_or(|app| **app == run.app));
    match mine.filter(|run| !run.state.is_open()) {
        Some(run) => Ok(Some(control.cron_output(run.id).await?)),
        None => Ok(None),
    }
}

fn dyno(run: &ContainerInfo) -> String {
    let dyno = run.labels.get(label::DYNO);
    dyno.cloned().unwrap_or_else(|| "run".to_owned())
}
