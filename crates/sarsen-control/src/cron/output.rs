//! What runs of scheduled tasks wrote: a file each, kept after their containers are gone.

use std::io;
use std::path::PathBuf;

/// More of a run's output than this is not kept; the end is.
pub(crate) const OUTPUT_MAX: usize = 1024 * 1024;

/// The folder of kept output: `cron/RUN.log`.
#[derive(Debug, Clone)]
pub(crate) struct Outputs(PathBuf);

impl Outputs {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// What a run wrote; nothing when nothing was kept.
    pub(crate) async fn read(&self, run: i64) -> io::Result<String> {
        match tokio::fs::read(self.path(run)).await {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Keeps what a run wrote. A crash leaves the whole of it or none.
    pub(crate) async fn write(&self, run: i64, text: &[u8]) -> io::Result<()> {
        tokio::fs::create_dir_all(&self.0).await?;
        let (path, half) = (self.path(run), self.0.join(format!("{run}.new")));
        tokio::fs::write(&half, text).await?;
        tokio::fs::rename(&half, &path).await
    }

    /// Removes the output of runs that are forgotten.
    pub(crate) async fn remove(&self, runs: &[i64]) {
        for run in runs {
            if let Err(error) = tokio::fs::remove_file(self.path(*run)).await
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "the output of run {run} stays");
            }
        }
    }

    /// Removes what belongs to no run, such as that of apps that are gone.
    pub(crate) async fn sweep(&self, known: &[i64]) -> io::Result<()> {
        let mut entries = match tokio::fs::read_dir(&self.0).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let run = name.to_str().and_then(|name| name.strip_suffix(".log"));
            let run = run.and_then(|run| run.parse::<i64>().ok());
            if !run.is_some_and(|run| known.contains(&run)) {
                tokio::fs::remove_file(entry.path()).await?;
            }
        }
        Ok(())
    }

    fn path(&self, run: i64) -> PathBuf {
        self.0.join(format!("{run}.log"))
    }
}
