//! Each way in which a deploy fails, and what is said of it.

use std::time::{Duration, Instant};

use sarsen_deploy::Cause;
use sarsen_runtime::CommitSpec;
use serde_json::json;

use crate::world::{server, with_app};

#[tokio::test]
async fn the_wrong_port_is_named() {
    let web = server("0.0.0.0:3000", "200 OK\\r\\n\\r\\n");
    with_app(&[("web", &web)], async |world| {
        world.settings.health_window = Duration::from_secs(3);
        let cause = world.failure("web.1").await.to_string();
        assert_eq!(cause, "the app listens on port 3000, not on PORT=5000");
    })
    .await;
}

#[tokio::test]
async fn loopback_only_is_named() {
    let web = server("127.0.0.1:5000", "200 OK\\r\\n\\r\\n");
    with_app(&[("web", &web)], async |world| {
        world.settings.health_window = Duration::from_secs(3);
        let cause = world.failure("web.1").await.to_string();
        assert!(
            cause.starts_with("the app listens on 127.0.0.1:5000, which only"),
            "{cause}"
        );
        assert!(world.output.text().contains("       listening\n"));
    })
    .await;
}

#[tokio::test]
async fn an_exit_is_seen_at_once_with_its_output() {
    with_app(&[("web", "echo no database >&2; exit 3")], async |world| {
        world.settings.health_window = Duration::from_secs(600);
        let begun = Instant::now();
        assert_eq!(world.failure("web.1").await, Cause::Exited(3));
        assert!(begun.elapsed() < Duration::from_secs(60));
        let text = world.output.text();
        assert!(
            text.contains(" web.1)\n       no database\n=====> End of"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_missing_command_is_named() {
    with_app(&[("web", "no-such-server --port 5000")], async |world| {
        // The engine's init process starts, and finds nothing.
        let cause = world.failure("web.1").await;
        assert_eq!(cause, Cause::Exited(127), "{cause}");
        assert!(world.output.text().contains("no-such-server"));
        world.settings.init = false;
        let cause = world.failure("web.1").await;
        let expected = "its command 'no-such-server' was not found in the image";
        assert_eq!(cause.to_string(), expected, "{cause:?}");
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_does_not_stay_is_refused() {
    with_app(&[("worker", "true")], async |world| {
        assert_eq!(world.failure("worker.1").await, Cause::Exited(0));
    })
    .await;
}

#[tokio::test]
async fn too_much_memory_is_named() {
    let web = "perl -e '$x = \"a\" x ($ENV{N} || 300_000_000); sleep 60'";
    with_app(&[("web", web)], async |world| {
        world.settings.flags_default.memory = Some(32 << 20);
        let cause = world.failure("web.1").await;
        assert_eq!(cause, Cause::OutOfMemory(Some(32 << 20)), "{cause}");
    })
    .await;
}

#[tokio::test]
async fn an_http_check_that_never_passes() {
    let web = server(
        "0.0.0.0:$ENV{PORT}",
        "503 Busy\\r\\nContent-Length: 0\\r\\n\\r\\n",
    );
    with_app(&[("web", &web)], async |world| {
        world.check(json!({"path": "/up", "attempts": 3, "wait": 1}));
        let cause = world.failure("web.1").await.to_string();
        assert_eq!(
            cause,
            "http check of /up failed: /up answered 503, expected 2xx"
        );
    })
    .await;
}

#[tokio::test]
async fn a_command_check_runs_inside() {
    with_app(&[("web", "sleep 300")], async |world| {
        let test = json!({"command": ["sh", "-c", "echo $DYNO is not ready; exit 4"], "attempts": 1, "wait": 0});
        world.check(test);
        let cause = world.failure("web.1").await.to_string();
        assert!(cause.ends_with("failed: exit code 4: web.1 is not ready"), "{cause}");
    })
    .await;
}

#[tokio::test]
async fn the_images_healthcheck_is_waited_for() {
    let web = "if [ -n \"$SICK\" ]; then sleep 300; fi; touch /tmp/ok; sleep 300";
    with_app(&[("web", web)], async |world| {
        let base = sarsen_runtime::ContainerSpec {
            image: crate::world::IMAGE.to_owned(),
            labels: [("com.sarsen.owner".to_owned(), world.owner.clone())].into(),
            ..Default::default()
        };
        let base = world.runtime.create(&base).await.unwrap();
        let repository = format!("sarsen-test/{}", world.owner);
        let spec = CommitSpec {
            repository: repository.clone(),
            tag: "latest".to_owned(),
            changes: vec![
                "HEALTHCHECK --interval=1s --retries=2 CMD test -e /tmp/ok || { echo no file; exit 1; }".to_owned(),
            ],
        };
        let image = world.runtime.commit(&base, &spec).await.unwrap();
        world.runtime.remove(&base).await.unwrap();
        world.release.image = image.clone();
        let healthy = world.deploy(&["web.1"]).await;
        for one in world.containers().await {
            world.runtime.remove(&one.id).await.unwrap();
        }
        world.settings.env_extra = vec![("SICK".to_owned(), "1".to_owned())];
        let unhealthy = world.failure("web.1").await;
        world.runtime.remove_image(&image).await.unwrap();
        healthy.unwrap();
        assert_eq!(
            unhealthy.to_string(),
            "the HEALTHCHECK of its image says that it is unhealthy: no file"
        );
    })
    .await;
}
