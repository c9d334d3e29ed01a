//! Domains against a real database.

use sarsen_domain::Domain;

use super::{AppDomains, Vhosts};
use crate::Scope;
use crate::test_support::{TestStore, app};

fn domains(names: &[&str]) -> Vec<Domain> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[tokio::test]
async fn order_is_kept_and_doubles_are_not() {
    let store = TestStore::with_apps(&["a"]).await;
    for scope in [Scope::Global, Scope::App(app("a"))] {
        let stored = store.domains();
        stored
            .add(&scope, &domains(&["z.org", "b.org"]))
            .await
            .unwrap();
        stored
            .add(&scope, &domains(&["b.org", "a.org", "a.org"]))
            .await
            .unwrap();
        assert_eq!(
            stored.list(&scope).await.unwrap(),
            domains(&["z.org", "b.org", "a.org"])
        );
        stored
            .remove(&scope, &domains(&["b.org", "none.org"]))
            .await
            .unwrap();
        stored.add(&scope, &domains(&["b.org"])).await.unwrap();
        assert_eq!(
            stored.list(&scope).await.unwrap(),
            domains(&["z.org", "a.org", "b.org"])
        );
        stored.set(&scope, &domains(&["*.x.org"])).await.unwrap();
        assert_eq!(stored.list(&scope).await.unwrap(), domains(&["*.x.org"]));
        stored.clear(&scope).await.unwrap();
        assert!(stored.list(&scope).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_router_gets_every_app_in_one_go() {
    let store = TestStore::with_apps(&["b", "a", "c"]).await;
    let stored = store.domains();
    stored
        .add(&Scope::Global, &domains(&["global.org"]))
        .await
        .unwrap();
    stored
        .add(&Scope::App(app("b")), &domains(&["z.org", "a.org"]))
        .await
        .unwrap();
    stored
        .add(&Scope::App(app("c")), &domains(&["a.org"]))
        .await
        .unwrap();
    stored
        .set_vhosts(&app("c"), Vhosts::Disabled)
        .await
        .unwrap();
    let of = |name: &str, vhosts_enabled, names: &[&str]| AppDomains {
        app: app(name),
        vhosts_enabled,
        domains: domains(names),
    };
    let expected = [
        of("a", true, &[]),
        of("b", true, &["z.org", "a.org"]),
        of("c", false, &["a.org"]),
    ];
    assert_eq!(stored.all().await.unwrap(), expected);
    let holders = stored.apps_with(&domains(&["a.org"])[0]).await.unwrap();
    assert_eq!(holders, [app("b"), app("c")]);
}

#[tokio::test]
async fn vhosts_can_be_switched() {
    let store = TestStore::with_apps(&["a"]).await;
    let (stored, name) = (store.domains(), app("a"));
    assert_eq!(stored.vhosts(&name).await.unwrap(), Vhosts::Enabled);
    stored.set_vhosts(&name, Vhosts::Disabled).await.unwrap();
    assert_eq!(stored.vhosts(&name).await.unwrap(), Vhosts::Disabled);
    assert!(!stored.vhosts_enabled(&name).await.unwrap());
    stored.set_vhosts(&name, Vhosts::Enabled).await.unwrap();
    assert!(stored.vhosts_enabled(&name).await.unwrap());
    assert!(stored.vhosts(&app("none")).await.is_err());
}
