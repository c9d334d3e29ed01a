//! Services start, stop, pause.

use sarsen_store::ServiceState;

use super::subject;
use crate::control::Control;
use crate::failure::Outcome;
use crate::table::Call;

pub(super) async fn start(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let _busy = control.addons.take(&addon.name, &record.name)?;
    let name = &record.name;
    call.out.header(&format!("Starting {name}")).await?;
    let services = control.store.services();
    services.set_state(record.id, ServiceState::Running).await?;
    control.start_service(&addon, &record).await
}

pub(super) async fn stop(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let _busy = control.addons.take_whole(&addon.name, &record.name)?;
    let name = &record.name;
    call.out.header(&format!("Stopping {name}")).await?;
    let services = control.store.services();
    services.set_state(record.id, ServiceState::Stopped).await?;
    let service = crate::addons::service(&record);
    Ok(control.addons.engine.down(&addon, &service).await?)
}

pub(super) async fn pause(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let _busy = control.addons.take_whole(&addon.name, &record.name)?;
    let name = &record.name;
    call.out.header(&format!("Pausing {name}")).await?;
    let services = control.store.services();
    services.set_state(record.id, ServiceState::Stopped).await?;
    let service = crate::addons::service(&record);
    Ok(control.addons.engine.stop(&addon, &service).await?)
}

pub(super) async fn restart(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let _busy = control.addons.take_whole(&addon.name, &record.name)?;
    let name = &record.name;
    call.out.header(&format!("Restarting {name}")).await?;
    let services = control.store.services();
    services.set_state(record.id, ServiceState::Running).await?;
    let service = crate::addons::service(&record);
    control.addons.engine.stop(&addon, &service).await?;
    control.start_service(&addon, &record).await
}
