//! What scripts of plugins took: a short memory of each plugin, for reports.

use sqlx::Row;

use crate::rows::{limit, narrowed, now_ms};
use crate::{Store, StoreError};

/// Of each plugin so many are remembered.
const KEPT: usize = 100;

/// The runs of a [`Store`].
pub struct PluginRuns<'a>(pub(crate) &'a Store);

/// One script's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRun {
    /// Whose script.
    pub plugin: String,
    /// Which: the trigger or the command's file.
    pub script: String,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long it took.
    pub millis: i64,
    /// As a shell would report it.
    pub exit_code: u8,
    /// How it ended, in words, when it failed.
    pub failure: String,
}

impl PluginRuns<'_> {
    /// Remembers runs, and forgets those that are too old.
    pub async fn append(&self, runs: &[PluginRun]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        for run in runs {
            sqlx::query(
                "INSERT INTO plugin_runs (plugin, script, at_ms, millis, exit_code, failure) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(&run.plugin)
            .bind(&run.script)
            .bind(if run.at_ms == 0 { now_ms() } else { run.at_ms })
            .bind(run.millis)
            .bind(run.exit_code)
            .bind(&run.failure)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "DELETE FROM plugin_runs WHERE plugin = ?1 AND id <= \
                 (SELECT id FROM plugin_runs WHERE plugin = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            )
            .bind(&run.plugin)
            .bind(limit(KEPT))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A plugin's newest runs, newest first.
    pub async fn newest(&self, plugin: &str, count: usize) -> Result<Vec<PluginRun>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM plugin_runs WHERE plugin = ? ORDER BY id DESC LIMIT ?")
                .bind(plugin)
                .bind(limit(count))
                .fetch_all(&mut *self.0.read().await?)
                .await?;
        let run = |row: &sqlx::sqlite::SqliteRow| {
            Ok(PluginRun {
                plugin: row.try_get("plugin")?,
                script: row.try_get("script")?,
                at_ms: row.try_get("at_ms")?,
                millis: row.try_get("millis")?,
                exit_code: narrowed(row, "exit_code")?,
                failure: row.try_get("failure")?,
            })
        };
        rows.iter().map(run).collect()
    }

    /// Forgets a plugin.
    pub async fn forget(&self, plugin: &str) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM plugin_runs WHERE plugin = ?").bind(plugin);
        self.0.change(statement).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::TestStore;

    fn run(plugin: &str, millis: i64) -> PluginRun {
        PluginRun {
            plugin: plugin.to_owned(),
            script: "post-deploy".to_owned(),
            at_ms: 7,
            millis,
            exit_code: 3,
            failure: "ended with exit code 3".to_owned(),
        }
    }

    #[tokio::test]
    async fn the_newest_are_kept_of_each() {
        let store = TestStore::new().await;
        let runs = store.plugin_runs();
        let many: Vec<_> = (0..105).map(|millis| run("a", millis)).collect();
        runs.append(&many).await.unwrap();
        runs.append(&[run("b", 1)]).await.unwrap();
        assert_eq!(
            runs.newest("a", 2).await.unwrap(),
            [run("a", 104), run("a", 103)]
        );
        assert_eq!(runs.newest("a", 1000).await.unwrap().len(), KEPT);
        runs.forget("a").await.unwrap();
        assert!(runs.newest("a", 9).await.unwrap().is_empty());
        assert_eq!(runs.newest("b", 9).await.unwrap().len(), 1);
    }
}
