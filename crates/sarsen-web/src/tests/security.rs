//! What somebody with bad intent tries: text that is markup, sessions that are not theirs, secrets that are guessed.

use axum::http::StatusCode;
use sarsen_control::Look;
use sarsen_domain::{BuildId, BuildStatus, Right};
use sarsen_store::{Holder, Scope};

use super::world::World;
use crate::table::{self, Verb};

const MARKUP: &str = "<script>alert(1)</script>";
const ATTRIBUTE: &str = "\"><img src=x onerror=alert(1)>";

/// Whether text got onto the page as markup.
fn is_markup(body: &str) -> bool {
    body.contains("<script>alert") || body.contains("<img src=x")
}

/// An app whose every text is markup, and its two builds.
async fn full_of_markup() -> (World, [BuildId; 2]) {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    let build = world.release("hello", BuildStatus::Succeeded).await;
    let failed = world.begin("hello").await;
    let store = &world.control.store;
    let (status, why) = (BuildStatus::Failed, format!("{MARKUP}{ATTRIBUTE}"));
    let builds = store.builds();
    let finished = builds.finish(&failed, status, Some(1), Some(&why));
    finished.await.unwrap();
    for id in [&build, &failed] {
        let log = format!("{MARKUP}\n\u{1b}[31m{ATTRIBUTE}\u{1b}[0m\n\u{1b}]8;;javascript:x\u{7}l");
        world.log("hello", id, &log);
    }
    let scope = Scope::App("hello".parse().unwrap());
    let vars = vec![("A".parse().unwrap(), format!("{MARKUP}{ATTRIBUTE}"))];
    store.config().set(&scope, vars).await.unwrap();
    (world, [build, failed])
}

