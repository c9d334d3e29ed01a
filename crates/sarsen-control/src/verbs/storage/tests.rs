//! What can be read of storage without an engine.

use sarsen_runtime::fake::Behaviour;

use super::*;
use crate::testing::World;

fn entry(source: &str) -> StorageEntry {
    StorageEntry {
        name: "data".to_owned(),
        source: source.to_owned(),
        owner: None,
        mode: None,
        unnamed: false,
        created_at: 0,
    }
}

#[test]
fn names_owners_and_modes_have_a_form() {
    assert!(entry_name("my-data_1.x").is_ok());
    for bad in ["", "-x", "../x", "a/b", "a b", "a..b", "a;b", ".x"] {
        assert!(entry_name(bad).is_err(), "{bad:?}");
    }
    assert_eq!(owner("heroku").unwrap(), Some(1000));
    assert_eq!(owner("false").unwrap(), None);
    assert!(owner("me").is_err() && owner("-1").is_err());
    assert_eq!(mode("0750").unwrap(), 0o750);
    assert!(mode("8").is_err() && mode("4755").is_err());
    assert!(unnamed("/a").starts_with("legacy-") && unnamed("/a").len() == 17);
}

#[test]
fn a_subpath_is_a_folder_of_the_entry() {
    let mut new = NewMount {
        target: "/d".to_owned(),
        subpath: "sub/x".to_owned(),
        read_only: true,
        ..NewMount::default()
    };
    let mount = to_mount(&entry("/s/data"), &new).unwrap();
    assert_eq!(mount.source, MountSource::Host("/s/data/sub/x".to_owned()));
    assert!(mount.read_only);
    let mount = to_mount(&entry("volume"), &new).unwrap();
    assert_eq!(mount.subpath.as_deref(), Some("sub/x"));
    new.subpath = "../other".to_owned();
    assert!(to_mount(&entry("/s/data"), &new).is_err());
    new.subpath = String::new();
    new.options = "bogus".to_owned();
    assert!(to_mount(&entry("/s/data"), &new).is_err());
}

#[test]
fn phases_are_both_unless_one_is_named() {
    assert_eq!(phases(&[]).unwrap(), "deploy,run");
    assert_eq!(phases(&["run".to_owned()]).unwrap(), "run");
    assert!(phases(&["build".to_owned()]).is_err());
}

#[tokio::test]
async fn a_named_folder_comes_before_a_volume_of_its_name() {
    let world = World::new(Behaviour::default()).await;
    for line in ["apps:create shop", "storage:create uploads"] {
        world.ok(line).await;
    }
    let said = world.ok("storage:mount shop uploads:/data:ro").await;
    assert!(
        said.contains("Mounting the named folder uploads ("),
        "{said}"
    );
    let list = world.ok("storage:list shop --format json").await;
    assert!(list.contains(r#""entry_name":"uploads""#), "{list}");
    assert!(list.contains(r#""readonly":true"#), "{list}");
    world.ok("storage:unmount shop uploads:/data").await;
    // As the dashboard unmounts what it lists.
    world
        .ok("storage:mount shop uploads --container-dir /data")
        .await;
    let path = format!("{}/uploads", world.control.storage_root());
    world
        .ok(&format!("storage:unmount shop {path}:/data"))
        .await;
    let said = world.ok("storage:mount shop volume:/data").await;
    assert!(!said.contains("named folder"), "{said}");
    let list = world.ok("storage:list shop --format json").await;
    assert!(list.contains(r#""host_path":"volume""#), "{list}");
}
