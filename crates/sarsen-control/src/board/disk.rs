//! What apps hold on the disk. A walk through all of their folders takes a while, so one serves for some seconds.

use std::path::Path;
use std::time::{Duration, Instant};

use sarsen_domain::AppName;
use tokio::sync::Mutex;

use super::DiskRow;
use crate::control::Control;
use crate::failure::{Failure, Outcome, STOPPING};

/// A page takes what is so old at most.
const FRESH: Duration = Duration::from_secs(15);

/// What was found last. Whoever comes while somebody walks waits for what he finds.
#[derive(Debug, Default)]
pub(crate) struct DiskUse(Mutex<Option<(Instant, Vec<DiskRow>)>>);

impl Control {
    /// What each app holds on the disk, the largest first.
    pub async fn disk_rows(&self) -> Outcome<Vec<DiskRow>> {
        let mut known = self.disk.0.lock().await;
        if let Some((at, rows)) = &*known
            && at.elapsed() < FRESH
        {
            return Ok(rows.clone());
        }
        let images = self.store.releases().images_by_app().await?;
        let control = self.clone();
        let walk = self.tasks.spawn_blocking(move || {
            let row = |(app, images)| control.disk_row(&app, images);
            let mut rows: Vec<DiskRow> = images.into_iter().map(row).collect();
            rows.sort_by_key(|row| std::cmp::Reverse(row.repository + row.build_logs));
            rows
        });
        let rows = walk.await.map_err(|_| Failure::new(STOPPING))?;
        *known = Some((Instant::now(), rows.clone()));
        drop(known);
        Ok(rows)
    }

    fn disk_row(&self, app: &AppName, images: usize) -> DiskRow {
        DiskRow {
            app: app.to_string(),
            repository: size(&self.repos.path(app)),
            build_logs: size(&self.logs.folder(app)),
            images,
        }
    }
}

/// The bytes of all files below a folder; links are not followed.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => size(&entry.path()),
        Ok(facts) => facts.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
