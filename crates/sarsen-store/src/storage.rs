//! Storage: named folders and volumes, and where apps mount them.

use std::collections::BTreeMap;

use sarsen_domain::AppName;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::rows::{app_id, is_duplicate, narrowed_option, now, parsed};
use crate::{Conflict, DockerOption, Store, StoreError, docker_options};

/// The storage of a [`Store`].
pub struct Storage<'a>(pub(crate) &'a Store);

/// A folder of the host or an engine's volume, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageEntry {
    pub name: String,
    /// An absolute path, or a volume's name.
    pub source: String,
    /// A user id.
    pub owner: Option<u32>,
    /// Mode bits.
    pub mode: Option<u32>,
    /// Made by a mount of a bare path or volume.
    pub unnamed: bool,
    pub created_at: i64,
}

/// Where an app mounts an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewMount {
    /// The path inside.
    pub target: String,
    /// `deploy`, `run` or `deploy,run`.
    pub phases: String,
    /// Empty for every process type.
    pub process: String,
    /// The folder of the entry that is mounted; empty for all of it.
    pub subpath: String,
    pub read_only: bool,
    /// In the engine's words, comma-separated.
    pub options: String,
    /// Who owns what is mounted.
    pub owner: Option<u32>,
}

/// What is said of an entry in keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// On the containers that mount it.
    Label,
    /// For what starts these containers.
    Annotation,
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Annotation => "annotation",
        }
    }
}

/// A mount, and what is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageMount {
    pub app: AppName,
    pub entry: StorageEntry,
    pub mount: NewMount,
}

const MOUNTS: &str = "SELECT m.*, m.owner AS mount_owner, e.name, e.source, e.owner AS entry_owner, e.mode, \
     e.unnamed, e.created_at, a.name AS app FROM storage_mounts m \
     JOIN storage_entries e ON e.id = m.entry_id JOIN apps a ON a.id = m.app_id \
     WHERE m.app_id = ? ORDER BY m.id";

