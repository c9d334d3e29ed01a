//! Login keys against a real database.

use sarsen_domain::{KeyName, SshKey};

use crate::test_support::TestStore;
use crate::{Conflict, StoreError};

fn ssh_key(name: &str, body: &str) -> SshKey {
    SshKey {
        name: KeyName::parse(name).unwrap(),
        fingerprint: format!("SHA256:{body}"),
        public_key: format!("ssh-ed25519 AAAA{body}"),
    }
}

#[tokio::test]
async fn a_name_and_a_key_are_each_there_once() {
    let store = TestStore::new().await;
    let keys = store.ssh_keys();
    keys.add(&ssh_key("ann", "1")).await.unwrap();
    keys.add(&ssh_key("bob", "2")).await.unwrap();
    let error = keys.add(&ssh_key("ann", "3")).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Conflict(Conflict::KeyName(name)) if name.as_str() == "ann")
    );
    let error = keys.add(&ssh_key("carl", "2")).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Conflict(Conflict::PublicKey(name)) if name.as_str() == "bob")
    );
    let error = keys.add(&ssh_key("ann", "2")).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Conflict(Conflict::KeyName(_))),
        "{error}"
    );
    let listed = keys.list().await.unwrap();
    assert_eq!(listed, [ssh_key("ann", "1"), ssh_key("bob", "2")]);
}

#[tokio::test]
async fn found_by_key_and_removed_by_name_or_fingerprint() {
    let store = TestStore::new().await;
    let keys = store.ssh_keys();
    keys.add(&ssh_key("ann", "1")).await.unwrap();
    keys.add(&ssh_key("bob", "2")).await.unwrap();
    let found = keys.find_by_public_key("ssh-ed25519 AAAA2").await.unwrap();
    assert_eq!(found, Some(ssh_key("bob", "2")));
    assert_eq!(
        keys.find_by_public_key("ssh-ed25519 AAAA").await.unwrap(),
        None
    );
    let ann = KeyName::parse("ann").unwrap();
    assert_eq!(
        keys.remove_by_name(&ann).await.unwrap(),
        ssh_key("ann", "1")
    );
    let error = keys.remove_by_name(&ann).await.unwrap_err();
    assert_eq!(error.to_string(), "SSH key ann does not exist");
    assert_eq!(
        keys.remove_by_fingerprint("SHA256:2").await.unwrap(),
        ssh_key("bob", "2")
    );
    assert!(keys.remove_by_fingerprint("SHA256:2").await.is_err());
    assert!(keys.list().await.unwrap().is_empty());
}
