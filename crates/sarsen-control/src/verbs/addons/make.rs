//! Services come, are copied and upgraded, and go.

use sarsen_addons::Addon;
use sarsen_domain::{ImageRef, ServiceName};
use sarsen_store::{BackupSettings, ServiceRecord, ServiceSettings};

use super::settings::{chosen, passwords};
use super::{named, running, show, subject};
use crate::addons::{Crossing, Wish};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::Call;
use crate::verbs::apps::confirm;

pub(super) async fn create(control: &Control, call: &mut Call) -> Outcome {
    let (addon, name) = named(control, call)?;
    let wish = Wish {
        image: image(call, &addon, None)?,
        secrets: passwords(&call.args, &addon)?,
        settings: chosen(control, &call.args, &ServiceSettings::default()).await?,
        name: name.clone(),
    };
    let _busy = control.addons.take(&addon.name, &name)?;
    refuse_taken(control, &addon, &name).await?;
    let record = make(control, call, &addon, wish).await?;
    show::tell_of(control, call, &addon, &record).await
}

pub(super) async fn clone(control: &Control, call: &mut Call) -> Outcome {
    let (addon, from) = running(control, call).await?;
    let name = ServiceName::parse(call.args.get(1).unwrap_or_default())?;
    // Ports are one service's, and so are its backups.
    let like = ServiceSettings {
        exposed: Vec::new(),
        backup: BackupSettings::default(),
        scratch_volume: None,
        ..from.settings.clone()
    };
    let wish = Wish {
        image: image(call, &addon, Some(&from.image))?,
        secrets: passwords(&call.args, &addon)?,
        settings: chosen(control, &call.args, &like).await?,
        name: name.clone(),
    };
    let _busy = control.addons.take_whole(&addon.name, &name)?;
    let _reading = control.addons.take_data(&addon.name, &from.name)?;
    refuse_taken(control, &addon, &name).await?;
    let record = make(control, call, &addon, wish).await?;
    if addon.exports() && addon.imports() {
        let copying = format!("Copying data from {} to {name}", from.name);
        call.out.header(&copying).await?;
        if let Err(failure) = control.copy_data(&addon, &from, &record).await {
            control.clear_away(&addon, &record).await;
            return Err(failure);
        }
    }
    call.out.header("Done").await?;
    show::tell_of(control, call, &addon, &record).await
}

async fn make(
    control: &Control,
    call: &mut Call,
    addon: &Addon,
    wish: Wish,
) -> Outcome<ServiceRecord> {
    let (title, name, image) = (&addon.title, wish.name.clone(), wish.image.clone());
    let of = (&addon.name, &name);
    control.service_action("pre-create", of, None).await?;
    fetch(control, call, &image).await?;
    let waiting = "Waiting for container to be ready";
    call.out.line(&format!("       {waiting}")).await?;
    let record = control.create_service(addon, wish).await?;
    control.service_action("post-create", of, None).await?;
    control
        .service_action("post-create-complete", of, None)
        .await?;
    call.out
        .title(&format!("{title} container created: {name}"))
        .await?;
    Ok(record)
}

async fn fetch(control: &Control, call: &mut Call, image: &ImageRef) -> Outcome {
    let engine = &control.addons.engine;
    if engine.has_image(image).await? {
        return Ok(());
    }
    call.out.header(&format!("Pulling image {image}")).await?;
    Ok(engine.pull(image).await?)
}

async fn refuse_taken(control: &Control, addon: &Addon, name: &ServiceName) -> Outcome {
    let services = control.store.services();
    if services.get(&addon.name, name).await.is_ok() {
        let title = &addon.title;
        return Err(Failure::new(format!(
            "{title} service {name} already exists"
        )));
    }
    Ok(())
}

/// The image that the flags ask for, with what is there already in place of what they leave open.
fn image(call: &Call, addon: &Addon, now: Option<&ImageRef>) -> Outcome<ImageRef> {
    let (repository, version) = (
        call.args.value("--image"),
        call.args.value("--image-version"),
    );
    let Some(now) = now else {
        return Ok(addon.image(repository, version)?);
    };
    let now = now.as_str();
    // A colon before the last slash is a port.
    let cut = now
        .rfind(':')
        .filter(|colon| now.rfind('/').is_none_or(|slash| *colon > slash));
    let (own, tag) = cut.map_or((now, None), |colon| {
        (now.get(..colon).unwrap_or(now), now.get(colon + 1..))
    });
    let version = version.or(match repository {
        Some(_) => None,
        None => tag,
    });
    Ok(addon.image(Some(repository.unwrap_or(own)), version)?)
}

pub(super) async fn upgrade(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = running(control, call).await?;
    let name = &record.name;
    let asked = ["--image", "--image-version"]
        .iter()
        .any(|flag| call.args.has(flag));
    let image = match asked {
        true => image(call, &addon, Some(&record.image))?,
        false => addon.image(None, None)?,
    };
    let settings = chosen(control, &call.args, &record.settings).await?;
    if image == record.image && settings == record.settings {
        return Err(Failure::new(format!(
            "Service {name} is already running {image}"
        )));
    }
    let _busy = control.addons.take_whole(&addon.name, name)?;
    call.out
        .header(&format!(
            "Upgrading {name} from {} to {image}",
            record.image
        ))
        .await?;
    let wanted = (image.clone(), settings);
    let crossing = control.upgrade_service(&addon, &record, wanted).await?;
    if crossing == Crossing::Export {
        call.out
            .line("       The new version does not read the old one's files: the data came by an export")
            .await?;
    }
    call.out
        .header(&format!("Service {name} runs {image}"))
        .await?;
    if call.args.has("--restart-apps") {
        for app in control.store.services().links(record.id).await? {
            let words = ["ps:restart".to_owned(), app.to_string()];
            control.stand_in(call, &words).await?;
        }
    }
    Ok(())
}

pub(super) async fn destroy(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = match subject(control, call).await {
        Ok(subject) => subject,
        // Asked again while the first time is not done, or was cut off.
        Err(failure) => retried(control, call).await.ok_or(failure)?,
    };
    let (title, name) = (&addon.title, &record.name);
    let links = control.store.services().links(record.id).await?;
    if !links.is_empty() {
        let links: Vec<_> = links.iter().map(|app| app.as_str()).collect();
        return Err(Failure::new(format!(
            "Cannot delete linked service: {title} service {name} is linked to {}",
            links.join(", ")
        )));
    }
    if !(call.force || call.args.has("--force")) {
        let what = format!("{title} service {name} and its data");
        confirm(call, name.as_str(), &what).await?;
    }
    let _busy = control.addons.take_whole(&addon.name, name)?;
    let of = (&addon.name, name);
    control.service_action("pre-delete", of, None).await?;
    call.out.header(&format!("Deleting {name}")).await?;
    control.destroy_service(&addon, &record).await?;
    control.service_action("post-delete", of, None).await?;
    call.out
        .title(&format!("{title} container deleted: {name}"))
        .await
}

async fn retried(control: &Control, call: &mut Call) -> Option<(Addon, ServiceRecord)> {
    let (addon, name) = named(control, call).ok()?;
    let services = control.store.services();
    let record = services.get(&addon.name, &name).await.ok()?;
    Some((addon, record))
}
