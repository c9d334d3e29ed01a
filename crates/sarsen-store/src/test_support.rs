//! A real, migrated store in a folder of its own, and the values that tests are made of.

use std::ops::Deref;
use std::path::PathBuf;

use sarsen_domain::{
    AppName, BuildId, BuilderKind, CommitId, Config, EnvKey, Formation, ImageRef, ProcessType,
    Procfile,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;

use crate::{NewRelease, Store, StoreError};

pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
}

impl TestStore {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await.unwrap();
        Self { store, folder }
    }

    /// A store with these apps.
    pub(crate) async fn with_apps(names: &[&str]) -> Self {
        let this = Self::new().await;
        for name in names {
            this.apps().create(&app(name)).await.unwrap();
        }
        this
    }

    /// A store that was closed and opened again.
    pub(crate) async fn reopened(self) -> Self {
        self.store.close().await;
        let store = open(&self.folder).await.unwrap();
        Self { store, ..self }
    }

    /// A connection that goes round the store.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(db_path(&self.folder));
        options.connect().await.unwrap()
    }

    /// Runs SQL round the store; the number of rows that it changed.
    pub(crate) async fn tamper(&self, sql: &'static str) -> u64 {
        let mut connection = self.raw().await;
        let done = sqlx::query(sql).execute(&mut connection).await.unwrap();
        done.rows_affected()
    }

    /// Makes a release of a build of its own and returns both.
    pub(crate) async fn release(&self, name: &str) -> sarsen_domain::Release {
        let (kind, source) = (
            sarsen_domain::BuildKind::Build,
            sarsen_domain::BuildSource::GitHook,
        );
        let builds = self.builds();
        let build = builds.start(&app(name), kind, source, "me").await.unwrap();
        self.releases()
            .create(new_release(name, &build.id))
            .await
            .unwrap()
    }

    /// Makes a release and promotes it without any container.
    pub(crate) async fn live_release(&self, name: &str) -> sarsen_domain::Release {
        let release = self.release(name).await;
        let instances = self.instances();
        let all = crate::Replace::All;
        instances
            .promote(&app(name), release.number, &release.build, all)
            .await
            .unwrap();
        release
    }
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

pub(crate) async fn open(folder: &TempDir) -> Result<Store, StoreError> {
    Store::open(&db_path(folder), &key_path(folder)).await
}

pub(crate) fn db_path(folder: &TempDir) -> PathBuf {
    folder.path().join("sarsen.db")
}

pub(crate) fn key_path(folder: &TempDir) -> PathBuf {
    folder.path().join("sarsen.key")
}

pub(crate) fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

pub(crate) fn key(name: &str) -> EnvKey {
    EnvKey::parse(name).unwrap()
}

pub(crate) fn process(name: &str) -> ProcessType {
    ProcessType::parse(name).unwrap()
}

pub(crate) fn config(vars: &[(&str, &str)]) -> Config {
    vars.iter()
        .map(|(name, value)| (key(name), (*value).to_owned()))
        .collect()
}

pub(crate) fn image(digit: char) -> ImageRef {
    ImageRef::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap()
}

pub(crate) fn new_release(name: &str, build: &BuildId) -> NewRelease {
    NewRelease {
        app: app(name),
        image: image('a'),
        builder: BuilderKind::Dockerfile,
        commit: Some(CommitId::parse(&"c".repeat(40)).unwrap()),
        config: config(&[("A", "s3cret"), ("B", "two\nlines")]),
        procfile: Procfile::parse("worker: work\nweb: serve --port $PORT\nclock: tick").unwrap(),
        formation: Formation::initial(),
        detected_ports: vec!["http:80:5000".parse().unwrap()],
        app_json: Some("{}".to_owned()),
        build: build.clone(),
        author: "me".to_owned(),
        description: "Deploy cccccccc".to_owned(),
    }
}
