//! Into a service: sessions, shells, its data out and in.

use sarsen_addons::{Addon, Errand, Tty};
use sarsen_store::{ServiceRecord, ServiceState};

use super::subject;
use crate::addons::service;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::session::Actor;
use crate::streams::{Process, carry};
use crate::table::Call;

pub(super) async fn connect(control: &Control, call: &mut Call) -> Outcome {
    let subject = subject(control, call).await?;
    let tty = tty(call);
    run(control, call, &subject, (Errand::Connect, tty)).await
}

pub(super) async fn enter(control: &Control, call: &mut Call) -> Outcome {
    let subject = subject(control, call).await?;
    let (words, tty) = (call.args.from(1).to_vec(), tty(call));
    run(control, call, &subject, (Errand::Enter(&words), tty)).await
}

pub(super) async fn export(control: &Control, call: &mut Call) -> Outcome {
    let subject = subject(control, call).await?;
    // A terminal that came over ssh must be raw, or line ends would be changed; a local one is out of the way.
    if matches!(call.actor, Actor::Local { .. }) {
        call.terminal = None;
    }
    drop(call.take_stdin());
    run(control, call, &subject, (Errand::Export, None)).await
}

pub(super) async fn import(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    if call.terminal.is_some() {
        let command = call.command.name;
        return Err(Failure::new(format!(
            "No data to import: send it on standard input, as in '{command} {} < FILE'",
            record.name
        )));
    }
    let _busy = control.addons.take_whole(&addon.name, &record.name)?;
    if !addon.imports_while_stopped() {
        return run(control, call, &(addon, record), (Errand::Import, None)).await;
    }
    let imported = import_offline(control, call, &addon, &record).await;
    // Whatever came of it, the service goes on.
    if record.state == ServiceState::Running {
        control.start_service(&addon, &record).await?;
    }
    imported
}

async fn import_offline(
    control: &Control,
    call: &mut Call,
    addon: &Addon,
    record: &ServiceRecord,
) -> Outcome {
    let engine = &control.addons.engine;
    let import = engine.begin_import(addon, &service(record)).await?;
    let process = Process::Container(import.container.clone());
    if let Err(failure) = carry(&control.runtime, call, process, import.streams).await {
        engine.cut_import(&import.container).await?;
        return Err(failure);
    }
    exit(engine.end_import(&import.container).await?)
}

async fn run(
    control: &Control,
    call: &mut Call,
    (addon, record): &(Addon, ServiceRecord),
    (errand, tty): (Errand<'_>, Option<Tty>),
) -> Outcome {
    let engine = &control.addons.engine;
    let exec = engine.run(addon, &service(record), errand, tty).await?;
    let process = Process::Command(exec.id.clone());
    carry(&control.runtime, call, process, exec.streams).await?;
    exit(control.runtime.exec_exit_code(&exec.id).await?)
}

/// The caller's terminal, when there is one.
fn tty(call: &Call) -> Option<Tty> {
    let terminal = call.terminal.as_ref()?;
    Some(Tty {
        term: terminal.term.clone(),
        size: *terminal.size.borrow(),
    })
}

/// What the command said is all there is to say.
fn exit(code: i64) -> Outcome {
    match code {
        0 => Ok(()),
        code => Err(Failure::silent(u8::try_from(code).unwrap_or(1))),
    }
}
