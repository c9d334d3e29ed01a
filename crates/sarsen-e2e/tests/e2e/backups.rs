//! Backups in a bucket: a real S3 protocol, spoken by moto's server. Without it the test says that it was skipped.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::community::skipped;
use crate::program::eventually_within;
use crate::s3::{MISSING, Storage};
use crate::world::World;

#[test]
fn a_bucket_keeps_backups_and_gives_them_back() {
    let Some(storage) = Storage::start(Ipv4Addr::LOCALHOST.into()) else {
        skipped(&format!("Backups to S3: {MISSING}"));
        return;
    };
    storage.make_bucket("e2e-bucket");
    let world = World::new();
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    let redis = |words: &str| {
        let said = world.local(&["redis:connect", "e2es3"], words.as_bytes());
        said.all()
    };
    ssh(&["redis:create", "e2es3"]);
    // More than one part of an upload, and nothing that can be compressed away.
    assert!(redis("SET greeting hello\n").contains("OK"));
    let script = "redis.call('SET','big',''); local r=redis.sha1hex('x'); for i=1,1000000 do r=redis.sha1hex(r); \
                  redis.call('APPEND','big',r) end return 1";
    assert!(redis(&format!("EVAL \"{script}\" 0\n")).contains('1'));
    let endpoint = storage.endpoint();
    let auth = [
        "redis:backup-auth",
        "e2es3",
        "KEYID",
        "-",
        "us-east-1",
        "s3v4",
        &endpoint,
    ];
    let refused = world.ssh(&["redis:backup", "e2es3", "e2e-bucket"]).failed();
    assert!(refused.all().contains("who we are"), "{}", refused.all());
    world.local(&auth, b"s3cr3t-key\n").succeeded();
    ssh(&["redis:set", "e2es3", "backup-keep", "2"]);
    let refused = world
        .ssh(&["redis:backup", "e2es3", "no-such-bucket"])
        .failed();
    assert!(refused.all().contains("NoSuchBucket"), "{}", refused.all());

    for _ in 0..3 {
        ssh(&["redis:backup", "e2es3", "e2e-bucket/some/prefix"]);
    }
    let listed = storage.ask("e2e-bucket?list-type=2");
    assert_eq!(
        listed.matches("<Key>some/prefix/redis-e2es3-").count(),
        2,
        "{listed}"
    );
    let said = ssh(&["redis:backup-verify", "e2es3"]);
    assert!(said.contains("restored: 2 keys"), "{said}");
    assert!(redis("FLUSHALL\n").contains("OK"));
    ssh(&["redis:backup-restore", "--force", "e2es3"]);
    assert!(redis("GET greeting\n").contains("hello"));
    assert!(redis("STRLEN big\n").contains("40000000"));
    backs_up_by_the_clock(&world, &storage);
    let log = world.daemon.log_text();
    for secret in ["s3cr3t-key", "X-Amz-Signature", "correct horse"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    ssh(&["redis:destroy", "--force", "e2es3"]);
}

/// Encrypted, each minute, and tried each minute as well.
fn backs_up_by_the_clock(world: &World, storage: &Storage) {
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    // An empty service is quicker to back up.
    world
        .local(
            &["redis:connect", "e2es3"],
            b"FLUSHALL\nSET greeting hello\n",
        )
        .succeeded();
    world
        .local(
            &["redis:backup-set-encryption", "e2es3"],
            b"correct horse battery\n",
        )
        .succeeded();
    ssh(&[
        "redis:set",
        "e2es3",
        "backup-verify-schedule",
        "'* * * * *'",
    ]);
    ssh(&[
        "redis:backup-schedule",
        "e2es3",
        "'* * * * *'",
        "e2e-bucket/minutely",
    ]);
    let shown = ssh(&["redis:backup-schedule-cat", "e2es3"]);
    assert!(
        shown.contains("* * * * *") && shown.contains("e2e-bucket/minutely"),
        "{shown}"
    );
    eventually_within(Duration::from_secs(150), || {
        let listed = storage.ask("e2e-bucket?list-type=2");
        // The newest one is tried, wherever it is.
        let here = listed.contains("<Key>minutely/redis-e2es3-") && listed.contains(".rdb.age");
        let tried = world
            .ssh(&["redis:backup-list", "e2es3"])
            .succeeded()
            .stdout;
        let good = |line: &str| {
            line.contains("minutely") && !line.contains("never") && !line.contains("failed")
        };
        (here && tried.lines().any(good))
            .then_some(())
            .ok_or_else(|| format!("{listed}\n{tried}"))
    });
    ssh(&["redis:backup-unschedule", "e2es3"]);
}
