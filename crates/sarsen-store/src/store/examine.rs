//! A look at a database that no daemon has open, which changes nothing: would the start find what it needs?

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::{BUSY_TIMEOUT, MIGRATIONS, Store, check_canary};
use crate::seal::Sealer;
use crate::{SealError, StoreError, key_file};

impl Store {
    /// Whether [`Store::open`] would take these files. False: there is nothing yet, and the first start makes it.
    pub async fn examine(db: &Path, key_file: &Path) -> Result<bool, StoreError> {
        match std::fs::metadata(db) {
            Ok(meta) if meta.len() == 0 => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(source) => {
                let path = db.to_owned();
                return Err(StoreError::File { path, source });
            }
        }
        let mut connection = SqliteConnectOptions::new()
            .filename(db)
            .read_only(true)
            // Without a log beside it nobody has the database open, and SQLite need not make one to read it.
            .immutable(!has_log(db))
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging()
            .connect()
            .await?;
        let examined = look(&mut connection, key_file).await;
        connection.close().await?;
        examined.map(|()| true)
    }
}

fn has_log(db: &Path) -> bool {
    let mut log = db.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

async fn look(connection: &mut SqliteConnection, key_file: &Path) -> Result<(), StoreError> {
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut *connection)
        .await?;
    if verdict != "ok" {
        let what = verdict.lines().filter(|line| !line.starts_with("***"));
        return Err(StoreError::Corrupt(what.collect::<Vec<_>>().join("; ")));
    }
    if has_table(connection, "_sqlx_migrations").await? {
        let latest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await?;
        let known = |version| MIGRATIONS.iter().any(|known| known.version == version);
        if let Some(version) = latest.filter(|version| !known(*version)) {
            let newer = sqlx::migrate::MigrateError::VersionMissing(version);
            return Err(sqlx::Error::from(newer).into());
        }
    }
    // The first start may have been cut off before there was a table.
    let canary: Option<Vec<u8>> = match has_table(connection, "seal").await? {
        true => {
            sqlx::query_scalar("SELECT canary FROM seal")
                .fetch_optional(&mut *connection)
                .await?
        }
        false => None,
    };
    match (key_file::look(key_file)?, canary) {
        (Some(key), Some(sealed)) => Ok(check_canary(&Sealer::new(&key), &sealed, key_file)?),
        (None, Some(_)) => Err(SealError::KeyMissing(key_file.to_owned()).into()),
        (_, None) => Ok(()),
    }
}

async fn has_table(connection: &mut SqliteConnection, name: &str) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?")
            .bind(name)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    struct Files {
        folder: TempDir,
        db: PathBuf,
        key: PathBuf,
    }

    impl Files {
        /// An installation that has been started once.
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (db, key) = (folder.path().join("db"), folder.path().join("key"));
            let store = Store::open(&db, &key).await.unwrap();
            store.close().await;
            Self { folder, db, key }
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder.path()).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }

        async fn why(&self) -> String {
            let examined = Store::examine(&self.db, &self.key).await;
            examined.unwrap_err().to_string()
        }
    }

    #[tokio::test]
    async fn a_good_one_is_left_as_it_is() {
        let files = Files::new().await;
        assert!(Store::examine(&files.db, &files.key).await.unwrap());
        assert_eq!(files.names(), ["db", "key"]);
        // As after a crash: the log is still there.
        let running = Store::open(&files.db, &files.key).await.unwrap();
        assert!(Store::examine(&files.db, &files.key).await.unwrap());
        running.close().await;
    }

    #[tokio::test]
    async fn nothing_yet_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let (db, key) = (folder.path().join("db"), folder.path().join("key"));
        assert!(!Store::examine(&db, &key).await.unwrap());
        fs::write(&db, "").unwrap();
        assert!(!Store::examine(&db, &key).await.unwrap());
    }

    #[tokio::test]
    async fn a_key_that_is_gone_or_foreign_is_told() {
        let files = Files::new().await;
        let kept = fs::read(&files.key).unwrap();
        fs::write(&files.key, [7; 32]).unwrap();
        assert!(files.why().await.contains("does not fit this database"));
        fs::write(&files.key, "short").unwrap();
        assert!(files.why().await.contains("exactly 32 bytes"));
        fs::remove_file(&files.key).unwrap();
        assert!(files.why().await.contains("is missing"));
        fs::write(&files.key, kept).unwrap();
        assert!(Store::examine(&files.db, &files.key).await.unwrap());
    }

    #[tokio::test]
    async fn damage_and_a_newer_version_are_told() {
        let files = Files::new().await;
        let whole = fs::read(&files.db).unwrap();
        let mut noisy = whole.clone();
        noisy[4096..12288].fill(0xa5);
        fs::write(&files.db, noisy).unwrap();
        assert!(!files.why().await.is_empty());
        fs::write(
            &files.db,
            "this was never a database, however long it may be",
        )
        .unwrap();
        assert!(files.why().await.contains("not a database"));
        fs::write(&files.db, whole).unwrap();
        let store = Store::open(&files.db, &files.key).await.unwrap();
        let mut tx = store.write().await.unwrap();
        sqlx::query("UPDATE _sqlx_migrations SET version = 99999999999999 WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        assert!(files.why().await.contains("99999999999999"));
    }
}