#[tokio::test]
async fn text_of_others_is_never_markup() {
    let (world, builds) = full_of_markup().await;
    let routes = table::all();
    let pages = routes.iter().filter(|route| {
        route.verb == Verb::Get && route.kind == table::Kind::Page && !route.path.contains("{id}")
    });
    let brought: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(["done", "q", "back", "a", "b", "ps"].map(|name| (name, ATTRIBUTE)))
        .finish();
    for route in pages {
        for id in &builds {
            let path = route
                .path
                .replace("{app}", "hello")
                .replace("{build}", id.as_str());
            for path in [path.clone(), format!("{path}?{brought}")] {
                let page = world.get(&path).await;
                let body = &page.body;
                assert!(
                    !is_markup(body) && !body.contains("javascript:"),
                    "{path}: {body}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_a_form_brings_is_text() {
    let (world, _) = full_of_markup().await;
    for (name, value) in [
        ("domain", MARKUP),
        ("domain", ATTRIBUTE),
        ("back", ATTRIBUTE),
    ] {
        let page = world
            .post("/apps/hello/do/domain-add", &[(name, value)])
            .await;
        assert!(!is_markup(&page.body), "{}", page.body);
        let to = page.header("location").to_owned();
        assert!(to.is_empty() || to.starts_with('/'), "{to}");
        if !to.is_empty() {
            assert!(!is_markup(&world.get(&to).await.body));
        }
    }
    let missing = world.get("/apps/%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(!is_markup(&missing.body));
}

#[tokio::test]
async fn a_session_cannot_be_brought_along() {
    let world = World::new().await;
    let ada = Holder::Local {
        user: "ada".to_owned(),
    };
    let token = world.control.issue_link(&ada).await.unwrap();
    let mut world = world;
    let chosen = "A".repeat(43);
    world.cookie = Some(format!("sarsen_session={chosen}"));
    let page = world.get(&format!("/login?token={token}")).await;
    let cookie = page.header("set-cookie").to_owned();
    assert!(
        !cookie.contains(&chosen) && cookie.contains("HttpOnly"),
        "{cookie}"
    );
    assert_eq!(world.get("/").await.status, StatusCode::UNAUTHORIZED);
    // Signing in anew ends the session that the browser had.
    let first = cookie.split(';').next().unwrap().to_owned();
    world.cookie = Some(first.clone());
    assert_eq!(world.get("/").await.status, StatusCode::OK);
    let again = world.control.issue_link(&ada).await.unwrap();
    let page = world.get(&format!("/login?token={again}")).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(world.get("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn inside_tls_the_cookie_is_bound_to_the_name() {
    let mut world = World::new().await.signed_in().await;
    let secret = world.control.router_secret().to_owned();
    let routed = |secret: String| {
        vec![
            ("x-sarsen-router", secret),
            ("x-forwarded-proto", "https".to_owned()),
            ("x-forwarded-for", "203.0.113.9".to_owned()),
        ]
    };
    world.headers = routed(secret);
    let page = world.get("/").await;
    assert_eq!(
        page.status,
        StatusCode::UNAUTHORIZED,
        "the plain cookie counts nothing here"
    );
    let ada = Holder::Local {
        user: "ada".to_owned(),
    };
    let token = world.control.issue_link(&ada).await.unwrap();
    let cookie = world
        .get(&format!("/login?token={token}"))
        .await
        .header("set-cookie")
        .to_owned();
    assert!(
        cookie.starts_with("__Host-sarsen=") && cookie.contains("; Secure;"),
        "{cookie}"
    );
    assert!(
        cookie.contains("Path=/") && !cookie.contains("Domain"),
        "{cookie}"
    );
    let sessions = world.control.store.web_sessions().list().await.unwrap();
    assert_eq!(sessions[0].source, Some([203, 0, 113, 9].into()));
    world.headers = routed("guessed".to_owned());
    let token = world.control.issue_link(&ada).await.unwrap();
    let cookie = world
        .get(&format!("/login?token={token}"))
        .await
        .header("set-cookie")
        .to_owned();
    assert!(cookie.starts_with("sarsen_session="), "{cookie}");
}

#[tokio::test]
async fn whoever_guesses_waits() {
    let world = World::new().await;
    for _ in 0..10 {
        assert_eq!(
            world.get("/login?token=x").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let page = world.get("/login?token=x").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    let mut world = world;
    world.headers = vec![("authorization", "Bearer sarsen_x".to_owned())];
    assert_eq!(
        world.get("/api/v1/apps").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn other_names_are_not_answered() {
    let mut world = World::new().await.signed_in().await;
    world.headers = vec![("host", "evil.example:8180".to_owned())];
    for path in ["/", "/metrics", "/api/v1/apps"] {
        let page = world.get(path).await;
        assert_eq!(page.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn a_key_that_is_gone_takes_its_sessions_along() {
    let world = World::new().await;
    world.app("mine").await;
    let bob = world.key("bob", "mine", Right::Deploy).await;
    let world = world.signed_in_as(&bob).await;
    assert_eq!(world.get("/apps/mine").await.status, StatusCode::OK);
    let name = "bob".parse().unwrap();
    world
        .control
        .store
        .ssh_keys()
        .remove_by_name(&name)
        .await
        .unwrap();
    assert_eq!(
        world.get("/apps/mine").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_session_has_so_many_streams_and_no_more() {
    let world = World::new().await.signed_in().await;
    let cookie = world.cookie.clone().unwrap();
    let secret = cookie.split_once('=').unwrap().1.to_owned();
    let mut open = Vec::new();
    let routes = world.routes();
    loop {
        let response = world.open(&routes, "/live").await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        assert_eq!(response.status(), StatusCode::OK);
        open.push(response);
        assert!(open.len() < 100);
    }
    assert_eq!(open.len(), 8);
    open.pop();
    assert_eq!(world.open(&routes, "/live").await.status(), StatusCode::OK);
    let session = world.control.web_session(&secret, None, Look::Only).await;
    assert!(session.unwrap().is_some());
}

#[tokio::test]
async fn a_secret_is_shown_once_and_in_no_list() {
    let world = World::new().await.signed_in().await;
    world.app("mine").await;
    let text = "TOKEN=s3cret\n";
    let page = world
        .post(
            "/apps/mine/do/config-set",
            &[("text", text), ("restart", "next")],
        )
        .await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.body);
    let run = page
        .header("location")
        .rsplit('=')
        .next()
        .unwrap()
        .to_owned();
    let shown = world.get(&format!("/api/v1/runs/{run}")).await;
    assert!(!shown.body.contains("s3cret"), "{}", shown.body);
    let rows = world.get("/api/v1/apps/mine/config").await;
    assert!(
        rows.body.contains("TOKEN") && !rows.body.contains("s3cret"),
        "{}",
        rows.body
    );
    let page = world
        .post("/apps/mine/do/config-reveal", &[("key", "TOKEN")])
        .await;
    let run = page
        .header("location")
        .rsplit('=')
        .next()
        .unwrap()
        .to_owned();
    let once = world.get(&format!("/api/v1/runs/{run}")).await;
    assert!(once.body.contains("s3cret"), "{}", once.body);
    let again = world.get(&format!("/api/v1/runs/{run}")).await;
    assert!(!again.body.contains("s3cret"), "{}", again.body);
    let audit = world.get("/api/v1/audit").await.body;
    assert!(
        audit.contains("config:get") && !audit.contains("s3cret"),
        "{audit}"
    );
}
