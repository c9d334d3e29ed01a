//! The API: tokens, the same numbers as the pages, commands, live streams, and the description of it all.

use axum::http::StatusCode;
use http_body_util::BodyExt;
use sarsen_domain::{BuildStatus, Right};

use super::world::World;

async fn program(world: World, line: &[&str]) -> World {
    let body = serde_json::json!({ "words": line }).to_string();
    let mut world = world.signed_in().await;
    let csrf = world.csrf.clone();
    world.headers = vec![("x-csrf-token", csrf)];
    let page = world
        .send("POST", "/api/v1/commands", Some(("application/json", body)))
        .await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let run: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    let token = run["output"].as_str().unwrap().trim().to_owned();
    assert!(token.starts_with("sarsen_"), "{token}");
    world.cookie = None;
    world.headers = vec![("authorization", format!("Bearer {token}"))];
    world
}

#[tokio::test]
async fn a_token_opens_what_it_was_made_for() {
    let world = World::new().await;
    world.app("mine").await;
    world.app("other").await;
    let line = ["tokens:create", "--right", "deploy", "--on", "mine", "ci"];
    let world = program(world, &line).await;
    let who = world.get("/api/v1").await;
    assert!(
        who.body.contains("\"door\":\"api\"") && who.body.contains("\"mine\":\"deploy\""),
        "{}",
        who.body
    );
    assert_eq!(world.get("/api/v1/apps/mine").await.status, StatusCode::OK);
    assert_eq!(
        world.get("/api/v1/apps/other").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.get("/api/v1/tokens").await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        world.get("/").await.status,
        StatusCode::UNAUTHORIZED,
        "pages want a session"
    );
    // No form token is needed where no browser sends anything by itself.
    let page = world.send("POST", "/api/v1/apps/mine/do/lock", None).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("sarsen apps:lock mine"), "{}", page.body);
    let again = world
        .send("POST", "/api/v1/apps/mine/do/rollback", None)
        .await;
    assert_eq!(
        again.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        again.body
    );
    let body = Some(("application/json", "{\"web\": 2".to_owned()));
    let broken = world.send("POST", "/api/v1/apps/mine/do/scale", body).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST, "{}", broken.body);
    let body = serde_json::json!({ "words": ["apps:list"] }).to_string();
    let list = world
        .send("POST", "/api/v1/commands", Some(("application/json", body)))
        .await;
    assert!(
        list.body.contains("mine") && !list.body.contains("other"),
        "{}",
        list.body
    );
    let body = serde_json::json!({ "words": ["apps:destroy", "--force", "mine"] }).to_string();
    let denied = world
        .send("POST", "/api/v1/commands", Some(("application/json", body)))
        .await;
    assert!(denied.body.contains("Access denied"), "{}", denied.body);
    let events = world.control.store.events().list(3).await.unwrap();
    assert!(
        events
            .iter()
            .any(|event| event.detail["door"] == "api" && event.action == "apps:lock")
    );
}

