//! Values that tests of several modules need.

use sarsen_domain::{
    AppName, BuildId, BuilderKind, Config, EnvKey, Formation, ImageRef, Procfile, Release,
    ReleaseNumber, ReleaseState,
};
use sarsen_runtime::ImageInfo;

/// The image's name on the fake engine.
pub(crate) const IMAGE: &str = "test/app:latest";

/// A release of `app`.
pub(crate) fn release(builder: BuilderKind, procfile: &str) -> Release {
    Release {
        app: AppName::parse("app").unwrap(),
        number: ReleaseNumber(3),
        state: ReleaseState::Pending,
        image: ImageRef::parse(IMAGE).unwrap(),
        builder,
        commit: None,
        config: Config::from_iter([(EnvKey::parse("A").unwrap(), "1".to_owned())]),
        procfile: Procfile::parse(procfile).unwrap(),
        formation: Formation::initial(),
        detected_ports: vec![],
        app_json: None,
        build: BuildId::from_parts(0, 0),
        author: "me".into(),
        description: "Deploy".into(),
        created_at: 0,
    }
}

/// An image with a command of its own.
pub(crate) fn image() -> ImageInfo {
    ImageInfo {
        id: ImageRef::parse(IMAGE).unwrap(),
        tags: vec![],
        labels: Default::default(),
        exposed: vec![],
        env: vec![],
        entrypoint: vec![],
        command: vec!["own".into()],
        workdir: "/".into(),
        user: String::new(),
        has_healthcheck: false,
        size: 0,
        created_at: String::new(),
    }
}
