//! Links, sessions, tokens and runs over a store and an engine in memory.

use std::time::Duration;

use sarsen_domain::{Right, Rights};
use sarsen_runtime::fake::Behaviour;
use sarsen_store::Holder;

use super::*;
use crate::testing::World;
use crate::web::sessions::Look;
use crate::web::tokens::Shown;

fn sign_in(token: &str) -> SignIn<'_> {
    SignIn {
        token,
        source: Some([192, 0, 2, 7].into()),
        agent: "browser\n",
    }
}

async fn key(world: &World, name: &str, app: &str, right: Right) -> Holder {
    let name = world.key(name, app, right).await;
    Holder::Key { name }
}

async fn session(world: &World, secret: &str) -> Option<WebSession> {
    let look = world.control.web_session(secret, None, Look::MayRotate);
    look.await.unwrap()
}

#[tokio::test]
async fn a_link_opens_one_session_that_follows_its_key() {
    let world = World::new(Behaviour::default()).await;
    world.ok("apps:create shop").await;
    world.ok("apps:create blog").await;
    let bob = key(&world, "bob", "shop", Right::Deploy).await;
    let token = world.control.issue_link(&bob).await.unwrap();
    let opened = world.control.sign_in(sign_in(&token)).await.unwrap();
    let Opened::Session(secret) = opened else {
        panic!("{opened:?}")
    };
    let again = world.control.sign_in(sign_in(&token)).await.unwrap();
    assert_eq!(again, Opened::Nothing);
    assert!(
        session(&world, &token).await.is_none(),
        "a link is no session"
    );

    let (shop, blog) = ("shop".parse().unwrap(), "blog".parse().unwrap());
    let found = session(&world, &secret).await.unwrap();
    assert!(found.actor.may(Action::Deploy, Some(&shop)) && found.actor.sees(&shop));
    assert!(!found.actor.sees(&blog) && !found.actor.may(Action::Keys, None));
    assert!(found.csrf.len() == 43 && found.csrf != secret);
    assert_eq!(
        world
            .control
            .admit(&found.actor, Action::Read, "blog")
            .await,
        Err(Refusal::Unseen)
    );
    let denied = world
        .control
        .admit(&found.actor, Action::Host, "shop")
        .await;
    assert!(matches!(denied, Err(Refusal::Denied(_))), "{denied:?}");

    let rows = world.ok("dashboard:sessions").await;
    assert!(rows.contains("bob") && rows.contains("192.0.2.7"), "{rows}");
    world.ok("access:remove bob shop").await;
    assert!(
        session(&world, &secret).await.is_none(),
        "no rights, no session"
    );
    world.ok("access:add bob shop read").await;
    assert!(session(&world, &secret).await.is_some());
    world.ok("dashboard:logout --all").await;
    assert!(session(&world, &secret).await.is_none());
    assert!(world.ok("events").await.contains("bob dashboard:sign-in"));
}

#[tokio::test]
async fn sessions_outlive_the_daemon_and_their_secret_changes() {
    let world = World::new(Behaviour::default()).await;
    let root = Holder::Local {
        user: "root".to_owned(),
    };
    let token = world.control.issue_link(&root).await.unwrap();
    let Opened::Session(secret) = world.control.sign_in(sign_in(&token)).await.unwrap() else {
        panic!("no session");
    };
    let world = world.restarted().await;
    let first = session(&world, &secret).await.unwrap();
    assert!(first.rotated.is_none(), "not yet");
    assert!(first.actor.may(Action::Host, None) && !first.actor.may(Action::Root, None));
    let hash = super::secrets::hash;
    let web = world.control.store.web_sessions();
    let long_ago = crate::time::now() - 3601;
    assert!(
        web.rotate(&hash(&secret), &hash("second"), long_ago)
            .await
            .unwrap()
    );
    assert!(session(&world, &secret).await.is_none(), "its time is over");
    let third = session(&world, "second").await.unwrap().rotated.unwrap();
    let under_way = session(&world, "second").await.unwrap();
    assert!(under_way.rotated.is_none(), "good for a moment more");
    assert_eq!(session(&world, &third).await.unwrap().id, first.id);
}