#[tokio::test]
async fn every_answer_is_json_that_can_be_read() {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    let build = world.release("hello", BuildStatus::Succeeded).await;
    world.log("hello", &build, "-----> done\n");
    for (path, part) in [
        ("/api/v1/host", "memory_total"),
        ("/api/v1/deploys", "[]"),
        ("/api/v1/apps", "\"release\":1"),
        ("/api/v1/apps/hello", "\"processes\""),
        ("/api/v1/apps/hello/activity", "Deploy <b>"),
        ("/api/v1/apps/hello/charts?range=week", "\"marks\""),
        ("/api/v1/apps/hello/compare?from=1&to=1", "\"rows\":[]"),
        ("/api/v1/apps/hello/config", "[]"),
        ("/api/v1/apps/hello/cron", "[]"),
        ("/api/v1/apps/hello/domains", "hello.apps.test"),
        ("/api/v1/apps/hello/scale", "\"process\":\"web\""),
        ("/api/v1/apps/hello/services", "[]"),
        ("/api/v1/apps/hello/storage", "[]"),
        ("/api/v1/addons", "redis"),
        ("/api/v1/audit", "dashboard:sign-in"),
        ("/api/v1/sessions", "\"current\":true"),
        ("/api/v1/keys", "[]"),
        ("/api/v1/disk", "hello"),
    ] {
        let page = world.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
        assert_eq!(page.header("content-type"), "application/json", "{path}");
        serde_json::from_str::<serde_json::Value>(&page.body).unwrap();
        assert!(page.body.contains(part), "{part} in {path}: {}", page.body);
    }
    let page = world
        .get(&format!("/api/v1/apps/hello/builds/{build}"))
        .await;
    assert!(page.body.contains("\"phases\""), "{}", page.body);
    let log = world
        .get(&format!("/api/v1/apps/hello/builds/{build}/log"))
        .await;
    assert_eq!(
        (log.body.as_str(), log.header("x-content-type-options")),
        ("-----> done\n", "nosniff")
    );
    assert_eq!(
        world
            .get("/api/v1/apps/hello/charts?range=year")
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        world
            .get("/api/v1/apps/hello/compare?from=1&to=9")
            .await
            .status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn a_log_goes_on_where_it_was_broken_off() {
    let mut world = World::new().await.signed_in().await;
    world.app("hello").await;
    let build = world.release("hello", BuildStatus::Succeeded).await;
    world.log("hello", &build, "one\n\u{1b}[1mtwo\u{1b}[0m\nthree");
    let path = format!("/apps/hello/deploys/{build}/live");
    let whole = world.get(&path).await.body;
    let wanted = [
        "event: state",
        "data: \"one\"\nid: 4\n",
        "id: 16\n",
        "data: \"three\"\nid: 21\n",
        "event: end\ndata: \"succeeded\"",
    ];
    for part in wanted {
        assert!(whole.contains(part), "{part} in {whole}");
    }
    world.headers = vec![("last-event-id", "16".to_owned())];
    let rest = world.get(&path).await.body;
    assert!(
        rest.contains("\"three\"") && !rest.contains("two") && !rest.contains("\"one\""),
        "{rest}"
    );
}

#[tokio::test]
async fn what_a_command_writes_is_followed_to_its_end() {
    let world = World::new().await.signed_in().await;
    let page = world
        .post("/do/create", &[("name", "fresh"), ("back", "/")])
        .await;
    let run = page
        .header("location")
        .rsplit('=')
        .next()
        .unwrap()
        .to_owned();
    let live = world.get(&format!("/runs/{run}/live")).await.body;
    assert!(
        live.contains("event: line") && live.contains("event: end\ndata: 0"),
        "{live}"
    );
    assert_eq!(
        world.get("/runs/nonsense/live").await.status,
        StatusCode::NOT_FOUND
    );
    assert!(world.get("/api/v1/apps").await.body.contains("fresh"));
    // Another person does not see it.
    let eve = world.key("eve", "fresh", Right::Admin).await;
    let world = world.signed_in_as(&eve).await;
    assert_eq!(
        world.get(&format!("/api/v1/runs/{run}")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn deploys_under_way_are_told_at_once() {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    world.begin("hello").await;
    let routes = world.routes();
    let response = world.open(&routes, "/live").await;
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(
        text.starts_with("event: deploys\ndata: [{\"app\":\"hello\""),
        "{text}"
    );
}

#[test]
fn the_description_is_the_one_in_the_docs() {
    let written = include_str!("../../../../docs/openapi.json");
    assert!(
        written == crate::openapi(),
        "docs/openapi.json is not what the routes say: the example openapi of this crate prints it"
    );
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let world = World::new().await.signed_in().await;
    let nowhere = world.get("/api/v1/nope").await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert_eq!(
        nowhere.body.trim(),
        r#"{"error":"There is nothing at /api/v1/nope"}"#
    );
    let no_such_way = world.send("DELETE", "/api/v1/apps", None).await;
    assert_eq!(no_such_way.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(no_such_way.body.contains("does not take DELETE"));
}