impl Storage<'_> {
    /// Writes an entry down.
    pub async fn create(&self, entry: &StorageEntry) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        insert(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(())
    }

    /// One entry.
    pub async fn get(&self, name: &str) -> Result<StorageEntry, StoreError> {
        let row = sqlx::query("SELECT * FROM storage_entries WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *self.0.read().await?)
            .await?;
        let row = row.ok_or_else(|| no_such(name))?;
        entry(&row)
    }

    /// All entries by name.
    pub async fn list(&self) -> Result<Vec<StorageEntry>, StoreError> {
        let rows = sqlx::query("SELECT * FROM storage_entries ORDER BY name")
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(entry).collect()
    }

    /// Changes an entry's owner and mode.
    pub async fn update(&self, entry: &StorageEntry) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let done = sqlx::query("UPDATE storage_entries SET owner = ?, mode = ? WHERE name = ?")
            .bind(entry.owner)
            .bind(entry.mode)
            .bind(&entry.name)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(no_such(&entry.name));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets an entry that no app mounts.
    pub async fn destroy(&self, name: &str) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let users: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT a.name FROM storage_mounts m \
             JOIN storage_entries e ON e.id = m.entry_id JOIN apps a ON a.id = m.app_id \
             WHERE e.name = ? ORDER BY a.name",
        )
        .bind(name)
        .fetch_all(&mut *tx)
        .await?;
        if !users.is_empty() {
            return Err(Conflict::StorageMounted(name.to_owned(), users.join(", ")).into());
        }
        let done = sqlx::query("DELETE FROM storage_entries WHERE name = ?")
            .bind(name)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(no_such(name));
        }
        tx.commit().await?;
        Ok(())
    }

    /// What is said of entries: by entry, then by key.
    pub async fn marks(
        &self,
        kind: Mark,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT e.name, m.key, m.value FROM storage_marks m \
             JOIN storage_entries e ON e.id = m.entry_id WHERE m.kind = ?",
        )
        .bind(kind.as_str())
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        let mut marks: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (entry, key, value) in rows {
            marks.entry(entry).or_default().insert(key, value);
        }
        Ok(marks)
    }

    /// Says something of an entry, or takes it back.
    pub async fn set_mark(
        &self,
        entry: &str,
        kind: Mark,
        (key, value): (&str, Option<&str>),
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = entry_id(&mut tx, entry).await?;
        let id = id.ok_or_else(|| no_such(entry))?;
        sqlx::query("DELETE FROM storage_marks WHERE entry_id = ? AND kind = ? AND key = ?")
            .bind(id)
            .bind(kind.as_str())
            .bind(key)
            .execute(&mut *tx)
            .await?;
        if let Some(value) = value {
            sqlx::query(
                "INSERT INTO storage_marks (entry_id, kind, key, value) VALUES (?, ?, ?, ?)",
            )
            .bind(id)
            .bind(kind.as_str())
            .bind(key)
            .bind(value)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Mounts given as docker's flags become mounts of storage, and the flags go.
    pub async fn adopt(
        &self,
        app: &AppName,
        mounts: &[(StorageEntry, NewMount)],
        flags: &[DockerOption],
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        for (entry, new) in mounts {
            add_mount(&mut tx, id, entry, new).await?;
        }
        docker_options::remove(&mut tx, id, flags).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Mounts an entry; one that stands for a bare path is made when it is not there.
    pub async fn mount(
        &self,
        app: &AppName,
        entry: &StorageEntry,
        mount: &NewMount,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        add_mount(&mut tx, id, entry, mount).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Unmounts an entry, at one path or everywhere; gives the number of mounts that are gone.
    pub async fn unmount(
        &self,
        app: &AppName,
        entry: &str,
        target: Option<&str>,
    ) -> Result<u64, StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        let done = sqlx::query(
            "DELETE FROM storage_mounts WHERE app_id = ?1 AND (?3 IS NULL OR target = ?3) \
             AND entry_id = (SELECT id FROM storage_entries WHERE name = ?2)",
        )
        .bind(id)
        .bind(entry)
        .bind(target)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM storage_entries WHERE name = ? AND unnamed = 1 \
             AND NOT EXISTS (SELECT 1 FROM storage_mounts m WHERE m.entry_id = storage_entries.id)",
        )
        .bind(entry)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Everything that an app mounts, in the order in which it was mounted.
    pub async fn mounts(&self, app: &AppName) -> Result<Vec<StorageMount>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let rows = sqlx::query(MOUNTS)
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(mount).collect()
    }
}

/// Mounts an entry within the caller's transaction.
async fn add_mount(
    connection: &mut SqliteConnection,
    app_id: i64,
    entry: &StorageEntry,
    mount: &NewMount,
) -> Result<(), StoreError> {
    if entry.unnamed && entry_id(connection, &entry.name).await?.is_none() {
        insert(connection, entry).await?;
    }
    let found = entry_id(connection, &entry.name).await?;
    let entry_id = found.ok_or_else(|| no_such(&entry.name))?;
    sqlx::query(
        "INSERT INTO storage_mounts \
         (app_id, entry_id, target, phases, process, subpath, read_only, options, owner) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(app_id)
    .bind(entry_id)
    .bind(&mount.target)
    .bind(&mount.phases)
    .bind(&mount.process)
    .bind(&mount.subpath)
    .bind(mount.read_only)
    .bind(&mount.options)
    .bind(mount.owner)
    .execute(connection)
    .await
    .map_err(|error| match is_duplicate(&error) {
        true => StoreError::from(Conflict::MountExists),
        false => error.into(),
    })?;
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, entry: &StorageEntry) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO storage_entries (name, source, owner, mode, unnamed, created_at) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&entry.name)
    .bind(&entry.source)
    .bind(entry.owner)
    .bind(entry.mode)
    .bind(entry.unnamed)
    .bind(now())
    .execute(connection)
    .await
    .map_err(|error| match is_duplicate(&error) {
        true => StoreError::from(Conflict::StorageExists(entry.name.clone())),
        false => error.into(),
    })?;
    Ok(())
}

