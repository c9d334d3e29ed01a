//! Builds by both of the engine's builders.

use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sarsen_runtime::{
    BuildEngine, BuildItem, BuildSpec, DockerRuntime, EngineStream, Result, RuntimeError,
};

use crate::lab::{BASE, Lab, SOCKET, eventually, image_ref, soon, tar_of, with_runtime};

const ALL: [BuildEngine; 3] = [
    BuildEngine::Auto,
    BuildEngine::BuildKit,
    BuildEngine::Classic,
];

async fn with_builder(engine: BuildEngine, test: impl AsyncFnOnce(&Lab)) {
    let docker = DockerRuntime::connect(Path::new(SOCKET)).unwrap();
    with_runtime(docker.with_build_engine(engine), test).await;
}

fn spec(lab: &Lab) -> BuildSpec {
    BuildSpec {
        dockerfile: "Dockerfile".to_owned(),
        tag: format!("{}:built", lab.name),
        labels: lab.spec(BASE, "").labels,
        ..BuildSpec::default()
    }
}

/// The text of a build, and how it ended.
async fn build(lab: &Lab, spec: &BuildSpec, dockerfile: &str) -> (String, Result<BuildItem>) {
    let name = spec.dockerfile.as_str();
    let context = tar_of(&[(name, dockerfile), ("greeting", "good day\n")]);
    collect(lab.runtime.build(spec, context).await.unwrap()).await
}

