//! Buildpack lists against a real database.

use sarsen_domain::BuildpackRef;

use crate::StoreError;
use crate::test_support::{TestStore, app};

#[tokio::test]
async fn the_list_is_kept_in_order_doubles_and_all() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let list: Vec<BuildpackRef> = ["python", "https://example.com/x.git#v1", "nodejs"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let buildpacks = store.buildpacks();
    buildpacks.set(&app("a"), &list).await.unwrap();
    assert_eq!(buildpacks.get(&app("a")).await.unwrap(), list);
    buildpacks.set(&app("a"), &list[1..]).await.unwrap();
    assert_eq!(buildpacks.get(&app("a")).await.unwrap(), &list[1..]);
    assert!(buildpacks.get(&app("b")).await.unwrap().is_empty());
    assert!(matches!(
        buildpacks.set(&app("c"), &list).await,
        Err(StoreError::NoSuchApp(_))
    ));
}
