//! Builds with a Dockerfile.

use std::time::Duration;

use sarsen_build::{BuildError, Pull};
use sarsen_domain::container::label;
use sarsen_domain::{BuildId, BuilderKind, ImageRef, ProcessType};
use sarsen_runtime::BuildEngine;

use crate::fixture::{BASE, Fixture, engine, eventually, run, run_on};

#[tokio::test]
async fn a_dockerfile_becomes_an_image() {
    run(async |fixture| {
        fixture.set_config("SECRET", "config-is-not-for-images");
        fixture
            .options
            .build_args
            .insert("COLOUR".to_owned(), "gre en".to_owned());
        let dockerfile = format!(
            "FROM {BASE}\nARG COLOUR\nARG SECRET=none\nCOPY . /srv\n\
             RUN echo \"colour $COLOUR secret $SECRET\" >/srv/said\nEXPOSE 3000 3001\nEXPOSE 53/udp\nCMD [\"cat\", \"/srv/said\"]\n"
        );
        let built = fixture
            .build(&[
                ("Dockerfile", &dockerfile),
                ("Procfile", "worker: ./work\n"),
                ("app.json", r#"{"scripts": {"dokku": {"predeploy": "x"}}}"#),
            ])
            .await
            .unwrap();
        assert_eq!(built.builder, BuilderKind::Dockerfile);
        assert!(built.image.is_id() && built.size > 1_000_000);
        let ports: Vec<_> = built.detected_ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["http:3000:3000", "udp:53:53"]);
        let worker = ProcessType::parse("worker").unwrap();
        assert_eq!(built.procfile.command(&worker), Some("./work"));
        let (_, app_json) = built.app_json.unwrap();
        assert_eq!(app_json.predeploy.as_deref(), Some("x"));
        let latest = fixture.latest().await.unwrap();
        assert_eq!(latest.id, built.image);
        assert_eq!(latest.labels[label::APP], fixture.app.as_str());
        assert_eq!(latest.labels[label::BUILDER], "dockerfile");
        assert_eq!(latest.labels[label::IMAGE_STAGE], "release");
        assert!(latest.labels.contains_key(label::BUILD));
        let said = fixture.output(fixture.spec(&built.image)).await;
        assert_eq!(said, "colour gre en secret none\n");
        let text = fixture.progress.text();
        let header = format!("-----> Building {} from Dockerfile\n", fixture.app);
        assert!(text.starts_with(&header), "{text}");
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn a_failing_step_keeps_the_old_image() {
    run(async |fixture| {
        let good = format!("FROM {BASE}\nCMD [\"true\"]\n");
        let built = fixture.build(&[("Dockerfile", &good)]).await.unwrap();
        assert!(built.procfile.is_empty());
        let bad = format!("FROM {BASE}\nRUN echo about to; exit 7\n");
        let error = fixture.build(&[("Dockerfile", &bad)]).await.unwrap_err();
        let sentence = error.to_string();
        assert!(matches!(error, BuildError::Failed(_)), "{error:?}");
        assert!(
            sentence.starts_with("The build failed: ") && sentence.contains('7'),
            "{sentence}"
        );
        assert!(fixture.progress.text().contains("about to"));
        assert_eq!(fixture.latest().await.unwrap().id, built.image);
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn mistakes_in_the_source_are_named_before_the_build() {
    run(async |fixture| {
        let dockerfile = format!("FROM {BASE}\n");
        let cases: [(&[(&str, &str)], &str); 4] = [
            (
                &[("Dockerfile", &dockerfile), ("Procfile", "web")],
                "Invalid Procfile: line 1",
            ),
            (
                &[("Dockerfile", &dockerfile), ("app.json", "[]")],
                "Invalid app.json",
            ),
            (
                &[("Dockerfile", &dockerfile), (".dockerignore", "a\n[")],
                "Invalid .dockerignore: line 2",
            ),
            (
                &[("Dockerfile", &dockerfile), (".buildpacks", "/root")],
                "only buildpacks:set may do",
            ),
        ];
        for (files, expected) in cases {
            let error = fixture.build(files).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        fixture.options.selected = Some(BuilderKind::Dockerfile);
        let missing = fixture.build(&[("a", "")]).await.unwrap_err().to_string();
        assert!(
            missing.starts_with("There is no Dockerfile in the source"),
            "{missing}"
        );
        fixture.options.dockerfile_path = "../Dockerfile".to_owned();
        let outside = fixture.build(&[("a", "")]).await.unwrap_err().to_string();
        assert!(outside.contains("a path inside the source"), "{outside}");
        assert_eq!(fixture.progress.text(), "");
    })
    .await;
}

#[tokio::test]
async fn another_dockerfile_with_rules_of_its_own() {
    run(async |fixture| {
        fixture.options.dockerfile_path = "deploy/Web.Dockerfile".to_owned();
        fixture.options.procfile_path = "deploy/Procfile".to_owned();
        let dockerfile = format!("FROM {BASE}\nCOPY . /srv\nCMD ls /srv\n");
        let built = fixture
            .build(&[
                ("Dockerfile", "FROM nowhere"),
                ("deploy/Web.Dockerfile", &dockerfile),
                (
                    "deploy/Web.Dockerfile.dockerignore",
                    "deploy\nDockerfile\nsecret\n",
                ),
                (".dockerignore", "wanted\n"),
                ("deploy/Procfile", "web: run\n"),
                ("wanted", ""),
                ("secret", ""),
            ])
            .await
            .unwrap();
        assert!(built.procfile.command(&ProcessType::web()).is_some());
        let listed = fixture.output(fixture.spec(&built.image)).await;
        assert!(listed.contains("wanted"), "{listed}");
        assert!(
            !listed.contains("secret") && !listed.contains("Dockerfile"),
            "{listed}"
        );
    })
    .await;
}

#[tokio::test]
async fn cancelling_leaves_nothing() {
    run(cancel_in_the_middle).await;
}

#[tokio::test]
async fn cancelling_the_classic_builder_leaves_nothing() {
    run_on(
        engine().with_build_engine(BuildEngine::Classic),
        cancel_in_the_middle,
    )
    .await;
}

async fn cancel_in_the_middle(fixture: &mut Fixture) {
    let marker = format!("33{:08}", rand::random::<u32>() % 100_000_000);
    let dockerfile =
        format!("FROM {BASE}\nENV MARKER={marker}\nRUN echo now${{MARKER}}; exec sleep {marker}\n");
    let files = [("Dockerfile", dockerfile.as_str())];
    let said = format!("now{marker}");
    let cancel = async {
        fixture.progress.heard(&said).await;
        fixture.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(fixture.build(&files), cancel);
    assert!(matches!(outcome, Err(BuildError::Cancelled)), "{outcome:?}");
    eventually("the step ends", async || !is_running(&marker)).await;
    let env = format!("MARKER={marker}");
    eventually("its container goes", async || {
        let containers = fixture.runtime.list(&[]).await.unwrap_or_default();
        !containers
            .iter()
            .any(|container| container.env.contains(&env))
    })
    .await;
    assert!(fixture.latest().await.is_none());
    fixture.nothing_left().await;
}

/// Whether a process of this host has the word among its arguments.
fn is_running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes.flatten().any(|process| {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == word.as_bytes())
    })
}

#[tokio::test]
async fn a_silent_build_is_given_up() {
    run(async |fixture| {
        fixture.settings.silence_limit = Duration::from_secs(3);
        let dockerfile = format!("FROM {BASE}\nRUN sleep 60\n");
        let error = fixture
            .build(&[("Dockerfile", &dockerfile)])
            .await
            .unwrap_err();
        assert!(matches!(error, BuildError::Silent(_)), "{error:?}");
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn an_image_is_adopted_as_it_is() {
    run(async |fixture| {
        let builder = fixture.builder();
        let base = ImageRef::parse(BASE).unwrap();
        let adopt = async |image: &ImageRef| {
            builder
                .adopt(
                    image,
                    Pull::IfMissing,
                    &[],
                    &fixture.progress,
                    &fixture.cancel,
                )
                .await
        };
        let built = adopt(&base).await.unwrap();
        assert_eq!(built.builder, BuilderKind::Null);
        assert_eq!(built.image, fixture.runtime.image(&base).await.unwrap().id);
        assert_eq!(built.detected_ports[0].to_string(), "http:80:5000");
        let absent = ImageRef::parse("localhost:9/sarsen/absent:1").unwrap();
        let error = adopt(&absent).await.unwrap_err().to_string();
        assert!(
            error.starts_with("Could not pull localhost:9/sarsen/absent:1: "),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn the_procfile_in_an_image_is_found() {
    run(async |fixture| {
        let builder = fixture.builder();
        let dockerfile = format!("FROM {BASE}\nWORKDIR /srv\nCOPY . .\nCMD []\n");
        let source = [
            ("Dockerfile", &*dockerfile),
            ("Procfile", "worker: ./work\n"),
        ];
        let image = fixture.build(&source).await.unwrap().image;
        let bring = async |path: &str| {
            let (progress, cancel) = (&fixture.progress, &fixture.cancel);
            let adopted = builder.adopt(&image, Pull::IfMissing, &[], progress, cancel);
            let mut built = adopted.await.unwrap();
            let build = BuildId::from_parts(1, 1);
            builder
                .bring_processes(&fixture.app, &build, &mut built, path)
                .await
                .unwrap();
            built
        };
        let built = bring("Procfile").await;
        let worker = ProcessType::parse("worker").unwrap();
        assert_eq!(built.procfile.command(&worker), Some("./work"));
        assert_eq!(built.builder, BuilderKind::Null);
        assert!(bring("other/Procfile").await.procfile.is_empty());
        fixture.nothing_left().await;
    })
    .await;
}