async fn collect(items: EngineStream<BuildItem>) -> (String, Result<BuildItem>) {
    let mut items: Vec<_> = soon("the build", items.collect()).await;
    let last = items.pop().unwrap();
    let text = items.into_iter().map(|item| match item.unwrap() {
        BuildItem::Output(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        BuildItem::Done(image) => panic!("{image} before the end"),
    });
    let text: String = text.collect();
    println!("{text}{last:?}");
    (text, last)
}

#[tokio::test]
async fn an_image_is_built_and_named() {
    for engine in ALL {
        with_builder(engine, async |lab: &Lab| {
            let spec = BuildSpec {
                dockerfile: "docker/File".to_owned(),
                target: Some("middle".to_owned()),
                build_args: [("WHO".to_owned(), "it is me".to_owned())].into(),
                ..spec(lab)
            };
            // The label of the first stage lets the test find the image that the classic builder leaves of it.
            let dockerfile = format!(
                "FROM {BASE} AS first\nLABEL com.sarsen.owner={name}\nRUN echo one > /one\n\
                 FROM {BASE} AS middle\nARG WHO\nCOPY --from=first /one /one\nCOPY greeting /\n\
                 RUN cat /greeting; echo $WHO {name} >&2; printf 'no end'\nFROM {BASE}\nRUN exit 1\n",
                name = lab.name
            );
            let (text, last) = build(lab, &spec, &dockerfile).await;
            let Ok(BuildItem::Done(image)) = last else {
                panic!("{last:?}");
            };
            let info = lab.runtime.image(&image_ref(&spec.tag)).await.unwrap();
            assert_eq!(info.id, image);
            assert_eq!(info.labels.get("com.sarsen.owner"), Some(&lab.name));
            let greeting = format!("it is me {}\n", lab.name);
            for words in ["RUN cat /greeting", "good day\n", &greeting, "no end\n"] {
                assert!(text.contains(words), "{engine:?} {words}");
            }
            assert!(!text.contains('\x1b') && !text.contains("\n\n"), "{text:?}");
            assert!(text.matches("] COPY greeting").count() <= 1);

            let (again, last) = build(lab, &spec, &dockerfile).await;
            assert_eq!(last.unwrap(), BuildItem::Done(image));
            assert!(!again.contains("good day"), "{engine:?} {again}");
            assert!(again.to_lowercase().contains("cache"), "{engine:?} {again}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_failing_step_fails_the_build_after_its_output() {
    for engine in ALL {
        with_builder(engine, async |lab: &Lab| {
            let dockerfile = format!("FROM {BASE}\nRUN echo before {}; exit 9\n", lab.name);
            let (text, last) = build(lab, &spec(lab), &dockerfile).await;
            let Err(RuntimeError::BuildFailed(words)) = last else {
                panic!("{engine:?} {last:?}");
            };
            assert!(text.contains(&format!("before {}\n", lab.name)), "{text}");
            assert!(words.ends_with("code: 9"), "{words}");
            assert!(!text.contains("classic builder"), "{text}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_mistake_in_the_dockerfile_is_told() {
    for engine in ALL {
        with_builder(engine, async |lab: &Lab| {
            let dockerfile = format!("FROM {BASE}\nRUM true\n");
            let (_, last) = build(lab, &spec(lab), &dockerfile).await;
            let Err(RuntimeError::BuildFailed(words)) = last else {
                panic!("{engine:?} {last:?}");
            };
            assert!(
                words.to_lowercase().contains("unknown instruction: rum"),
                "{words}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_missing_dockerfile_is_told() {
    for engine in ALL {
        with_builder(engine, async |lab: &Lab| {
            let context = tar_of(&[("greeting", "good day\n")]);
            let items = lab.runtime.build(&spec(lab), context).await.unwrap();
            let (_, last) = collect(items).await;
            let Err(RuntimeError::BuildFailed(words)) = last else {
                panic!("{engine:?} {last:?}");
            };
            assert!(words.contains("Dockerfile"), "{words}");
        })
        .await;
    }
}

#[tokio::test]
async fn the_classic_builder_takes_over_when_a_frontend_cannot_be_had() {
    // A registry that nobody runs.
    let dockerfile = format!("# syntax=127.0.0.1:9/frontend:1\nFROM {BASE}\nRUN echo by classic\n");
    with_builder(BuildEngine::Auto, async |lab: &Lab| {
        let (text, last) = build(
            lab,
            &BuildSpec {
                no_cache: true,
                ..spec(lab)
            },
            &dockerfile,
        )
        .await;
        assert!(matches!(last, Ok(BuildItem::Done(_))), "{last:?}");
        assert!(text.contains("using the classic builder"), "{text}");
        assert!(text.contains("\nby classic\n"), "{text}");
    })
    .await;
    with_builder(BuildEngine::BuildKit, async |lab: &Lab| {
        let (_, last) = build(lab, &spec(lab), &dockerfile).await;
        assert!(
            matches!(last, Err(RuntimeError::BuildFailed(_))),
            "{last:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_context_that_breaks_off_is_told() {
    for engine in ALL {
        with_builder(engine, async |lab: &Lab| {
            let broken = RuntimeError::Engine("the archive broke off".to_owned());
            let pieces = [Ok(Bytes::from_static(&[0; 10])), Err(broken)];
            let context = Box::pin(stream::iter(pieces));
            let items = lab.runtime.build(&spec(lab), context).await.unwrap();
            let (_, last) = collect(items).await;
            assert_eq!(last.unwrap_err().to_string(), "the archive broke off");
        })
        .await;
    }
}

#[tokio::test]
async fn dropping_the_stream_cancels_the_build() {
    for engine in ALL {
        with_builder(engine, async |lab: &Lab| {
            // Its command line is found among the machine's processes: builds run on this host.
            let mark = format!("{}-{engine:?}", lab.name);
            let dockerfile = format!("FROM {BASE}\nRUN sh -c 'sleep 1000; : {mark}'\n");
            let context = tar_of(&[("Dockerfile", &dockerfile)]);
            let mut items = lab.runtime.build(&spec(lab), context).await.unwrap();
            let runs = async || runs(&format!(": {mark}")).then_some(());
            tokio::select! {
                () = eventually("the step runs", runs) => {}
                () = async { while items.next().await.is_some() {} } => panic!("the build ended"),
            }
            drop(items);
            let gone = async || (!self::runs(&format!(": {mark}"))).then_some(());
            eventually("the step is killed", gone).await;
        })
        .await;
    }
}

/// Whether a process of this machine has these words in its command line.
fn runs(words: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.starts_with("sh\0") && line.contains(words)
    })
}
