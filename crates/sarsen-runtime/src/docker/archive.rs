//! Files into and out of containers, as tar streams.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::body_try_stream;
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sarsen_domain::ContainerId;

use super::DockerRuntime;
use super::error::engine_error;
use crate::{EngineStream, Result, RuntimeError};

/// What went wrong in a stream that we send: the engine would only tell that the connection broke.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<RuntimeError>>>);

impl DockerRuntime {
    pub(super) async fn unpack_into(
        &self,
        id: &ContainerId,
        path: &str,
        tar: EngineStream<Bytes>,
    ) -> Result<()> {
        let client = self.patient_client().await?;
        let fault = Fault::default();
        let options = UploadToContainerOptionsBuilder::new().path(path).build();
        let body = body_try_stream(fault.watch(tar));
        let sent = client.upload_to_container(id.as_str(), Some(options), body);
        sent.await.map_err(|error| fault.or(engine_error(error)))
    }

    pub(super) async fn pack_from(
        &self,
        id: &ContainerId,
        path: &str,
    ) -> Result<EngineStream<Bytes>> {
        let client = self.patient_client().await?;
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let tar = client.download_from_container(id.as_str(), Some(options));
        let mut tar = Box::pin(tar.map(|piece| piece.map_err(engine_error)));
        // The request goes out with the first look: a path that is not there should be said at once.
        let first = tar.next().await.transpose()?;
        Ok(Box::pin(stream::iter(first.map(Ok)).chain(tar)))
    }
}

impl Fault {
    /// The same stream, with its error kept here.
    pub(super) fn watch(
        &self,
        tar: EngineStream<Bytes>,
    ) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + use<> {
        let fault = self.clone();
        tar.map(move |piece| {
            piece.map_err(|error| {
                let told = io::Error::other(error.to_string());
                *fault.slot() = Some(error);
                told
            })
        })
    }

    /// The stream's own error when there was one, else this.
    pub(super) fn or(&self, other: RuntimeError) -> RuntimeError {
        self.take().unwrap_or(other)
    }

    /// The stream's own error, when there was one.
    pub(super) fn take(&self) -> Option<RuntimeError> {
        self.slot().take()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<RuntimeError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