async fn entry_id(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<i64>, StoreError> {
    let id = sqlx::query_scalar("SELECT id FROM storage_entries WHERE name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(id)
}

fn no_such(name: &str) -> StoreError {
    StoreError::no_such(format!("Storage entry {name}"))
}

fn entry(row: &SqliteRow) -> Result<StorageEntry, StoreError> {
    Ok(StorageEntry {
        name: row.try_get("name")?,
        source: row.try_get("source")?,
        owner: narrowed_option(row, "owner")?,
        mode: narrowed_option(row, "mode")?,
        unnamed: row.try_get("unnamed")?,
        created_at: row.try_get("created_at")?,
    })
}

fn mount(row: &SqliteRow) -> Result<StorageMount, StoreError> {
    Ok(StorageMount {
        app: parsed(row, "app")?,
        entry: StorageEntry {
            name: row.try_get("name")?,
            source: row.try_get("source")?,
            owner: narrowed_option(row, "entry_owner")?,
            mode: narrowed_option(row, "mode")?,
            unnamed: row.try_get("unnamed")?,
            created_at: row.try_get("created_at")?,
        },
        mount: NewMount {
            target: row.try_get("target")?,
            phases: row.try_get("phases")?,
            process: row.try_get("process")?,
            subpath: row.try_get("subpath")?,
            read_only: row.try_get("read_only")?,
            options: row.try_get("options")?,
            owner: narrowed_option(row, "mount_owner")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{TestStore, app};

    fn entry(name: &str, source: &str) -> StorageEntry {
        StorageEntry {
            name: name.to_owned(),
            source: source.to_owned(),
            owner: Some(1000),
            mode: None,
            unnamed: name.starts_with("legacy-"),
            created_at: 0,
        }
    }

    fn at(target: &str) -> NewMount {
        NewMount {
            target: target.to_owned(),
            phases: "deploy,run".to_owned(),
            owner: Some(7),
            ..NewMount::default()
        }
    }

    #[tokio::test]
    async fn a_mounted_entry_stays_until_it_is_unmounted() {
        let store = TestStore::with_apps(&["a"]).await;
        let storage = store.storage();
        let data = entry("data", "/s/data");
        storage.create(&data).await.unwrap();
        let twice = storage.create(&data).await.unwrap_err().to_string();
        assert_eq!(twice, "Storage entry data already exists");
        storage.mount(&app("a"), &data, &at("/d")).await.unwrap();
        let twice = storage
            .mount(&app("a"), &data, &at("/d"))
            .await
            .unwrap_err();
        assert_eq!(twice.to_string(), "Mount path already exists.");
        let used = storage.destroy("data").await.unwrap_err().to_string();
        assert_eq!(used, "Storage entry data is mounted by a: unmount it first");
        let mounts = storage.mounts(&app("a")).await.unwrap();
        assert_eq!(mounts[0].mount, at("/d"));
        assert_eq!(mounts[0].entry.owner, Some(1000));
        assert_eq!(
            storage
                .unmount(&app("a"), "data", Some("/x"))
                .await
                .unwrap(),
            0
        );
        assert_eq!(storage.unmount(&app("a"), "data", None).await.unwrap(), 1);
        storage.destroy("data").await.unwrap();
        assert!(storage.get("data").await.is_err());
    }

    #[tokio::test]
    async fn marks_go_with_their_entry() {
        let store = TestStore::with_apps(&[]).await;
        let storage = store.storage();
        storage.create(&entry("data", "/s/data")).await.unwrap();
        for (key, value) in [
            ("a", Some("1")),
            ("a", Some("2")),
            ("b", Some("3")),
            ("b", None),
        ] {
            let mark = (key, value);
            storage.set_mark("data", Mark::Label, mark).await.unwrap();
        }
        let marks = storage.marks(Mark::Label).await.unwrap();
        assert_eq!(
            marks["data"].iter().collect::<Vec<_>>(),
            [(&"a".to_owned(), &"2".to_owned())]
        );
        assert!(storage.marks(Mark::Annotation).await.unwrap().is_empty());
        let none = storage
            .set_mark("none", Mark::Label, ("a", Some("1")))
            .await;
        assert!(none.is_err());
        storage.destroy("data").await.unwrap();
        assert!(storage.marks(Mark::Label).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_unnamed_entry_comes_and_goes_with_its_mounts() {
        let store = TestStore::with_apps(&["a", "b"]).await;
        let storage = store.storage();
        let bare = entry("legacy-1", "/s/x");
        for name in ["a", "b"] {
            storage.mount(&app(name), &bare, &at("/d")).await.unwrap();
        }
        storage.unmount(&app("a"), "legacy-1", None).await.unwrap();
        assert_eq!(storage.list().await.unwrap().len(), 1);
        storage
            .unmount(&app("b"), "legacy-1", Some("/d"))
            .await
            .unwrap();
        assert_eq!(storage.list().await.unwrap(), []);
    }
}
