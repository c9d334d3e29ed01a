//! Builds with buildpacks, in the stack image.

use std::time::Duration;

use futures_util::StreamExt;
use sarsen_build::BuildError;
use sarsen_domain::container::label;
use sarsen_domain::{BuilderKind, BuildpackRef, ImageRef, ProcessType};
use sarsen_runtime::BuildSpec;

use crate::fixture::{Fixture, run, write_files};

const SECRET: &str = "s3cret-nobody-must-find";

/// A buildpack in a folder of the host, whose compile script ends with these lines.
fn local_buildpack(fixture: &mut Fixture, compile: &str) {
    let folder = fixture.path("packs/mine");
    let compile = format!("#!/usr/bin/env bash\nset -eu\n{compile}\n");
    write_files(
        &folder,
        &[
            ("bin/detect", "#!/bin/sh\necho Mine\n"),
            ("bin/compile", &compile),
            (
                "bin/release",
                "#!/bin/sh\nprintf -- '---\\ndefault_process_types:\\n  web: ./default\\n  clock: \"tick: tock\"\\n'\n",
            ),
            ("link", "-> bin/detect"),
        ],
    );
    let reference = BuildpackRef::parse(folder.to_str().unwrap()).unwrap();
    fixture.options.buildpacks.push(reference);
}

#[tokio::test]
async fn a_procfile_is_enough() {
    run(async |fixture| {
        fixture.set_config("SECRET", SECRET);
        let built = fixture
            .build(&[
                (
                    "Procfile",
                    "web: id -u; pwd; echo port $PORT; stat -c %U:%G%a /app /app/sub /app/sub/x\n",
                ),
                ("sub/x", "x"),
                ("long link", "-> sub/x"),
            ])
            .await
            .unwrap();
        assert_eq!(built.builder, BuilderKind::Herokuish);
        assert_eq!(built.buildpacks, ["procfile"]);
        assert_eq!(built.detected_ports[0].to_string(), "http:80:5000");
        let image = fixture.latest().await.unwrap();
        assert_eq!(image.id, built.image);
        assert_eq!(image.command, ["/start", "web"]);
        assert_eq!(
            (image.user.as_str(), image.workdir.as_str()),
            ("32767:32767", "/app")
        );
        assert_eq!(image.labels[label::BUILDER], "herokuish");
        assert!(
            !image.labels.contains_key(label::CONTAINER_TYPE),
            "{:?}",
            image.labels
        );
        let mut spec = fixture.spec(&built.image);
        spec.env.push("PORT=5000".to_owned());
        let said = fixture.output(spec).await;
        let expected =
            "32767\n/app\nport 5000\nsarsen:sarsen755\nsarsen:sarsen755\nsarsen:sarsen644\n";
        assert_eq!(said, expected);
        let text = fixture.progress.text();
        let header = format!(
            "-----> Building {} with buildpacks (stack heroku-24)\n",
            fixture.app
        );
        assert!(text.starts_with(&header), "{text}");
        assert_holds_no_secret(fixture, &built.image).await;
        fixture.nothing_left().await;
    })
    .await;
}

async fn assert_holds_no_secret(fixture: &Fixture, image: &sarsen_domain::ImageRef) {
    let contents = fixture
        .contents(
            image,
            &["/app", "/tmp", "/etc", "/root", "/home", "/var/log"],
        )
        .await;
    let words = contents.windows(SECRET.len());
    assert_eq!(words.filter(|word| *word == SECRET.as_bytes()).count(), 0);
    for command in [&["inspect"][..], &["history", "--no-trunc"]] {
        let output = tokio::process::Command::new("docker")
            .arg("image")
            .args(command)
            .arg(image.as_str())
            .output()
            .await
            .unwrap();
        assert!(output.status.success());
        assert!(!String::from_utf8_lossy(&output.stdout).contains(SECRET));
    }
}

