//! What clients rely on beyond single answers: locks, waiting, limits, tokens, and what a restart leaves.

use std::time::Duration;

use axum::http::Request;
use futures_util::future::join_all;
use serde_json::json;

use tokio_util::task::TaskTracker;

use super::World;

async fn session(world: &World, wish: serde_json::Value) -> String {
    let reply = world.put("/v1/session/create", wish.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["ID"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn keys_and_locks_survive_a_restart() {
    let world = World::new().await;
    world
        .put("/v1/kv/a?flags=18446744073709551615", vec![0, 255])
        .await;
    let id = session(&world, json!({"Name": "leader"})).await;
    let taken = world.put(&format!("/v1/kv/lock?acquire={id}"), "me").await;
    assert_eq!(taken.body, "true");
    let before = world.get("/v1/kv/?recurse").await;
    let world = world.restarted().await;
    let after = world.get("/v1/kv/?recurse").await;
    assert_eq!(before.body, after.body);
    assert!(after.body.contains("18446744073709551615"));
    let other = session(&world, json!({})).await;
    let taken = world
        .put(&format!("/v1/kv/lock?acquire={other}"), "x")
        .await;
    assert_eq!(taken.body, "false");
    // Indexes go on from where they were.
    world.put("/v1/kv/b", "1").await;
    assert!(world.get("/v1/kv/b").await.index() > after.index());
}

#[tokio::test]
async fn a_session_that_nobody_renews_ends_and_gives_its_lock_back() {
    let world = World::new().await;
    let wish = json!({"TTL": "10s", "Behavior": "delete", "LockDelay": "0s"});
    let id = session(&world, wish).await;
    world.put(&format!("/v1/kv/lock?acquire={id}"), "me").await;
    // Twice its time is given; an hour later it is over.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::time::resume();
    let (keeper, tasks) = (world.api.clone(), TaskTracker::new());
    let keeping = tasks.spawn(async move { keeper.keep().await });
    let index = world.api.keys().await.index();
    let gone = world
        .get(&format!("/v1/kv/lock?index={index}&wait=20s"))
        .await;
    assert_eq!(gone.status, 404);
    assert_eq!(world.get("/v1/session/list").await.json(), json!([]));
    world.shutdown.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_session_ends_with_the_check_that_it_depends_on() {
    let world = World::new().await;
    let service = json!({"Name": "db", "Check": {"TTL": "1h", "Status": "passing"}});
    world
        .put("/v1/agent/service/register", service.to_string())
        .await;
    let wish = json!({"Checks": ["serfHealth", "service:db"], "LockDelay": "1m"});
    let id = session(&world, wish.clone()).await;
    world.put(&format!("/v1/kv/lock?acquire={id}"), "me").await;
    let (keeper, tasks) = (world.api.clone(), TaskTracker::new());
    let keeping = tasks.spawn(async move { keeper.keep().await });
    let index = world.get("/v1/kv/lock").await.index();
    let path = format!("/v1/kv/lock?index={index}&wait=20s");
    let waiting = world.get(&path);
    let failing = world.put("/v1/agent/check/fail/service:db", "");
    let (freed, failed) = tokio::join!(waiting, failing);
    assert_eq!(failed.status, 200);
    assert!(freed.json()[0].get("Session").is_none(), "{freed:?}");
    // Its key rests, and no new session can depend on what fails.
    let other = session(&world, json!({})).await;
    let taken = world
        .put(&format!("/v1/kv/lock?acquire={other}"), "x")
        .await;
    assert_eq!(taken.body, "false");
    let refused = world.put("/v1/session/create", wish.to_string()).await;
    assert_eq!(refused.status, 500);
    assert!(refused.body.contains("critical state"), "{refused:?}");
    world.shutdown.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn who_waits_for_a_service_is_woken_by_its_coming_and_by_nothing_else() {
    let world = World::new().await;
    let index = world.get("/v1/health/service/web?passing").await.index();
    let path = format!("/v1/health/service/web?passing&index={index}&wait=20s");
    let waiting = world.get(&path);
    let coming = async {
        for name in ["other", "web"] {
            let service = json!({"Name": name, "Port": 80});
            let path = "/v1/agent/service/register";
            world.put(path, service.to_string()).await;
        }
    };
    let (woken, ()) = tokio::join!(waiting, coming);
    assert_eq!(woken.json()[0]["Service"]["Service"], "web");
    assert!(woken.index() > index);
}

#[tokio::test]
async fn two_hundred_may_wait_and_a_shutdown_answers_them() {
    let world = World::new().await;
    let path = "/v1/kv/none?index=5&wait=10m";
    let waiting = (0..200).map(|_| world.get(path));
    let stop = async {
        tokio::task::yield_now().await;
        world.shutdown.cancel();
    };
    let (replies, ()) = tokio::join!(join_all(waiting), stop);
    assert!(replies.iter().all(|reply| reply.status == 404));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let large = vec![b'x'; 512 * 1024 + 1];
    assert_eq!(world.put("/v1/kv/large", large).await.status, 413);
    let fits = vec![b'x'; 512 * 1024];
    assert_eq!(world.put("/v1/kv/large", fits).await.body, "true");
    for (path, body, part) in [
        (
            "/v1/agent/service/register",
            "{\"Name\": 7}",
            "Name must be",
        ),
        ("/v1/agent/service/register", "[]", "an object"),
        (
            "/v1/agent/service/register",
            "{\"Name\":\"x\",\"Port\":70000}",
            "Invalid port",
        ),
        (
            "/v1/agent/service/register",
            "{\"Name\":\"x\",\"Check\":{\"Args\":[\"/bin/sh\"],\"Interval\":\"1s\"}}",
            "Scripts are disabled",
        ),
        (
            "/v1/agent/service/register",
            "{\"Name\":\"x\",\"Check\":{\"GRPC\":\"x:1\",\"Interval\":\"1s\"}}",
            "GRPC",
        ),
        (
            "/v1/agent/service/register",
            "{\"Name\":\"x\",\"Check\":{\"HTTP\":\"file:///etc/passwd\",\"Interval\":\"1s\"}}",
            "http://",
        ),
        (
            "/v1/agent/service/register",
            "{\"Name\":\"x\",\"Connect\":{\"SidecarService\":{}}}",
            "sidecar",
        ),
        (
            "/v1/agent/service/register",
            "{\"Name\":\"x\",\"Port\":1,\"Kind\":\"mesh-gateway\"}",
            "gateways",
        ),
        (
            "/v1/agent/service/register",
            "{\"Name\":\"x\",\"Port\":1,\"Kind\":\"connect-proxy\"}",
            "DestinationServiceName",
        ),
        (
            "/v1/agent/service/register",
            "{\"Name\":\"x\",\"Proxy\":{\"DestinationServiceName\":\"y\"}}",
            "connect-proxy",
        ),
        (
            "/v1/agent/check/register",
            "{\"Name\":\"c\",\"TTL\":\"soon\"}",
            "invalid duration",
        ),
        ("/v1/kv/a?cas=x", "", "Invalid cas"),
        ("/v1/kv/a?cas=1&acquire=y", "", "Conflicting"),
        ("/v1/kv/a?flags=-1", "", "Invalid flags"),
        ("/v1/txn", "{}", "a list"),
        ("/v1/txn", "[{\"Node\":{}}]", "Only operations on KV"),
        (
            "/v1/session/create",
            "{\"Behavior\":\"explode\"}",
            "Invalid Behavior",
        ),
    ] {
        let reply = world.put(path, body).await;
        assert!(
            reply.status.is_client_error() || reply.status == 500,
            "{path} {body}: {reply:?}"
        );
        assert!(reply.body.contains(part), "{path} {body}: {reply:?}");
    }
    for path in [
        "/v1/catalog/services?dc=elsewhere",
        "/v1/catalog/services?filter=ServiceName+%3D%3D+x",
        "/v1/catalog/nodes?filter=Colour+%3D%3D+red",
        "/v1/catalog/nodes?filter=Node+likes+me",
        "/v1/catalog/services?stale&consistent",
        "/v1/health/state/good",
    ] {
        let reply = world.get(path).await;
        assert!(!reply.status.is_success(), "{path}: {reply:?}");
    }
    assert_eq!(
        world.get("/v1/catalog/services").await.json(),
        json!({"consul": []})
    );
    assert_eq!(world.get("/v1/kv/?keys").await.json(), json!(["large"]));
    assert_eq!(world.get("/v1/session/list").await.json(), json!([]));
}

#[tokio::test]
async fn a_token_is_asked_from_everybody() {
    let world = World::with_token(Some("right")).await;
    for (name, value, status) in [
        ("x-consul-token", "right", 200),
        ("authorization", "Bearer right", 200),
        ("x-consul-token", "wrong", 403),
        ("authorization", "Basic right", 403),
        ("x-other", "right", 403),
    ] {
        for path in [
            "/v1/catalog/services",
            "/v1/agent/self",
            "/v1/status/leader",
        ] {
            let request = Request::builder().uri(path).header(name, value);
            let reply = world.send(request, "").await;
            assert_eq!(reply.status, status, "{name}: {value} for {path}");
        }
    }
    assert_eq!(
        world.get("/v1/catalog/services?token=right").await.status,
        200
    );
    assert_eq!(world.put("/v1/kv/a", "x").await.status, 403);
}

#[tokio::test]
async fn keys_may_be_any_text() {
    let world = World::new().await;
    for key in ["a%20b", "%2Fa", "a//b", "%E2%98%83", "a%25b", "a+b"] {
        assert_eq!(world.put(&format!("/v1/kv/{key}"), key).await.body, "true");
        assert_eq!(world.get(&format!("/v1/kv/{key}?raw")).await.body, key);
    }
    let keys = world.get("/v1/kv/?keys").await.json();
    assert_eq!(keys, json!(["/a", "a b", "a%b", "a+b", "a//b", "☃"]));
    assert_eq!(world.put("/v1/kv/%FF", "x").await.status, 400);
}
