//! Every page over a real control and store, and an engine in memory.

mod api;
mod gate;
mod security;
mod world;

use axum::http::StatusCode;
use sarsen_control::Look;
use sarsen_domain::BuildStatus;
use sarsen_store::{Holder, Scope};

use world::World;

#[tokio::test]
async fn nothing_is_shown_without_a_session() {
    let world = World::new().await;
    world.app("hello").await;
    for path in [
        "/",
        "/apps/hello",
        "/apps/hello/builds/00000000000000",
        "/login",
        "/login?token=x",
        "/nowhere",
    ] {
        let page = world.get(path).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(
            page.body.contains("sarsen dashboard:login") && !page.body.contains("hello"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_answer_is_protected() {
    let world = World::new().await;
    for path in [
        "/",
        "/style.css",
        "/icon.svg",
        "/healthz",
        "/metrics",
        "/login",
    ] {
        let page = world.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
    }
}

#[tokio::test]
async fn a_link_is_good_once_and_signing_out_is_for_good() {
    let mut world = World::new().await;
    let ada = Holder::Local {
        user: "ada".to_owned(),
    };
    let token = world.control.issue_link(&ada).await.unwrap();
    let path = format!("/login?token={token}");
    assert_eq!(world.ask("HEAD", &path).await.header("set-cookie"), "");
    let page = world.get(&path).await;
    assert_eq!(
        (page.status, page.header("location")),
        (StatusCode::SEE_OTHER, "/")
    );
    let cookie = page.header("set-cookie").to_owned();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    assert_eq!(world.get(&path).await.status, StatusCode::UNAUTHORIZED);

    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    world.cookie = Some(format!("other=1; {cookie}"));
    assert!(world.get("/").await.body.contains("ada"));
    let secret = cookie.split_once('=').unwrap().1;
    let session = world.control.web_session(secret, None, Look::Only).await;
    assert_eq!(
        world.post("/logout", &[]).await.status,
        StatusCode::FORBIDDEN
    );
    world.csrf = session.unwrap().unwrap().csrf;
    let page = world.post("/logout", &[]).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert!(page.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(world.get("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_empty_host_says_how_to_begin() {
    let world = World::new().await.signed_in().await;
    let page = world.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("git push sarsen main"), "{}", page.body);
}

#[tokio::test]
async fn apps_are_listed_with_what_matters() {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    world.app("fresh").await;
    world.release("hello", BuildStatus::Succeeded).await;
    let page = world.get("/").await;
    for part in [
        "<a href=\"/apps/fresh\">fresh</a>",
        "not deployed",
        "<td>v1 ",
        "succeeded",
        "<code class=\"dim\">0123abcd</code>",
        "0<span class=\"dim\">/1</span>",
    ] {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
    assert!(!page.body.contains("http-equiv"), "nothing is under way");
    world.engine.go_away();
    assert!(world.get("/").await.body.contains("Docker does not answer"));
}

#[tokio::test]
async fn an_app_has_its_page() {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    let build = world.release("hello", BuildStatus::Succeeded).await;
    let page = world.get("/apps/hello").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in [
        "Deploy &#60;b&#62;",
        "http://hello.apps.test:8080",
        "One web more",
        &format!("/apps/hello/deploys/{build}"),
    ] {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
    for path in [
        "/apps/nobody",
        "/apps/Not%20A%20Name",
        "/apps/hello/deploys/nonsense",
    ] {
        assert_eq!(
            world.get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_log_is_text_whatever_it_holds() {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    let build = world.release("hello", BuildStatus::Failed).await;
    world.log(
        "hello",
        &build,
        "\u{1b}[1;31m<script>alert(1)</script>\u{1b}[0m\n",
    );
    let page = world.get(&format!("/apps/hello/deploys/{build}")).await;
    assert!(
        page.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{}",
        page.body
    );
    assert!(page.body.contains("it broke") && !page.body.contains('\u{1b}'));
}

#[tokio::test]
async fn a_build_belongs_to_its_app() {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    world.app("other").await;
    let build = world.release("hello", BuildStatus::Succeeded).await;
    let page = world.get(&format!("/apps/other/deploys/{build}")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_build_under_way_refreshes_itself() {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    let build = world.begin("hello").await;
    let page = world.get(&format!("/apps/hello/deploys/{build}")).await;
    assert!(
        page.body.contains("http-equiv=\"refresh\" content=\"3\""),
        "{}",
        page.body
    );
    assert!(page.body.contains("running for"));
}

#[tokio::test]
async fn the_domains_page_waits_for_no_name_server() {
    let world = World::new().await.signed_in().await;
    world.app("hello").await;
    // Known without a name server, and nobody answers there for us.
    let name = ["localhost".parse().unwrap()];
    let domains = world.control.store.domains();
    let scope = Scope::App("hello".parse().unwrap());
    domains.set(&scope, &name).await.unwrap();
    let page = world.get("/apps/hello/domains").await;
    assert_eq!(page.status, StatusCode::OK);
    let refresh = "http-equiv=\"refresh\"";
    assert!(page.body.contains("checking…") && page.body.contains(refresh));
    let live = page.body.contains("id=\"names\" data-live") && page.body.contains("data-every");
    assert!(live, "{}", page.body);
    world.control.tasks.close();
    world.control.tasks.wait().await;
    let page = world.get("/apps/hello/domains").await.body;
    let found = page.contains("127.0.0.1") || page.contains("::1");
    assert!(found && !page.contains("checking…"), "{page}");
    assert!(!page.contains(refresh), "there is nothing to wait for");
}

#[tokio::test]
async fn health_and_metrics_are_open_on_loopback_only() {
    let mut world = World::new().await;
    let health = world.get("/healthz").await;
    assert_eq!(health.status, StatusCode::OK);
    assert!(
        health.body.contains("\"store\":\"ok\",\"docker\":\"ok\""),
        "{}",
        health.body
    );
    let metrics = world.get("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "sarsen_docker_up 1\n",
        "# TYPE sarsen_http_requests_total counter\n",
        "sarsen_http_connections 0\n",
    ] {
        assert!(metrics.body.contains(line), "{line} in {}", metrics.body);
    }
    world.engine.go_away();
    let health = world.get("/healthz").await;
    assert_eq!(
        health.status,
        StatusCode::OK,
        "apps that run are served all the same"
    );
    assert!(health.body.contains("\"docker\":\"unreachable\""));

    world.address = ([192, 0, 2, 1], 8180).into();
    assert_eq!(world.get("/healthz").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/metrics").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        world.signed_in().await.get("/metrics").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_store_that_is_gone_is_unhealthy() {
    let world = World::new().await;
    world.control.store.close().await;
    let health = world.get("/healthz").await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
}
