//! What builds keep between them, and the repository itself.

use futures_util::StreamExt;
use sarsen_runtime::RuntimeError;
use tokio_util::io::ReaderStream;

use crate::control::Control;
use crate::failure::Outcome;
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "repo:export-cache",
        "<app>",
        Inside,
        "Writes the build cache of an app to standard output, as a tar",
        export_cache
    ),
    verb!(
        "repo:gc",
        "<app>",
        Change,
        "Tidies the git repository of an app",
        gc
    ),
    verb!(
        "repo:import-cache",
        "<app>",
        Change,
        "Fills the build cache of an app from a tar on standard input",
        import_cache
    ),
    verb!(
        "repo:purge-cache",
        "<app>",
        Change,
        "Deletes the build cache of an app",
        purge_cache
    ),
];

async fn purge_cache(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let _lock = control.locks.take(&app)?;
    control.builder.purge_cache(&app).await?;
    call.out
        .header(&format!("Purged the build cache of {}", &*app))
        .await
}

async fn export_cache(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let _lock = control.locks.take(&app)?;
    let mut tar = control.builder.export_cache(&app).await?;
    while let Some(chunk) = tar.next().await {
        call.out.bytes(&chunk?).await?;
    }
    Ok(())
}

async fn import_cache(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let _lock = control.locks.take(&app)?;
    let stdin = ReaderStream::new(call.take_stdin());
    let tar = stdin.map(|chunk| chunk.map_err(|error| RuntimeError::Engine(error.to_string())));
    control.builder.import_cache(&app, Box::pin(tar)).await?;
    call.out
        .header(&format!("Filled the build cache of {}", &*app))
        .await
}

async fn gc(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    control.repos.gc(&app).await?;
    Ok(())
}
