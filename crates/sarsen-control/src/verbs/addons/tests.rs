//! The verbs of addons on an engine in memory. What real servers make of it is tested end to end.

use sarsen_runtime::fake::{Behaviour, ScriptedExec};

use crate::testing::World;

/// Postgres as these tests need it: it counts three tables, and takes what it is given.
fn postgres() -> Behaviour {
    let script = |matches: &str, output: &str| ScriptedExec {
        matches: matches.to_owned(),
        output: output.to_owned(),
        ..ScriptedExec::default()
    };
    let import = ScriptedExec {
        matches: "pg_restore".to_owned(),
        echo_stdin: true,
        ..ScriptedExec::default()
    };
    Behaviour {
        execs: vec![
            script("SELECT count(*)", "3\n"),
            script("pg_dump", "the dump"),
            script("du -s", "12\t/var/lib/postgresql/data\n"),
            import,
        ],
        ..Behaviour::default()
    }
}

async fn world() -> World {
    let world = World::new(Behaviour::default()).await;
    world.engine.behave("postgres:15", postgres());
    world.ok("postgres:create db").await;
    world
}

async fn field(world: &World, field: &str) -> String {
    let said = world.ok(&format!("postgres:info db --{field}")).await;
    said.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_at_the_making_is_told_again() {
    let world = World::new(Behaviour::default()).await;
    world.engine.behave("postgres:15", postgres());
    let made = world
        .ok("postgres:create db -c '-c jit=off' -C 'A=1;B=2' -m 512 -s 64m -p s3cret.~-_")
        .await;
    assert!(
        made.contains("=====> Postgres container created: db"),
        "{made}"
    );
    assert_eq!(field(&world, "config-options").await, "-c jit=off");
    let dsn = "postgres://postgres:s3cret.~-_@dokku-postgres-db:5432/db";
    assert_eq!(field(&world, "dsn").await, dsn);
    let container = &world.engine.containers()[0];
    assert!(container.env.contains(&"B=2".to_owned()));
    for (line, why) in [
        ("postgres:create db", "already exists"),
        ("postgres:create x -m 5", "megabytes"),
        ("postgres:create x -p 'a/b'", "may hold letters"),
        ("postgres:create x -r secret", "have no root-password"),
        ("postgres:create x -N nowhere", "nowhere does not exist"),
        ("postgres:create x -C nonsense", "KEY=value"),
        ("postgres:create x -s 1t", "is no size"),
        ("postgres:create 'x y'", "Invalid service name"),
        ("postgres:create x --use-iam", "unknown flag"),
    ] {
        let said = world.refused(line).await;
        assert!(said.contains(why), "{line}: {said}");
    }
    let list = world.ok("postgres:list").await;
    assert_eq!(list, "=====> Postgres services\ndb\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_opened_and_closed() {
    let world = world().await;
    let said = world.ok("postgres:expose db 127.0.0.1:15432").await;
    let expected =
        "-----> Service db exposed on port(s) [container->host]: 5432->127.0.0.1:15432\n";
    assert_eq!(said, expected);
    assert_eq!(
        field(&world, "exposed-ports").await,
        "5432->127.0.0.1:15432"
    );
    let again = world.refused("postgres:expose db 1").await;
    assert!(again.contains("already exposed"), "{again}");
    world.ok("postgres:unexpose db").await;
    assert!(
        world
            .refused("postgres:unexpose db")
            .await
            .contains("not exposed")
    );
    assert!(
        world
            .refused("postgres:expose db 1 2")
            .await
            .contains("1 ports to be exposed")
    );
    world.ok("postgres:expose db").await;
    assert!(field(&world, "exposed-ports").await.starts_with("5432->"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_promoted_and_the_other_keeps_its_url() {
    let world = world().await;
    world.ok("postgres:create other").await;
    world.ok("apps:create a").await;
    world.ok("postgres:link db a").await;
    world.ok("postgres:link other a -q sslmode=disable").await;
    let of = async |key: &str| world.ok(&format!("config:get a {key}")).await;
    assert!(of("DATABASE_URL").await.contains("dokku-postgres-db"));
    assert!(
        of("DOKKU_POSTGRES_AQUA_URL")
            .await
            .ends_with("/other?sslmode=disable\n")
    );
    world.ok("postgres:promote other a").await;
    assert!(
        of("DATABASE_URL")
            .await
            .ends_with("/other?sslmode=disable\n")
    );
    assert!(
        of("DOKKU_POSTGRES_BLACK_URL")
            .await
            .contains("dokku-postgres-db")
    );
    let again = world.refused("postgres:promote other a").await;
    assert!(
        again.contains("already promoted as DATABASE_URL"),
        "{again}"
    );
    // Nothing of it stays when the link goes.
    world.ok("postgres:unlink other a").await;
    let left = world.ok("config:keys a").await;
    assert_eq!(left, "DOKKU_POSTGRES_BLACK_URL\n");
    assert!(
        world
            .refused("postgres:promote other a")
            .await
            .contains("Not linked")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_removes_the_container_and_pausing_keeps_it() {
    let world = world().await;
    world.ok("postgres:pause db").await;
    assert_eq!(field(&world, "status").await, "exited");
    world.ok("postgres:start db").await;
    world.ok("postgres:stop db").await;
    assert_eq!(field(&world, "status").await, "missing");
    assert!(
        world
            .refused("postgres:backup db")
            .await
            .contains("start it first")
    );
    world.ok("postgres:start db").await;
    assert_eq!(field(&world, "status").await, "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_kept_thinned_out_and_tried() {
    let world = world().await;
    world.ok("postgres:set db backup-keep 2").await;
    world
        .ok("postgres:backup-set-encryption db 'correct horse'")
        .await;
    for _ in 0..3 {
        world.ok("postgres:backup db").await;
    }
    let list = world.ok("postgres:backup-list db --format json").await;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let ids: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_i64())
        .collect();
    assert_eq!(ids, [Some(3), Some(2)], "the oldest is gone");
    assert_eq!(
        (&list[0]["counted"], &list[0]["encryption"]),
        (&3.into(), &"passphrase".into())
    );
    let files = std::fs::read_dir(world.control.backup_folder()).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    for file in &files {
        assert!(file.to_string_lossy().ends_with(".dump.age"), "{file:?}");
        let bytes = std::fs::read(file).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"the dump"));
    }

    let said = world.ok("postgres:backup-verify db").await;
    assert!(
        said.contains("Backup 3: restored: 3 tables, and 3 when it was made"),
        "{said}"
    );
    assert_ne!(field(&world, "last-verify").await, "-");
    assert_eq!(
        world.engine.containers().len(),
        1,
        "nothing of the trial stays"
    );
    assert_eq!(world.engine.volumes().len(), 1);
    world.ok("postgres:backup-restore --force db 2").await;

    world
        .ok("postgres:backup-set-encryption db 'another one'")
        .await;
    let said = world.refused("postgres:backup-verify db 2").await;
    assert!(said.contains("the passphrase does not open it"), "{said}");
    assert!(
        world
            .refused("postgres:backup-verify db 1")
            .await
            .contains("no backup 1")
    );
    let spool = std::fs::read_dir(world.control.settings.data_dir.join("spool"));
    assert_eq!(spool.unwrap().count(), 0, "no file under way stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_says_why_and_leaves_nothing() {
    let world = world().await;
    world.engine.behave(
        "postgres:15",
        Behaviour {
            execs: vec![ScriptedExec {
                matches: "pg_dump".to_owned(),
                output: "half".to_owned(),
                error_output: "disk quota exceeded".to_owned(),
                exit: 1,
                ..ScriptedExec::default()
            }],
            ..Behaviour::default()
        },
    );
    world.ok("postgres:create broken").await;
    let said = world.refused("postgres:backup broken").await;
    assert!(said.contains("disk quota exceeded"), "{said}");
    assert_eq!(
        std::fs::read_dir(world.control.backup_folder())
            .unwrap()
            .count(),
        0
    );
    for (line, why) in [
        ("postgres:backup db no-such-bucket", "who we are"),
        ("postgres:backup db /no/such/folder", "no folder"),
        ("postgres:backup db Bad_Bucket", "neither a bucket"),
        (
            "postgres:backup-schedule db '61 * * * *'",
            "Invalid schedule",
        ),
        (
            "postgres:backup-schedule db '0 3 * * *' bucket",
            "backup-auth",
        ),
        ("postgres:backup-set-encryption db short", "too short"),
        (
            "postgres:backup-set-public-key-encryption db ABCD",
            "no public key",
        ),
        (
            "postgres:backup-auth db KEY secret eu-west-1 s3v2",
            "version 4",
        ),
        (
            "postgres:set db colour blue",
            "valid keys include: backup-keep",
        ),
        ("postgres:set db backup-keep 0", "give 1 or more"),
        ("memcached:backup db", "not a dokku command"),
    ] {
        let said = world.refused(line).await;
        assert!(said.contains(why), "{line}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_when_they_are_due() {
    let world = world().await;
    world.ok("postgres:backup-schedule db '0 3 * * *'").await;
    let cat = world.ok("postgres:backup-schedule-cat db").await;
    assert!(cat.starts_with("0 3 * * * postgres:backup db /"), "{cat}");
    world
        .ok("postgres:set db backup-verify-schedule '0 5 * * *'")
        .await;
    let now = crate::time::now();
    let control = &world.control;
    control.backup_tick(now).await.unwrap();
    assert_eq!(
        field(&world, "last-backup").await,
        "-",
        "nothing is due yet"
    );
    assert_eq!(field(&world, "data-size").await, "12288");
    control.backup_tick(now + 23 * 3600).await.unwrap();
    control.backup_tick(now + 47 * 3600).await.unwrap();
    control.tasks.close();
    control.tasks.wait().await;
    assert_ne!(field(&world, "last-backup").await, "-");
    world.ok("postgres:backup-unschedule db").await;
    assert!(
        world
            .refused("postgres:backup-schedule-cat db")
            .await
            .contains("by itself")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_has_the_data_and_an_upgrade_keeps_it() {
    let world = world().await;
    let said = world.ok("postgres:clone db copy").await;
    assert!(said.contains("Copying data from db to copy"), "{said}");
    assert!(
        world
            .refused("postgres:clone db copy")
            .await
            .contains("already exists")
    );

    world.engine.behave("postgres:17", postgres());
    // The container that copies the data ends.
    let copying = Behaviour {
        exit: Some(0),
        ..Behaviour::default()
    };
    world.engine.behave("postgres:15", copying);
    let volume = field(&world, "volume").await;
    world.ok("postgres:upgrade db -I 17").await;
    assert_eq!(field(&world, "version").await, "postgres:17");
    assert_ne!(field(&world, "volume").await, volume);
    assert!(!world.engine.volumes().contains(&volume));
    let again = world.refused("postgres:upgrade db -I 17").await;
    assert!(again.contains("already running postgres:17"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_start_changes_nothing() {
    let world = World::new(Behaviour::default()).await;
    let listening = Behaviour {
        listens: vec![11211],
        ..Behaviour::default()
    };
    world.engine.behave("memcached:1.6", listening);
    world.ok("memcached:create cache").await;
    let broken = Behaviour {
        start_error: Some("no such command".to_owned()),
        ..Behaviour::default()
    };
    world.engine.behave("memcached:2", broken);
    let said = world.refused("memcached:upgrade cache -I 2").await;
    assert!(said.contains("no such command"), "{said}");
    let info = async |field: &str| world.ok(&format!("memcached:info cache --{field}")).await;
    assert_eq!(info("version").await, "memcached:1.6\n");
    assert_eq!(info("status").await, "running\n");
    let same = world.refused("memcached:upgrade cache").await;
    assert!(same.contains("already running"), "{same}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_on_trial_goes_at_the_next_start() {
    let world = world().await;
    let mut record = world
        .control
        .store
        .services()
        .all()
        .await
        .unwrap()
        .remove(0);
    record.settings.scratch_volume = Some("left-by-an-upgrade".to_owned());
    let services = world.control.store.services();
    services
        .set_settings(record.id, &record.settings)
        .await
        .unwrap();
    world.control.revive_services().await.unwrap();
    let record = world
        .control
        .store
        .services()
        .all()
        .await
        .unwrap()
        .remove(0);
    assert_eq!(record.settings.scratch_volume, None);
    assert_eq!(field(&world, "status").await, "running");
}
