//! Paths that are spelt in several ways, in front of a password and of an app that answers below a path.

use std::sync::Arc;

use super::super::kit::Site;
use super::upstream::App;
use crate::policy::{AuthUser, BasicAuth, PasswordHash, PathPrefix, Policy, PrefixFate};
use crate::{AppRoute, AppState, RoutePort, RouteTable, RouterSettings, Upstream};

fn route(site: &Site, name: &str, policy: Policy, app: &App) -> AppRoute {
    AppRoute {
        app: name.parse().unwrap(),
        hosts: vec!["app.test".parse().unwrap()],
        ports: vec![RoutePort::http(site.port, app.address().port())],
        upstreams: vec![Upstream {
            instance: i64::from(app.address().port()),
            dyno: "web.1".to_owned(),
            ip: app.address().ip(),
        }],
        state: AppState::Serving,
        policy: Arc::new(policy),
    }
}

fn below(path: &str, fate: PrefixFate) -> Policy {
    let path: PathPrefix = path.parse().unwrap();
    Policy {
        path: Some(path.with(fate)),
        ..Policy::default()
    }
}

/// `/admin` asks for a password, what else there is does not.
#[tokio::test]
async fn no_spelling_of_a_path_leads_around_a_password() {
    let (mut open, guarded) = (App::strict().await, App::strict().await);
    let site = Site::start(RouterSettings::default()).await;
    let ann = AuthUser {
        name: "ann".to_owned(),
        hash: PasswordHash::of("secret").unwrap(),
    };
    let policy = Policy {
        auth: Some(BasicAuth {
            users: vec![ann],
            allowed: Vec::new(),
        }),
        ..below("/admin", PrefixFate::Kept)
    };
    site.router.swap(RouteTable::new(vec![
        route(&site, "open", Policy::default(), &open),
        route(&site, "guarded", policy, &guarded),
    ]));
    for path in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/admin?x",
        "/admin#x",
        "/admin/../x",
        "/admin/%2e%2e/x",
        "/admin//x",
        "/admin/;/x",
        "http://app.test/admin",
        "http://APP.test:80/admin/x",
    ] {
        let reply = site.get(path).await;
        assert_eq!((reply.status(), reply.code()), (401, "auth"), "{path}");
    }
    // Other names for the router, and so for the app that has the rest: the guarded one never hears of them.
    for path in [
        "/%61dmin",
        "/admin%2fx",
        "/ADMIN",
        "/adminx",
        "/admin;x",
        "/admin%00",
        "/admin%3fx",
        "/./admin",
        "//admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/admin\\..\\x",
        "/%2fadmin",
        "/;/admin",
        "/a/..;/admin",
        "/.//admin",
    ] {
        let reply = site.get(path).await;
        assert_eq!((reply.status(), reply.body), (200, format!("GET {path}")));
        let before = open.seen_until(&format!("GET {path}")).await;
        assert!(before.is_empty(), "{path}: {before:?}");
    }
    let two_passwords = "GET /admin HTTP/1.1\nHost: app.test\nAuthorization: Basic eDp5\nAuthorization: Basic YW5uOnNlY3JldA==\n\n";
    assert_eq!(site.ask(two_passwords).await.status(), 401);
    open.end().await;
    guarded.end().await;
}

#[tokio::test]
async fn what_is_left_of_a_path_has_one_reading() {
    let (open, mut api) = (App::strict().await, App::strict().await);
    let site = Site::start(RouterSettings::default()).await;
    site.router.swap(RouteTable::new(vec![
        route(&site, "open", Policy::default(), &open),
        route(&site, "api", below("/api", PrefixFate::Stripped), &api),
    ]));
    for (path, left) in [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api?x=/api", "/?x=/api"),
        ("/api/x?y#z", "/x?y"),
        ("/api//evil.test/x", "//evil.test/x"),
        ("/api/../x", "/../x"),
        ("/api/%2e%2e/x", "/%2e%2e/x"),
        ("/api/http://evil.test/", "/http://evil.test/"),
        ("/api/api/x", "/api/x"),
        ("http://app.test/api/x", "/x"),
    ] {
        assert_eq!(site.get(path).await.body, format!("GET {left}"), "{path}");
        let seen = api.seen_until(&format!("GET {left}")).await;
        assert!(seen.is_empty(), "{path}: {seen:?}");
    }
    // The app has no other headers than the router's to go by.
    let spoofed = "GET /api/x HTTP/1.1\nHost: app.test\nX-Forwarded-Prefix: /evil\nX_Forwarded_Prefix: /evil\nConnection: X-Forwarded-Prefix\n\n";
    assert_eq!(site.ask(spoofed).await.status(), 200);
    assert_eq!(site.get("/api/last").await.status(), 200);
    let seen = api.seen_until("GET /last").await;
    assert!(seen[0].has("x-forwarded-prefix: /api"), "{seen:?}");
    open.end().await;
    api.end().await;
}
