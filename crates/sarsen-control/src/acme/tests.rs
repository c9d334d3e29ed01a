//! The commands and the keeper, with an authority in memory.

use sarsen_domain::{AppName, Domain};
use sarsen_router::Away;
use sarsen_runtime::fake::Behaviour;

use crate::acme::Patience;
use crate::testing::World;

async fn world() -> World {
    let world = World::new(Behaviour::default()).await;
    world.ok("apps:create shop").await;
    world.ok("domains:set shop shop.test").await;
    world
        .ok("letsencrypt:set --global server https://ca.test/dir")
        .await;
    world.ok("letsencrypt:set --global check false").await;
    world
}

fn shop() -> AppName {
    AppName::parse("shop").unwrap()
}

fn covered(world: &World, host: &str) -> bool {
    world.control.router.certificates().covers(host)
}

#[tokio::test]
async fn a_certificate_is_got_shown_renewed_and_revoked() {
    let world = world().await;
    assert!(!covered(&world, "shop.test"));
    let said = world.ok("letsencrypt:enable shop").await;
    assert!(
        said.contains("Certificate retrieved for shop.test"),
        "{said}"
    );
    assert!(covered(&world, "shop.test"));
    assert_eq!(world.ok("letsencrypt:active shop").await, "true\n");
    assert!(world.ok("letsencrypt:list").await.contains("shop  "));
    let ports = world.ok("certs:report shop --ssl-hostnames").await;
    assert_eq!(ports, "shop.test\n");
    let views = world.control.certificates().await.unwrap();
    assert_eq!(
        (views.len(), views[0].source, &views[0].warning),
        (1, "acme", &None)
    );

    let nothing = world.ok("letsencrypt:auto-renew").await;
    assert!(nothing.contains("No certificate is due"), "{nothing}");
    // Two thirds of its life are over.
    world
        .control
        .store
        .acme()
        .succeeded(&shop(), 1)
        .await
        .unwrap();
    let kept = world
        .control
        .renew_certificates(None, Patience::BackOff)
        .await;
    assert_eq!(kept.unwrap().renewed, [shop()]);
    assert_eq!(world.issuer.orders(), 2);
    assert!(
        world
            .ok("letsencrypt:cleanup shop")
            .await
            .contains("Removed 1 ")
    );

    world.ok("letsencrypt:revoke shop").await;
    assert!(!covered(&world, "shop.test"));
    let kept = world
        .control
        .renew_certificates(None, Patience::BackOff)
        .await;
    assert!(kept.unwrap().renewed.is_empty(), "it stays away");
    world.refused("letsencrypt:revoke shop").await;
}

#[tokio::test]
async fn the_authoritys_no_is_shown_and_enables_nothing() {
    let world = world().await;
    world.issuer.refuse(Domain::parse("shop.test").unwrap());
    let words = "shop.test is blocked by policy (rejectedIdentifier)";
    for _ in 0..4 {
        let said = world.refused("letsencrypt:enable shop").await;
        assert!(said.contains(words), "{said}");
    }
    let error = world
        .ok("letsencrypt:report shop --letsencrypt-last-error")
        .await;
    assert!(error.contains(words), "{error}");
    assert!(world.say("letsencrypt:list").await.stderr.contains(words));
    let renews = world
        .ok("letsencrypt:report shop --letsencrypt-autorenew")
        .await;
    assert_eq!(renews, "false\n");
    // Who asks once more is not let through to the authority.
    let said = world.refused("letsencrypt:enable shop").await;
    assert!(
        said.contains("try again in") && world.issuer.orders() == 4,
        "{said}"
    );
}

#[tokio::test]
async fn an_authority_that_is_away_is_asked_again_later_also_after_a_restart() {
    let world = world().await;
    world.ok("letsencrypt:enable shop").await;
    world.ok("domains:add shop www.shop.test").await;
    world.issuer.set_away(Away::Yes);
    let kept = world
        .control
        .renew_certificates(None, Patience::BackOff)
        .await;
    assert!(kept.unwrap().failed[0].1.contains("cannot be reached"));
    assert!(
        covered(&world, "shop.test"),
        "the old one is shown meanwhile"
    );
    world.issuer.set_away(Away::No);
    let world = world.restarted().await;
    let kept = world
        .control
        .renew_certificates(None, Patience::BackOff)
        .await;
    assert!(kept.unwrap().renewed.is_empty(), "it is too early");
    let said = world.ok("letsencrypt:auto-renew shop").await;
    assert!(said.contains("Renewed"), "{said}");
    let hosts = world.ok("certs:report shop --ssl-hostnames").await;
    assert_eq!(hosts, "shop.test www.shop.test\n");
}

#[tokio::test]
async fn an_account_that_the_authority_forgot_is_opened_anew() {
    let world = world().await;
    world.ok("letsencrypt:enable shop").await;
    world.issuer.forget_accounts();
    world.ok("domains:add shop www.shop.test").await;
    world.ok("letsencrypt:enable shop").await;
    assert_eq!(world.issuer.orders(), 2);
}

#[tokio::test]
async fn new_apps_get_one_by_themselves_when_told_so() {
    let world = world().await;
    world.ok("apps:create own").await;
    world.ok("domains:set own own.test").await;
    world.ok("certs:generate own own.test").await;
    world.ok("apps:create never").await;
    world.ok("letsencrypt:disable never").await;
    let kept = world
        .control
        .renew_certificates(None, Patience::BackOff)
        .await;
    assert!(kept.unwrap().renewed.is_empty());
    world.ok("letsencrypt:set --global automatic true").await;
    let kept = world
        .control
        .renew_certificates(None, Patience::BackOff)
        .await;
    assert_eq!(kept.unwrap().renewed, [shop()]);
}

#[tokio::test]
async fn what_is_set_wrongly_is_said_before_anything_is_asked() {
    let world = world().await;
    world.ok("letsencrypt:set shop challenge dns-01").await;
    let said = world.refused("letsencrypt:enable shop").await;
    assert!(said.contains("data/letsencrypt/hooks"), "{said}");
    world.ok("letsencrypt:set shop challenge").await;
    world.ok("domains:set shop *.shop.test").await;
    let said = world.refused("letsencrypt:enable shop").await;
    assert!(said.contains("by a DNS record only"), "{said}");
    world.refused("letsencrypt:auto-renew nobody").await;
    assert_eq!(world.issuer.orders(), 0);
}

#[tokio::test]
async fn mappings_follow_the_certificate() {
    let world = world().await;
    world.ok("ports:set shop http:80:3000").await;
    world.ok("certs:generate shop shop.test").await;
    let mapped = world.ok("ports:report shop --ports-map").await;
    assert_eq!(mapped, "http:80:3000 https:443:3000\n");
    world.ok("certs:remove shop").await;
    assert_eq!(
        world.ok("ports:report shop --ports-map").await,
        "http:80:3000\n"
    );
}
