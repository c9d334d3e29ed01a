//! Services, their links, and that neither goes while the other needs it.

use super::*;
use crate::Scope;
use crate::test_support::{TestStore, app, key};

fn new(name: &str) -> NewService {
    NewService {
        addon: AddonName::parse("redis").unwrap(),
        name: ServiceName::parse(name).unwrap(),
        image: ImageRef::parse("redis:7").unwrap(),
        volume: format!("volume-of-{name}"),
        secrets: [("password".to_owned(), "s3cret".to_owned().into())].into(),
        settings: ServiceSettings {
            env: vec!["TOKEN=t0ken".to_owned().into()],
            ..ServiceSettings::default()
        },
        state: ServiceState::Running,
    }
}

#[tokio::test]
async fn a_service_is_kept_with_its_passwords_sealed() {
    let store = TestStore::new().await;
    let made = store.services().create(&new("cache")).await.unwrap();
    let store = store.reopened().await;
    let read = store.services().get(&made.addon, &made.name).await.unwrap();
    assert_eq!(read, made);
    let row = sqlx::query("SELECT secrets FROM services");
    let row = row.fetch_one(&mut store.raw().await).await.unwrap();
    let sealed: Vec<u8> = row.get(0);
    assert!(!sealed.windows(6).any(|bytes| bytes == b"s3cret"));
    let row = sqlx::query("SELECT settings FROM services");
    let row = row.fetch_one(&mut store.raw().await).await.unwrap();
    let sealed: Vec<u8> = row.get(0);
    assert!(!sealed.windows(5).any(|bytes| bytes == b"t0ken"));
    assert!(!format!("{made:?}").contains("t0ken"));

    let error = store.services().create(&new("cache")).await.unwrap_err();
    assert_eq!(error.to_string(), "Service cache already exists");
    let services = store.services();
    services
        .set_state(made.id, ServiceState::Stopped)
        .await
        .unwrap();
    assert_eq!(
        services.all().await.unwrap()[0].state,
        ServiceState::Stopped
    );
    services.begin_destroy(&made).await.unwrap();
    services
        .set_state(made.id, ServiceState::Running)
        .await
        .unwrap();
    assert_eq!(
        services.all().await.unwrap()[0].state,
        ServiceState::Destroying
    );
    services.remove(made.id).await.unwrap();
    let gone = services.get(&made.addon, &made.name).await.unwrap_err();
    assert_eq!(gone.to_string(), "redis service cache does not exist");
}

#[tokio::test]
async fn links_come_and_go_with_their_config_var() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let services = store.services();
    let service = services.create(&new("cache")).await.unwrap();
    let var = key("REDIS_URL");
    services
        .link(&service, &app("a"), (&var, "redis://x"))
        .await
        .unwrap();
    let config = store.config().get(&Scope::App(app("a"))).await.unwrap();
    assert_eq!(config.get("REDIS_URL"), Some("redis://x"));
    let again = services
        .link(&service, &app("a"), (&key("B_URL"), "y"))
        .await;
    assert_eq!(
        again.unwrap_err().to_string(),
        "Service cache is linked to a already"
    );
    assert_eq!(services.links(service.id).await.unwrap(), [app("a")]);
    let of_app = services.of_app(&app("a")).await.unwrap();
    assert_eq!(of_app, std::slice::from_ref(&service));
    assert!(services.of_app(&app("b")).await.unwrap().is_empty());

    let refused = services.begin_destroy(&service).await.unwrap_err();
    assert!(refused.to_string().contains("unlink"), "{refused}");
    assert!(!services.unlink(&service, &app("b"), &[]).await.unwrap());
    assert!(services.unlink(&service, &app("a"), &[var]).await.unwrap());
    assert!(
        store
            .config()
            .get(&Scope::App(app("a")))
            .await
            .unwrap()
            .is_empty()
    );
    services.begin_destroy(&service).await.unwrap();
    let late = services
        .link(&service, &app("b"), (&key("X_URL"), "z"))
        .await;
    assert!(late.is_err(), "what is being destroyed takes no links");
}

#[tokio::test]
async fn links_follow_a_rename_and_go_with_the_app() {
    let store = TestStore::with_apps(&["a"]).await;
    let services = store.services();
    let service = services.create(&new("cache")).await.unwrap();
    services
        .link(&service, &app("a"), (&key("X_URL"), "x"))
        .await
        .unwrap();
    store.apps().rename(&app("a"), &app("b")).await.unwrap();
    assert_eq!(services.links(service.id).await.unwrap(), [app("b")]);
    store.apps().destroy(&app("b")).await.unwrap();
    assert!(services.links(service.id).await.unwrap().is_empty());
    services.begin_destroy(&service).await.unwrap();
}

#[tokio::test]
async fn settings_sizes_and_cursors_are_kept() {
    let store = TestStore::new().await;
    let services = store.services();
    let made = services.create(&new("cache")).await.unwrap();
    assert_eq!(made.size, None);
    let mut settings = made.settings.clone();
    settings.backup.keep = Some(3);
    settings.exposed = vec![ExposedPort {
        port: 6379,
        host_ip: None,
        host_port: 16379,
    }];
    services.set_settings(made.id, &settings).await.unwrap();
    services.set_size(made.id, 4096).await.unwrap();
    services
        .set_cursor(made.id, BackupTask::Backup, Some(60))
        .await
        .unwrap();
    let read = services.get(&made.addon, &made.name).await.unwrap();
    assert_eq!(read.settings, settings);
    assert_eq!(read.size.unwrap().bytes, 4096);
    assert_eq!((read.backup_cursor, read.verify_cursor), (Some(60), None));

    let image = ImageRef::parse("redis:8").unwrap();
    services
        .replace(made.id, (&image, "other"), &ServiceSettings::default())
        .await
        .unwrap();
    let read = services.get(&made.addon, &made.name).await.unwrap();
    assert_eq!((read.image, read.volume.as_str()), (image, "other"));
    assert_eq!(read.settings, ServiceSettings::default());
}

#[tokio::test]
async fn backups_outlive_their_service() {
    let store = TestStore::new().await;
    let made = store.services().create(&new("cache")).await.unwrap();
    let backup = NewBackup {
        addon: made.addon.clone(),
        service: made.name.clone(),
        destination: "bucket/prefix".to_owned(),
        file: "cache.rdb".to_owned(),
        image: made.image.clone(),
        encryption: BackupEncryption::Passphrase,
    };
    let backups = store.service_backups();
    let first = backups.begin(&backup).await.unwrap();
    backups.done(first, 12, Some(3)).await.unwrap();
    let second = backups.begin(&backup).await.unwrap();
    backups.abandon().await.unwrap();
    let outcome = Verification {
        at: 5,
        good: true,
        message: "3 keys".to_owned(),
    };
    backups.verified(first, &outcome).await.unwrap();
    store.services().begin_destroy(&made).await.unwrap();
    store.services().remove(made.id).await.unwrap();

    let found = backups.of_service(&made.addon, &made.name).await.unwrap();
    let ids: Vec<_> = found
        .iter()
        .map(|backup| (backup.id, backup.state))
        .collect();
    let expected = [(second, BackupState::Failed), (first, BackupState::Done)];
    assert_eq!(ids, expected);
    assert_eq!(found[1].verified, Some(outcome));
    assert_eq!((found[1].size_bytes, found[1].counted), (Some(12), Some(3)));
    backups.remove(second).await.unwrap();
    assert_eq!(backups.all().await.unwrap().len(), 1);
    assert!(backups.get(second).await.is_err());
}
