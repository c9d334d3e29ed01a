//! Links are used once, secrets change, and what belongs to a key goes with it.

use sarsen_domain::{KeyName, Right, Rights, SshKey};

use super::*;
use crate::test_support::{TestStore, app};

fn key(name: &str) -> SshKey {
    SshKey {
        name: KeyName::parse(name).unwrap(),
        fingerprint: format!("SHA256:{name}"),
        public_key: format!("ssh-ed25519 {name}"),
    }
}

fn new(hash: u8) -> NewSession<'static> {
    NewSession {
        hash: [hash; 32],
        csrf: "c",
        source: None,
        agent: "b",
    }
}

#[tokio::test]
async fn a_link_opens_one_session_and_goes_with_its_key() {
    let store = TestStore::new().await;
    let ada = key("ada");
    store.ssh_keys().add(&ada).await.unwrap();
    let holder = Holder::Key {
        name: ada.name.clone(),
    };
    let web = store.web_sessions();
    for link in 1..=3 {
        web.add_link(&[link; 32], &holder, i64::MAX - 3 + i64::from(link), 2)
            .await
            .unwrap();
    }
    let opened = web.redeem(&[3; 32], &new(9), 100).await.unwrap();
    assert_eq!(opened, Some(holder.clone()));
    assert_eq!(web.redeem(&[3; 32], &new(8), 100).await.unwrap(), None);
    let session = web.find(&[9; 32]).await.unwrap().unwrap();
    assert!(session.holder == holder && !session.is_previous);

    assert!(web.rotate(&[9; 32], &[10; 32], 200).await.unwrap());
    assert!(!web.rotate(&[9; 32], &[11; 32], 200).await.unwrap());
    assert!(web.find(&[9; 32]).await.unwrap().unwrap().is_previous);
    assert!(!web.find(&[10; 32]).await.unwrap().unwrap().is_previous);

    store.ssh_keys().remove_by_name(&ada.name).await.unwrap();
    assert_eq!(web.find(&[10; 32]).await.unwrap(), None);
    store.ssh_keys().add(&ada).await.unwrap();
    assert_eq!(web.redeem(&[2; 32], &new(8), 100).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_old_is_void() {
    let store = TestStore::new().await;
    let web = store.web_sessions();
    let holder = Holder::Local {
        user: "root".to_owned(),
    };
    web.add_link(&[1; 32], &holder, i64::MAX, 9).await.unwrap();
    assert_eq!(web.redeem(&[1; 32], &new(9), i64::MAX).await.unwrap(), None);
    web.redeem(&[1; 32], &new(9), 1000).await.unwrap().unwrap();
    web.prune(500, 1000, 9).await.unwrap();
    assert_eq!(web.list().await.unwrap().len(), 1);
    let id = web.list().await.unwrap()[0].id;
    web.seen(id, 2000).await.unwrap();
    web.prune(500, 2001, 9).await.unwrap();
    assert!(web.list().await.unwrap().is_empty() && !web.end(id).await.unwrap());
}

#[tokio::test]
async fn tokens_keep_to_what_they_were_made_for() {
    let store = TestStore::with_apps(&["shop", "blog"]).await;
    let holder = Holder::Local {
        user: "root".to_owned(),
    };
    let limit = Rights {
        everywhere: None,
        apps: [(app("shop"), Right::Deploy), (app("blog"), Right::Read)].into(),
    };
    let token = NewToken {
        name: "ci",
        hash: [1; 32],
        holder: &holder,
        limit: &limit,
        expires_at: None,
    };
    store.api_tokens().create(&token).await.unwrap();
    let again = store.api_tokens().create(&token).await.unwrap_err();
    assert!(again.to_string().contains("ci"), "{again}");
    let found = store.api_tokens().find(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(found.limit, limit);
    store.apps().destroy(&app("shop")).await.unwrap();
    store.api_tokens().used(found.id, 7).await.unwrap();
    let found = store.api_tokens().list().await.unwrap().remove(0);
    assert_eq!(
        (found.limit.on(&app("shop")), found.used_at),
        (None, Some(7))
    );
    assert!(store.api_tokens().revoke(found.id).await.unwrap());
    assert_eq!(store.api_tokens().find(&[1; 32]).await.unwrap(), None);
}
