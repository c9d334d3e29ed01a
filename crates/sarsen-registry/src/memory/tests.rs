//! What is believed of what was written down.

use super::*;

fn own() -> FirstProcess {
    FirstProcess::behind(std::process::id(), "127.0.0.1".parse().unwrap()).unwrap()
}

fn sighting(process: Option<FirstProcess>, address: &str) -> Sighting {
    let id = ContainerId::parse("abc").unwrap();
    Sighting {
        started: 7,
        process,
        conditions: Vec::new(),
        offers: vec![Offer {
            check: None,
            service: Service {
                id: "h:shop.web.1:5000".into(),
                name: "shop".into(),
                address: address.parse().unwrap(),
                tags: vec!["a".into()],
                attributes: BTreeMap::from([("token".into(), "secret".into())]),
                health: Health::Passing,
                container: id.clone(),
                owner: Some(ServiceOwner {
                    app: AppName::parse("shop").unwrap(),
                    process: ProcessType::web(),
                    instance: 3,
                    dyno: "web.1".into(),
                }),
            },
        }],
        id,
    }
}

async fn kept(folder: &tempfile::TempDir, sightings: Vec<Sighting>) -> PathBuf {
    let path = folder.path().join("catalog.json");
    let memory = Memory::at(path.clone());
    memory.keep(&sightings, |_| true).await.unwrap();
    path
}

#[tokio::test]
async fn what_still_holds_comes_back_without_what_only_others_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = kept(&folder, vec![sighting(Some(own()), "127.0.0.1:5000")]).await;
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let mut recalled = Memory::at(path).recall();
    assert_eq!(recalled.len(), 1);
    let recalled = recalled.remove(0);
    let mut expected = sighting(Some(own()), "127.0.0.1:5000");
    expected.offers[0].service.tags.clear();
    expected.offers[0].service.attributes.clear();
    assert_eq!(recalled.id, expected.id);
    assert_eq!(recalled.started, 7);
    assert_eq!(recalled.process, Some(own()));
    assert_eq!(recalled.offers, expected.offers);
}

#[tokio::test]
async fn what_cannot_be_confirmed_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody knows its process; its address is somebody else's now; it is of another boot; the file is cut off.
    let path = kept(&folder, vec![sighting(None, "127.0.0.1:5000")]).await;
    assert!(Memory::at(path).recall().is_empty());
    let path = kept(&folder, vec![sighting(Some(own()), "192.0.2.1:5000")]).await;
    assert!(Memory::at(path).recall().is_empty());
    let path = kept(&folder, vec![sighting(Some(own()), "127.0.0.1:5000")]).await;
    let text = fs::read_to_string(&path).unwrap();
    let boot = process::boot().unwrap();
    fs::write(&path, text.replace(&boot, "another")).unwrap();
    assert!(Memory::at(path.clone()).recall().is_empty());
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(Memory::at(path.clone()).recall().is_empty());
    fs::remove_file(&path).unwrap();
    assert!(Memory::at(path).recall().is_empty());
}

#[tokio::test]
async fn the_file_is_written_when_something_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.json");
    let memory = Memory::at(path.clone());
    let known = [sighting(Some(own()), "127.0.0.1:5000")];
    memory.keep(&known, |_| true).await.unwrap();
    fs::remove_file(&path).unwrap();
    memory.keep(&known, |_| true).await.unwrap();
    assert!(!path.exists(), "nothing was new");
    memory.keep(&known, |_| false).await.unwrap();
    assert!(path.exists(), "it passes no longer");
    assert!(Memory::at(path).recall().is_empty());
}
