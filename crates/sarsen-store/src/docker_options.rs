//! Docker's flags as users gave them, by phase and process type.

use sarsen_domain::docker_flags::OptionPhase;
use sarsen_domain::{AppName, ProcessType};
use sqlx::{Row, SqliteConnection};

use crate::rows::{app_id, parsed};
use crate::{Store, StoreError};

/// The docker options of a [`Store`].
pub struct DockerOptions<'a>(pub(crate) &'a Store);

const INSERT: &str =
    "INSERT OR IGNORE INTO docker_options (app_id, phase, process, option) VALUES (?, ?, ?, ?)";

const DELETE: &str =
    "DELETE FROM docker_options WHERE app_id = ? AND phase = ? AND process = ? AND option = ?";

/// One option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DockerOption {
    pub phase: OptionPhase,
    /// `None` for every process type; options of a type come on top.
    pub process: Option<ProcessType>,
    /// The flag and its value.
    pub option: String,
}

impl DockerOptions<'_> {
    /// All options of an app, sorted.
    pub async fn list(&self, app: &AppName) -> Result<Vec<DockerOption>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let rows = sqlx::query(
            "SELECT phase, process, option FROM docker_options WHERE app_id = ? \
             ORDER BY phase, process, option",
        )
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
        rows.iter()
            .map(|row| {
                let process: &str = row.try_get("process")?;
                Ok(DockerOption {
                    phase: parsed(row, "phase")?,
                    process: match process {
                        "" => None,
                        _ => Some(parsed(row, "process")?),
                    },
                    option: row.try_get("option")?,
                })
            })
            .collect()
    }

    /// Adds options; one that is there already stays once.
    pub async fn add(&self, app: &AppName, options: &[DockerOption]) -> Result<(), StoreError> {
        self.each(app, options, INSERT).await
    }

    /// Removes options; one that is not there does not mind.
    pub async fn remove(&self, app: &AppName, options: &[DockerOption]) -> Result<(), StoreError> {
        self.each(app, options, DELETE).await
    }

    async fn each(
        &self,
        app: &AppName,
        options: &[DockerOption],
        sql: &'static str,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        execute(&mut tx, id, options, sql).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Adds options within the caller's transaction.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    app_id: i64,
    options: &[DockerOption],
) -> Result<(), StoreError> {
    execute(connection, app_id, options, INSERT).await
}

/// Removes options within the caller's transaction.
pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    app_id: i64,
    options: &[DockerOption],
) -> Result<(), StoreError> {
    execute(connection, app_id, options, DELETE).await
}

async fn execute(
    connection: &mut SqliteConnection,
    app_id: i64,
    options: &[DockerOption],
    sql: &'static str,
) -> Result<(), StoreError> {
    for one in options {
        sqlx::query(sql)
            .bind(app_id)
            .bind(one.phase.as_str())
            .bind(one.process.as_ref().map_or("", ProcessType::as_str))
            .bind(&one.option)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{TestStore, app};

    fn option(phase: OptionPhase, process: Option<&str>, text: &str) -> DockerOption {
        DockerOption {
            phase,
            process: process.map(|name| ProcessType::parse(name).unwrap()),
            option: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn options_are_kept_once_sorted_and_per_app() {
        let store = TestStore::with_apps(&["a", "b"]).await;
        let options = store.docker_options();
        let all = [
            option(OptionPhase::Run, None, "--init"),
            option(OptionPhase::Deploy, Some("web"), "-v /a:/b"),
            option(OptionPhase::Deploy, None, "-v /a:/b"),
        ];
        options.add(&app("a"), &all).await.unwrap();
        options.add(&app("a"), &all).await.unwrap();
        let mut sorted = all.to_vec();
        sorted.sort();
        assert_eq!(options.list(&app("a")).await.unwrap(), sorted);
        assert_eq!(options.list(&app("b")).await.unwrap(), []);
        options.remove(&app("a"), &all[..2]).await.unwrap();
        assert_eq!(options.list(&app("a")).await.unwrap(), all[2..]);
        assert!(options.list(&app("none")).await.is_err());
    }
}
