//! The data of services on its way: out of one, into one, counted, measured, copied.

use bytes::Bytes;
use futures_util::TryStreamExt;
use sarsen_domain::container::label;
use sarsen_runtime::{Attached, EngineStream, ExecSpec, LogChunk, RestartPolicy, StdStream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::engine::Values;
use crate::{Addon, AddonError, Engine, Errand, Service};

/// How much of what a command says about its failure is kept.
const WORDS_MAX: usize = 4096;
/// A copy of a volume is given up after this many seconds.
const COPY_SECONDS: u32 = 6 * 3600;

impl Engine {
    /// Writes the service's data to `sink`.
    pub async fn export_into<W>(
        &self,
        addon: &Addon,
        service: &Service,
        sink: W,
    ) -> Result<(), AddonError>
    where
        W: AsyncWrite + Unpin,
    {
        let exec = self.run(addon, service, Errand::Export, None).await?;
        let Attached { mut stdin, output } = exec.streams;
        close(&mut stdin).await;
        let words = drain(output, sink).await?;
        let code = self.runtime.exec_exit_code(&exec.id).await?;
        finished("The export", code, &words)
    }

    /// Replaces the service's data by what `source` gives. The service runs afterwards, unless this fails.
    pub async fn import_from<R>(
        &self,
        addon: &Addon,
        service: &Service,
        source: R,
    ) -> Result<(), AddonError>
    where
        R: AsyncRead + Unpin,
    {
        if !addon.imports_while_stopped() {
            let exec = self.run(addon, service, Errand::Import, None).await?;
            let words = feed(exec.streams, source).await?;
            let code = self.runtime.exec_exit_code(&exec.id).await?;
            return finished("The import", code, &words);
        }
        let import = self.begin_import(addon, service).await?;
        let words = match feed(import.streams, source).await {
            Ok(words) => words,
            Err(error) => {
                self.cut_import(&import.container).await?;
                return Err(error);
            }
        };
        finished(
            "The import",
            self.end_import(&import.container).await?,
            &words,
        )?;
        self.up(addon, service).await?;
        Ok(())
    }

    /// How many of what the addon counts the service holds; nothing when it counts nothing.
    pub async fn count(&self, addon: &Addon, service: &Service) -> Result<Option<i64>, AddonError> {
        let Some(check) = &addon.check else {
            return Ok(None);
        };
        let values = Values::of(addon, service);
        let spec = ExecSpec {
            command: check.command.iter().map(|word| values.fill(word)).collect(),
            env: values.env(&addon.exec_env),
            ..ExecSpec::default()
        };
        let said = self.ask(addon, service, &spec, "Counting").await?;
        let count = said.trim().parse().map_err(|_| {
            let said = said.trim().escape_debug();
            AddonError::Unsupported(format!("The addon's check printed '{said}', not a number"))
        });
        count.map(Some)
    }

    /// Bytes that the service's data takes on disk; nothing when it keeps none.
    pub async fn measure(
        &self,
        addon: &Addon,
        service: &Service,
    ) -> Result<Option<i64>, AddonError> {
        let Some(data) = &addon.data else {
            return Ok(None);
        };
        let words = ["du", "-s", "-k", "--", data];
        let spec = ExecSpec {
            command: words.map(str::to_owned).to_vec(),
            user: Some("0".to_owned()),
            ..ExecSpec::default()
        };
        let said = self.ask(addon, service, &spec, "Measuring").await?;
        let blocks = said.split_whitespace().next().unwrap_or_default();
        let blocks: Option<i64> = blocks.parse().ok();
        Ok(blocks.map(|blocks| blocks.saturating_mul(1024)))
    }

    /// Copies the service's volume, which nobody may be writing to, into another one.
    pub async fn copy_volume(
        &self,
        addon: &Addon,
        service: &Service,
        to: &str,
    ) -> Result<(), AddonError> {
        let labels: Vec<_> = self.labels(addon, service).into_iter().collect();
        self.runtime.ensure_volume(to, &labels).await?;
        let mut spec = self.basis(addon, service);
        let words = ["cp", "-a", "/sarsen-from/.", "/sarsen-to"];
        spec.entrypoint = Some(Vec::new());
        spec.command = Some(words.map(str::to_owned).to_vec());
        spec.env = Vec::new();
        spec.binds = vec![
            format!("{}:/sarsen-from:ro", service.volume),
            format!("{to}:/sarsen-to"),
        ];
        spec.user = Some("0".to_owned());
        spec.restart = RestartPolicy::No;
        // Should the daemon end meanwhile, it goes the way of one-off containers whose caller is gone.
        let kind = (label::CONTAINER_TYPE, "run".to_owned());
        for (key, value) in [kind, (label::DEADLINE, COPY_SECONDS.to_string())] {
            spec.labels.insert(key.to_owned(), value);
        }
        let container = self.runtime.create(&spec).await?;
        let copied = async {
            self.runtime.start(&container).await?;
            self.runtime.wait(&container).await
        };
        let code = copied.await;
        let words = self.last_lines(&container).await;
        self.runtime.remove(&container).await?;
        finished("The copy of the data", code?, words.as_bytes())
    }

    /// Removes a volume that no service has.
    pub async fn discard_volume(&self, volume: &str) -> Result<(), AddonError> {
        Ok(self.runtime.remove_volume(volume).await?)
    }

    /// What a command in the service's container prints.
    async fn ask(
        &self,
        addon: &Addon,
        service: &Service,
        spec: &ExecSpec,
        what: &'static str,
    ) -> Result<String, AddonError> {
        let info = self.find(addon, service).await?;
        let info = info.filter(sarsen_runtime::ContainerInfo::is_running);
        let info = info.ok_or_else(|| AddonError::NotRunning(service.name.to_string()))?;
        let exec = self.runtime.exec(&info.id, spec).await?;
        let mut said = Vec::new();
        let words = drain(exec.streams.output, &mut said).await?;
        let code = self.runtime.exec_exit_code(&exec.id).await?;
        finished(what, code, &words)?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

/// Standard output to `sink`; the last of what came on standard error.
async fn drain<W>(mut output: EngineStream<LogChunk>, mut sink: W) -> Result<Vec<u8>, AddonError>
where
    W: AsyncWrite + Unpin,
{
    let mut words = Vec::new();
    while let Some(chunk) = output.try_next().await? {
        match chunk.stream {
            StdStream::Stdout => sink.write_all(&chunk.bytes).await.map_err(broken)?,
            StdStream::Stderr => keep(&mut words, &chunk.bytes),
        }
    }
    sink.shutdown().await.map_err(broken)?;
    Ok(words)
}

/// `source` to standard input; the last of what the command said.
async fn feed<R>(streams: Attached, mut source: R) -> Result<Vec<u8>, AddonError>
where
    R: AsyncRead + Unpin,
{
    let Attached {
        mut stdin,
        mut output,
    } = streams;
    let input = async {
        // A command that reads no more has something to say about it.
        let copied = tokio::io::copy(&mut source, &mut stdin).await;
        close(&mut stdin).await;
        copied
    };
    let listening = async {
        let mut words = Vec::new();
        while let Some(chunk) = output.try_next().await? {
            keep(&mut words, &chunk.bytes);
        }
        Ok::<_, AddonError>(words)
    };
    let mut listening = std::pin::pin!(listening);
    tokio::select! {
        words = &mut listening => words,
        copied = input => {
            if let Err(error) = copied {
                tracing::debug!(%error, "an import's input ended");
            }
            listening.await
        }
    }
}

async fn close<W: AsyncWrite + Unpin>(stdin: &mut W) {
    if let Err(error) = stdin.shutdown().await {
        tracing::debug!(%error, "input could not be closed");
    }
}

fn keep(words: &mut Vec<u8>, more: &Bytes) {
    words.extend_from_slice(more);
    let excess = words.len().saturating_sub(WORDS_MAX);
    words.drain(..excess);
}

fn finished(what: &'static str, code: i64, words: &[u8]) -> Result<(), AddonError> {
    if code == 0 {
        return Ok(());
    }
    let output = String::from_utf8_lossy(words).trim().to_owned();
    Err(AddonError::Failed { what, code, output })
}

fn broken(source: std::io::Error) -> AddonError {
    let what = "The data cannot be passed on".to_owned();
    AddonError::File { what, source }
}
