//! Every route of the table, held against the rights of a second key, and against what pages elsewhere can send.

use axum::http::StatusCode;
use sarsen_control::Action;
use sarsen_domain::{BuildId, BuildStatus, Right};

use super::world::{Page, World};
use crate::table::{self, Kind, Need, Route, Verb};

/// The path of a route, about this app and this build.
fn path(route: &Route, app: &str, build: &BuildId) -> String {
    route
        .path
        .replace("{app}", app)
        .replace("{build}", build.as_str())
        .replace("{id}", "0000000000000000")
        .replace("{domain}", "example.com")
        .replace("{release}", "1")
        .replace("{name}", "x")
}

async fn ask(world: &World, route: &Route, app: &str, build: &BuildId) -> Page {
    let path = path(route, app, build);
    let path = if route.path.ends_with("/compare") {
        format!("{path}?from=1&to=1&a=1&b=1")
    } else {
        path
    };
    match (route.verb, route.kind) {
        (Verb::Get, _) => world.get(&path).await,
        (Verb::Post, Kind::Api) => {
            let body = Some(("application/json", "{}".to_owned()));
            world.send("POST", &path, body).await
        }
        (Verb::Post, _) => world.post(&path, &[]).await,
    }
}

fn is_gated(route: &Route) -> bool {
    route.need != Need::Nothing
}

fn names_an_app(route: &Route) -> bool {
    route.path.contains("{app}")
}

/// Streams that are let through do not end by themselves.
fn is_endless(route: &Route) -> bool {
    route.path.ends_with("/live")
}

/// What a right on one app lets a key do to it, said once more.
fn suffices(right: Right, action: Action) -> bool {
    match right {
        Right::Read => matches!(action, Action::List | Action::Read | Action::Own),
        Right::Deploy | Right::Admin => {
            !matches!(action, Action::Host | Action::Keys | Action::Root)
        }
    }
}

async fn world_of(right: Right) -> (World, BuildId, BuildId) {
    let world = World::new().await;
    world.app("mine").await;
    world.app("other").await;
    let mine = world.release("mine", BuildStatus::Succeeded).await;
    let other = world.release("other", BuildStatus::Succeeded).await;
    let bob = world.key("bob", "mine", right).await;
    let mut world = world.signed_in_as(&bob).await;
    let csrf = world.csrf.clone();
    world.headers.push(("x-csrf-token", csrf));
    (world, mine, other)
}

#[tokio::test]
async fn nobody_is_let_in_without_a_session() {
    let world = World::new().await;
    world.app("mine").await;
    let build = world.release("mine", BuildStatus::Succeeded).await;
    for route in table::all().iter().filter(|route| is_gated(route)) {
        let page = ask(&world, route, "mine", &build).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{}", route.path);
        assert!(!page.body.contains("0123abcd"), "{}", route.path);
    }
}

#[tokio::test]
async fn an_app_of_somebody_else_looks_like_none() {
    for right in Right::ALL {
        let (world, mine, other) = world_of(right).await;
        for route in table::all().iter().filter(|route| names_an_app(route)) {
            for app in ["other", "nowhere"] {
                let page = ask(&world, route, app, &other).await;
                assert_eq!(page.status, StatusCode::NOT_FOUND, "{} {app}", route.path);
                assert!(!page.body.contains("0123abcd"), "{}", route.path);
            }
            if route.path.contains("{build}") && !is_endless(route) {
                let page = ask(&world, route, "mine", &other).await;
                // An old address leads to the new one, whatever there is.
                let is_hidden = matches!(
                    page.status,
                    StatusCode::NOT_FOUND | StatusCode::PERMANENT_REDIRECT
                );
                assert!(is_hidden, "{} of another app: {}", route.path, page.status);
            }
        }
        assert!(
            world.get(&format!("/apps/mine/builds/{mine}")).await.status != StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn a_right_on_one_app_is_worth_what_it_says() {
    for right in Right::ALL {
        let (world, mine, _) = world_of(right).await;
        for route in table::all().iter().filter(|route| is_gated(route)) {
            let Need::May(action) = route.need else {
                continue;
            };
            let may = if names_an_app(route) {
                suffices(right, action)
            } else {
                matches!(action, Action::List | Action::Own)
            };
            if may && (is_endless(route) || route.path == "/logout") {
                continue;
            }
            let page = ask(&world, route, "mine", &mine).await;
            let denied = page.status == StatusCode::FORBIDDEN;
            assert_eq!(!denied, may, "{:?} {} {}", right, route.path, page.body);
        }
        let listed = world.get("/").await.body;
        assert!(
            listed.contains("/apps/mine") && !listed.contains("/apps/other"),
            "{listed}"
        );
        let listed = world.get("/api/v1/apps").await.body;
        assert!(
            listed.contains("\"mine\"") && !listed.contains("other"),
            "{listed}"
        );
    }
}

#[tokio::test]
async fn no_change_is_made_for_a_page_elsewhere() {
    let world = World::new().await.signed_in().await;
    world.app("mine").await;
    let build = world.release("mine", BuildStatus::Succeeded).await;
    let posts = || {
        table::all()
            .into_iter()
            .filter(|route| route.verb == Verb::Post)
    };
    for route in posts() {
        let path = path(&route, "mine", &build);
        let form = "application/x-www-form-urlencoded";
        for (kind, body) in [
            (form, String::new()),
            (form, "csrf=".to_owned()),
            (form, format!("csrf={}", "A".repeat(43))),
            (
                "application/json",
                format!("{{\"csrf\":\"{}\"}}", world.csrf),
            ),
            ("text/plain", format!("csrf={}", world.csrf)),
        ] {
            let page = world.send("POST", &path, Some((kind, body))).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} {kind}");
        }
    }
    let mut world = world;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        world.headers = vec![(name, value.to_owned())];
        let page = world.post("/apps/mine/do/lock", &[]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    world.headers = vec![
        ("host", "127.0.0.1:8180".to_owned()),
        ("origin", "http://127.0.0.1:8180".to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    let page = world.post("/apps/mine/do/lock", &[]).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.body);
    let app = world
        .control
        .store
        .apps()
        .get(&"mine".parse().unwrap())
        .await;
    assert!(app.unwrap().locked);
}
