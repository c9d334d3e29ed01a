//! One story for every authority, and what only a real one shows. The real one is Pebble.

mod pebble;

use std::time::Duration;

use sarsen_domain::Domain;

use super::*;
use crate::tls::{Certificates, KeyPair};
use pebble::{Pebble, World};

fn order(hosts: &[&str], proof: Proof) -> CertOrder {
    CertOrder {
        hosts: hosts.iter().map(|h| Domain::parse(h).unwrap()).collect(),
        proof,
    }
}

/// What any authority does. It must refuse `blocked.test`.
async fn story(issuer: &dyn CertIssuer, authority: &Authority) {
    let account = issuer.register(authority).await.unwrap();
    let hosts = ["a.test", "www.a.test"];
    let issued = issuer
        .issue(authority, &account, &order(&hosts, Proof::Http01))
        .await
        .unwrap();
    let pair = KeyPair::from_pem(&issued.chain, issued.key.expose()).unwrap();
    assert!(hosts.iter().all(|host| pair.facts().covers(host)));

    let blocked = order(&["a.test", "blocked.test"], Proof::Http01);
    let error = issuer
        .issue(authority, &account, &blocked)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, IssueError::Refused(why) if why.contains("blocked.test")),
        "{error}"
    );

    let wildcard = order(&["*.a.test"], Proof::Http01);
    let error = issuer
        .issue(authority, &account, &wildcard)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, IssueError::Proof(why) if why.contains("DNS hook")),
        "{error}"
    );

    issuer
        .revoke(authority, &account, &issued.chain)
        .await
        .unwrap();
    let error = issuer
        .revoke(authority, &account, &issued.chain)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, IssueError::Refused(why) if why.contains("revoked")),
        "{error}"
    );
}

#[tokio::test]
async fn the_fake_keeps_the_contract() {
    let challenges = Challenges::default();
    let fake = FakeIssuer::new(challenges);
    fake.refuse(Domain::parse("blocked.test").unwrap());
    let authority = Authority {
        directory: "https://fake.test".to_owned(),
        email: String::new(),
        ca_root: None,
    };
    story(&fake, &authority).await;
    fake.set_away(Away::Yes);
    let error = fake.register(&authority).await.unwrap_err();
    assert!(matches!(error, IssueError::Unreachable(_)));
}

#[tokio::test]
async fn an_authority_that_was_set_up_anew_does_not_know_the_account() {
    let world = World::new().await;
    let pebble = Pebble::start(&world).await;
    let (issuer, authority) = (world.issuer(), pebble.authority());
    let account = issuer.register(&authority).await.unwrap();
    // The same account, as the other one would call it.
    let other = Pebble::start(&world).await;
    let another = other.authority();
    let place = |authority: &Authority| authority.directory.trim_end_matches("/dir").to_owned();
    let moved = account
        .expose()
        .replace(&place(&authority), &place(&another));
    let (moved, wanted) = (moved.into(), order(&["a.test"], Proof::Http01));
    let asked = issuer.issue(&another, &moved, &wanted);
    let error = asked.await.unwrap_err();
    assert!(matches!(error, IssueError::UnknownAccount(_)), "{error}");
}

#[tokio::test]
async fn pebble_keeps_the_contract() {
    let world = World::new().await;
    let pebble = Pebble::start(&world).await;
    let issuer = world.issuer();
    story(&issuer, &pebble.authority()).await;
}

#[tokio::test]
async fn a_name_is_proved_by_a_handshake() {
    let world = World::new().await;
    let pebble = Pebble::start(&world).await;
    let (issuer, authority) = (world.issuer(), pebble.authority());
    let account = issuer.register(&authority).await.unwrap();
    let wanted = order(&["a.test"], Proof::TlsAlpn01);
    let issued = issuer.issue(&authority, &account, &wanted).await.unwrap();
    KeyPair::from_pem(&issued.chain, issued.key.expose()).unwrap();
}

#[tokio::test]
async fn a_wildcard_is_proved_by_a_hook() {
    let world = World::new().await;
    let pebble = Pebble::start(&world).await;
    let (issuer, authority) = (world.issuer(), pebble.authority());
    let account = issuer.register(&authority).await.unwrap();
    let hook = pebble.hook();
    let wanted = order(&["*.a.test", "a.test"], Proof::Dns01(hook.clone()));
    let issued = issuer.issue(&authority, &account, &wanted).await.unwrap();
    let pair = KeyPair::from_pem(&issued.chain, issued.key.expose()).unwrap();
    assert!(pair.facts().covers("any.a.test"));
    let calls = std::fs::read_to_string(hook.path.with_file_name("calls")).unwrap();
    let count = |word: &str| calls.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("present"), count("cleanup")), (2, 2), "{calls}");
}

#[tokio::test]
async fn who_does_not_answer_at_the_name_is_told_so_in_the_authoritys_words() {
    let world = World::new().await;
    let pebble = Pebble::start(&world).await;
    let authority = pebble.authority();
    // Its challenges are nobody's: no listener shows them.
    let elsewhere = AcmeIssuer::new(Challenges::default(), Certificates::default());
    let account = elsewhere.register(&authority).await.unwrap();
    let wanted = order(&["a.test"], Proof::Http01);
    let error = elsewhere
        .issue(&authority, &account, &wanted)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("The certificate authority refused: a.test: "),
        "{text}"
    );
    assert!(
        text.contains("404") && text.contains("unauthorized"),
        "{text}"
    );
}

#[tokio::test]
async fn an_authority_that_is_away_or_a_stranger_is_unreachable() {
    let world = World::new().await;
    let mut pebble = Pebble::start(&world).await;
    let issuer = world.issuer();
    let stranger = Authority {
        ca_root: None,
        ..pebble.authority()
    };
    let error = issuer.register(&stranger).await.unwrap_err();
    assert!(matches!(error, IssueError::Unreachable(_)), "{error}");
    let authority = pebble.authority();
    pebble.stop().await;
    let away = tokio::time::timeout(Duration::from_secs(10), issuer.register(&authority));
    let error = away.await.unwrap().unwrap_err();
    assert!(matches!(error, IssueError::Unreachable(_)), "{error}");
    let unusable = Authority {
        ca_root: Some("/does/not/exist".into()),
        ..authority
    };
    let error = issuer.register(&unusable).await.unwrap_err();
    assert!(error.to_string().contains("acme.ca_root"), "{error}");
}