#[tokio::test]
async fn a_buildpack_of_ones_own_gets_config_cache_and_source() {
    run(async |fixture| {
        fixture.set_config("SECRET", SECRET);
        fixture.set_config("LINES", "a\n'b' \"$c\"\n");
        local_buildpack(
            fixture,
            r#"test "$(cat "$3/SECRET")" = s3cret-nobody-must-find
               test "$(wc -c <"$3/LINES")" = 11
               test "$(stat -c %a "$3")$(stat -c %a "$3/SECRET")" = 700600
               test -z "${SECRET:-}"
               test "$(id -u):$(id -g)" = 32767:32767
               test ${#SOURCE_VERSION} = 40
               test -f "$1/given" && ! touch /etc/x 2>/dev/null
               echo "built before: $(cat "$2/count" 2>/dev/null || echo never)"
               echo again >"$2/count"
               mkdir -p "$1/made" && echo yes >"$1/made/here"
               ln "$1/made/here" "$1/made/hard" && ln -s /usr/bin/env "$1/made/soft" && mkfifo "$1/made/pipe"
               chmod u+s "$1/made/here""#,
        );
        let files = [("given", "x"), ("Procfile", "web: sed -n 1p made/hard && stat -c %a made/here && test -L made/soft && ! test -e made/pipe && echo fine")];
        let built = fixture.build(&files).await.unwrap();
        assert_eq!(built.buildpacks, ["mine"]);
        let clock = ProcessType::parse("clock").unwrap();
        assert_eq!(built.procfile.command(&clock), Some("tick: tock"));
        assert!(built.procfile.command(&ProcessType::web()).unwrap().starts_with("sed"));
        assert!(fixture.progress.text().contains("built before: never"));
        assert_eq!(fixture.output(fixture.spec(&built.image)).await, "yes\n644\nfine\n");
        assert_holds_no_secret(fixture, &built.image).await;
        fixture.build(&files).await.unwrap();
        assert!(fixture.progress.text().contains("built before: again"));
        fixture.builder().purge_cache(&fixture.app).await.unwrap();
        fixture.build(&files).await.unwrap();
        assert_eq!(fixture.progress.text().matches("built before: never").count(), 2);
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn a_procfile_elsewhere_is_the_one_that_starts() {
    run(async |fixture| {
        fixture.options.procfile_path = "deploy/Procfile".to_owned();
        let built = fixture
            .build(&[
                ("Procfile", "web: echo wrong\n"),
                ("deploy/Procfile", "-> real"),
                ("deploy/real", "web: echo right\n"),
            ])
            .await
            .unwrap();
        assert_eq!(
            built.procfile.command(&ProcessType::web()),
            Some("echo right")
        );
        assert_eq!(fixture.output(fixture.spec(&built.image)).await, "right\n");
    })
    .await;
}

#[tokio::test]
async fn a_failing_buildpack_leaves_nothing() {
    run(async |fixture| {
        local_buildpack(fixture, "echo on the way >&2; exit 3");
        let error = fixture.build(&[("a", "")]).await.unwrap_err();
        let expected = "The build failed: the buildpacks ended with exit code 1";
        assert_eq!(error.to_string(), expected);
        let text = fixture.progress.text();
        assert!(
            text.contains("on the way") && text.contains("exit code 3"),
            "{text}"
        );
        assert!(fixture.latest().await.is_none());
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn cancelling_kills_the_buildpack() {
    run(async |fixture| {
        local_buildpack(fixture, "echo now; sleep 300");
        let cancel = async {
            fixture.progress.heard("now\n").await;
            fixture.cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(fixture.build(&[("a", "")]), cancel);
        assert!(matches!(outcome, Err(BuildError::Cancelled)), "{outcome:?}");
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn time_and_memory_are_limited() {
    run(async |fixture| {
        fixture.settings.time_limit = Duration::from_secs(6);
        local_buildpack(fixture, "while true; do echo busy; sleep 0.2; done");
        let error = fixture.build(&[("a", "")]).await.unwrap_err();
        assert!(matches!(error, BuildError::TooLong(_)), "{error:?}");
        fixture.settings.time_limit = Duration::from_secs(60);
        fixture.settings.build_memory = Some(64 << 20);
        fixture.options.buildpacks.clear();
        std::fs::remove_dir_all(fixture.path("packs")).unwrap();
        local_buildpack(fixture, "exec python3 -c 'x = b\"x\" * 400_000_000'");
        let error = fixture.build(&[("a", "")]).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "The build failed: it needs more memory than a build may have"
        );
        fixture.nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn without_the_stack_image_the_way_out_is_told() {
    run(async |fixture| {
        fixture.settings.stack_image = "sarsen/absent:1".to_owned();
        let error = fixture
            .build(&[("Procfile", "web: x")])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sarsen/absent:1 is not on this host"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn another_image_can_be_the_stack() {
    run(async |fixture| {
        let foreign = foreign_image(fixture).await;
        fixture.stack = Some(foreign.clone());
        local_buildpack(fixture, "echo built > \"$1/made\"");
        let files = [("Procfile", "web: cat made; echo $STACK; id -u\n")];
        let built = fixture.build(&files).await.unwrap();
        let said = fixture.output(fixture.spec(&built.image)).await;
        assert_eq!(said, "built\nheroku-24\n32767\n");
        let once = "fit for builds, once";
        assert!(fixture.progress.text().contains(once));
        fixture.runtime.remove_image(&foreign).await.unwrap();
        for image in fixture.runtime.images(&[fixture.owned()]).await.unwrap() {
            for tag in image
                .tags
                .iter()
                .filter(|tag| tag.starts_with("sarsen/stack:on-"))
            {
                let name = ImageRef::parse(tag).unwrap();
                fixture.runtime.remove_image(&name).await.unwrap();
            }
        }
        fixture.nothing_left().await;
    })
    .await;
}

/// An image with the tools of a stack and none of our scripts.
async fn foreign_image(fixture: &Fixture) -> ImageRef {
    let tag = format!("{}:foreign", fixture.app);
    let dockerfile = "FROM sarsen/stack:latest\nRUN rm -rf /build /start /exec /opt/sarsen /buildpacks\nLABEL com.sarsen.role=foreign\n";
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())
        .unwrap();
    let context = futures_util::stream::iter([Ok(tar.into_inner().unwrap().into())]);
    let spec = BuildSpec {
        dockerfile: "Dockerfile".to_owned(),
        tag: tag.clone(),
        ..BuildSpec::default()
    };
    let mut items = fixture
        .runtime
        .build(&spec, Box::pin(context))
        .await
        .unwrap();
    while let Some(item) = items.next().await {
        item.unwrap();
    }
    ImageRef::parse(&tag).unwrap()
}
