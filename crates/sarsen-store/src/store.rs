//! Opening the store: files, connections, migrations, the key.

mod examine;

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteQueryResult, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};

use crate::acme::Acme;
use crate::certificates::AppCertificates;
use crate::seal::{Place, Sealer};
use crate::{
    Access, ApiTokens, Apps, Buildpacks, Builds, ConfigVars, Cron, DockerOptions, Domains, Events,
    Formations, GitCredentials, Imports, Instances, KeyValues, Metrics, PluginRuns, Ports,
    Properties, Registrations, RegistryLogins, Releases, Routing, SealError, ServiceBackups,
    Services, SshKeys, Storage, StoreError, WebSessions, key_file,
};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

const CANARY: &str = "sarsen";
const READERS: u32 = 4;
/// A list of a thousand apps comes without the reading thread waiting for whoever takes the rows.
const ROWS_AHEAD: usize = 1024;
/// For whoever else has the file open: a person with the `sqlite3` shell, a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store. Clones share the same connections.
#[derive(Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    pub(crate) sealer: Sealer,
}

impl Store {
    /// Opens the database, making it and the key file on the first start, and brings its tables up to date.
    pub async fn open(db: &Path, key_file: &Path) -> Result<Self, StoreError> {
        make_private(db).map_err(|source| StoreError::File {
            path: db.to_owned(),
            source,
        })?;
        let options = SqliteConnectOptions::new()
            .filename(db)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .row_buffer_size(ROWS_AHEAD)
            .disable_statement_logging();
        let write_options = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let writer = pool(1).after_release(|connection, _| Box::pin(is_at_rest(connection)));
        let writer = writer.connect_with(write_options).await?;
        MIGRATIONS.run(&writer).await.map_err(sqlx::Error::from)?;
        let sealer = unlock(&writer, key_file).await?;
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self {
            writer,
            readers,
            sealer,
        })
    }

    /// Finishes what is under way and folds the log into the database file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    /// The version of the last migration that was run.
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        let version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
        Ok(version.fetch_one(&self.readers).await?)
    }

    /// Apps.
    pub fn apps(&self) -> Apps<'_> {
        Apps(self)
    }

    /// Config vars, global and per app.
    pub fn config(&self) -> ConfigVars<'_> {
        ConfigVars(self)
    }

    /// Settings of the concerns (`nginx:set`, `checks:set`, …), global and per app.
    pub fn properties(&self) -> Properties<'_> {
        Properties(self)
    }

    /// Links into the dashboard, and sessions.
    pub fn web_sessions(&self) -> WebSessions<'_> {
        WebSessions(self)
    }

    /// Tokens of programs.
    pub fn api_tokens(&self) -> ApiTokens<'_> {
        ApiTokens(self)
    }

    /// Scheduled tasks.
    pub fn cron(&self) -> Cron<'_> {
        Cron(self)
    }

    /// Keys and sessions of the Consul API.
    pub fn key_values(&self) -> KeyValues<'_> {
        KeyValues(self)
    }

    /// What the router is told of apps beyond their routes.
    pub fn routing(&self) -> Routing<'_> {
        Routing(self)
    }

    /// What was seen of apps over time.
    pub fn metrics(&self) -> Metrics<'_> {
        Metrics(self)
    }

    /// Host names, global and per app.
    pub fn domains(&self) -> Domains<'_> {
        Domains(self)
    }

    /// Certificates of apps.
    pub fn certificates(&self) -> AppCertificates<'_> {
        AppCertificates(self)
    }

    /// ACME accounts, and how apps stand with authorities.
    pub fn acme(&self) -> Acme<'_> {
        Acme(self)
    }

    /// Port mappings that users set.
    pub fn ports(&self) -> Ports<'_> {
        Ports(self)
    }

    /// Quantities per process type.
    pub fn formation(&self) -> Formations<'_> {
        Formations(self)
    }

    /// Buildpacks that users chose.
    pub fn buildpacks(&self) -> Buildpacks<'_> {
        Buildpacks(self)
    }

    /// Keys that may log in.
    pub fn ssh_keys(&self) -> SshKeys<'_> {
        SshKeys(self)
    }

    /// User names and passwords for other git servers.
    pub fn git_credentials(&self) -> GitCredentials<'_> {
        GitCredentials(self)
    }

    /// What each key may do.
    pub fn access(&self) -> Access<'_> {
        Access(self)
    }

    /// Bringing apps in from elsewhere.
    pub fn imports(&self) -> Imports<'_> {
        Imports(self)
    }

    /// Builds.
    pub fn builds(&self) -> Builds<'_> {
        Builds(self)
    }

    /// What scripts of plugins took.
    pub fn plugin_runs(&self) -> PluginRuns<'_> {
        PluginRuns(self)
    }

    /// Releases.
    pub fn releases(&self) -> Releases<'_> {
        Releases(self)
    }

    /// Containers that we mean to have.
    pub fn instances(&self) -> Instances<'_> {
        Instances(self)
    }

    /// Services of addons, and their links to apps.
    pub fn services(&self) -> Services<'_> {
        Services(self)
    }

    /// Backups of services.
    pub fn service_backups(&self) -> ServiceBackups<'_> {
        ServiceBackups(self)
    }

    /// Docker's flags that users gave.
    pub fn docker_options(&self) -> DockerOptions<'_> {
        DockerOptions(self)
    }

    /// Named folders and volumes, and where apps mount them.
    pub fn storage(&self) -> Storage<'_> {
        Storage(self)
    }

    /// What others registered in the service catalog.
    pub fn registrations(&self) -> Registrations<'_> {
        Registrations(self)
    }

    /// Who we are at registries.
    pub fn registry_logins(&self) -> RegistryLogins<'_> {
        RegistryLogins(self)
    }

    /// The audit trail.
    pub fn events(&self) -> Events<'_> {
        Events(self)
    }

    /// The one write transaction of this moment; it rolls back unless committed.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        // IMMEDIATE: a deferred one fails at once, without waiting, when another process writes between its read
        // and its first write.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Carries one statement out, in a transaction of its own.
    pub(crate) async fn change(
        &self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<SqliteQueryResult, StoreError> {
        let mut tx = self.write().await?;
        let done = statement.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// A connection that can only read.
    pub(crate) async fn read(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }
}

/// Whether a connection can be used for the next transaction. Where the disk is full, SQLite itself ends the transaction, and
/// the library goes on counting it: that connection would refuse every other one.
async fn is_at_rest(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // What was given up is rolled back before this is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(size)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// SQLite gives its log and shared memory files the mode of the database.
fn make_private(db: &Path) -> std::io::Result<()> {
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(db)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Makes the key on the first start; later, refuses any key but the first one.
async fn unlock(writer: &SqlitePool, path: &Path) -> Result<Sealer, StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let canary: Option<Vec<u8>> = sqlx::query_scalar("SELECT canary FROM seal")
        .fetch_optional(&mut *tx)
        .await?;
    let key = match (key_file::read(path)?, &canary) {
        (Some(key), _) => key,
        (None, None) => key_file::create(path)?,
        (None, Some(_)) => return Err(SealError::KeyMissing(path.to_owned()).into()),
    };
    let sealer = Sealer::new(&key);
    match canary {
        Some(sealed) => check_canary(&sealer, &sealed, path)?,
        None => {
            sqlx::query("INSERT INTO seal (id, canary) VALUES (1, ?)")
                .bind(sealer.seal(&Place::Canary, CANARY)?)
                .execute(&mut *tx)
                .await?;
        }
    }
    crate::properties::seal_plain(&mut tx, &sealer).await?;
    tx.commit().await?;
    Ok(sealer)
}

fn check_canary(sealer: &Sealer, sealed: &[u8], path: &Path) -> Result<(), SealError> {
    let opened = sealer.open(&Place::Canary, sealed);
    match opened.ok().as_deref() {
        Some(CANARY) => Ok(()),
        Some(_) | None => Err(SealError::KeyForeign(path.to_owned())),
    }
}

#[cfg(test)]
mod tests;