#[tokio::test]
async fn many_wrong_links_close_the_door() {
    let world = World::new(Behaviour::default()).await;
    for _ in 0..10 {
        let wrong = world.control.sign_in(sign_in("x")).await.unwrap();
        assert_eq!(wrong, Opened::Nothing);
    }
    assert_eq!(
        world.control.sign_in(sign_in("x")).await.unwrap(),
        Opened::Wait
    );
    let root = Holder::Local {
        user: "root".to_owned(),
    };
    let token = world.control.issue_link(&root).await.unwrap();
    let opened = world.control.sign_in(sign_in(&token)).await.unwrap();
    assert!(
        matches!(opened, Opened::Session(_)),
        "a good one all the same"
    );
}

#[tokio::test]
async fn a_token_may_no_more_than_it_and_its_holder() {
    let world = World::new(Behaviour::default()).await;
    world.ok("apps:create shop").await;
    world.ok("apps:create blog").await;
    key(&world, "bob", "shop", Right::Deploy).await;
    let line = "tokens:create --key bob --right read ci";
    let secret = world.ok(line).await.trim().to_owned();
    assert!(secret.starts_with("sarsen_"));
    assert!(world.refused(line).await.contains("ci"));
    let Shown::Actor(actor) = world.control.token_actor(&secret, None).await.unwrap() else {
        panic!("the token is good");
    };
    let shop = "shop".parse().unwrap();
    assert!(actor.may(Action::Read, Some(&shop)) && !actor.may(Action::Change, Some(&shop)));
    assert!(!actor.may(Action::Own, None), "tokens do not make tokens");
    let listed = world.ok("tokens:list").await;
    assert!(
        listed.contains("read on shop") && !listed.contains(&secret),
        "{listed}"
    );
    assert!(
        world
            .refused("tokens:create --key bob --on blog x")
            .await
            .contains("nothing")
    );
    world.refused("tokens:create --key nobody x").await;
    world.refused("tokens:create --on nowhere x").await;
    world.refused("tokens:create --days 0 x").await;
    world.refused("tokens:revoke other").await;
    world.ok("tokens:revoke ci").await;
    let shown = world.control.token_actor(&secret, None).await.unwrap();
    assert!(matches!(shown, Shown::Nothing));
}

#[tokio::test]
async fn a_run_goes_on_alone_and_is_its_owners() {
    let world = World::new(Behaviour::default()).await;
    let actor = WebActor {
        holder: Holder::Local {
            user: "root".to_owned(),
        },
        fingerprint: None,
        pass: WebPass::Session(1),
        source: Some([192, 0, 2, 7].into()),
        limit: None,
        rights: Rights::default(),
    };
    let order = Order {
        argv: vec!["apps:create".to_owned(), "shop".to_owned()],
        stdin: Vec::new(),
        shown: "sarsen apps:create shop".to_owned(),
        app: None,
        keeping: Keeping::OneLook,
    };
    let id = world.control.begin_run_of(&actor, order).unwrap();
    let patience = Duration::from_secs(10);
    let view = world
        .control
        .await_run(&actor, &id, patience)
        .await
        .unwrap();
    assert_eq!((view.state, view.exit_code), (RunState::Ended, Some(0)));
    assert!(view.output.contains("shop"), "{}", view.output);
    assert!(
        !world
            .control
            .run_view(&actor, &id)
            .unwrap()
            .output
            .is_empty()
    );
    assert!(
        world
            .control
            .run_view(&actor, &id)
            .unwrap()
            .output
            .is_empty()
    );
    let events = world.control.store.events().list(1).await.unwrap();
    assert_eq!(events[0].detail["door"], "dashboard");
    assert_eq!(events[0].source_ip, actor.source);
}
