//! Triggers: who is asked, in which order, with what, and what ends the chain.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use sarsen_plugins::{Call, Exit, Output, Stdin, Trigger};

use crate::world::{Log, World, name, text};

#[tokio::test]
async fn plugins_run_in_the_order_of_their_names_with_the_arguments_as_they_are() {
    let world = World::new();
    for plugin in ["b", "20_events", "a", "B"] {
        let script = format!("printf '{plugin}:%s|' \"$@\"");
        world.plugin(plugin, &[("post-deploy", &script)]).await;
    }
    world
        .plugin("other", &[("pre-deploy", "echo no; exit 1")])
        .await;
    let report = world.fire("post-deploy", &["$(id)", "", "x y"]).await;
    let all = text(&report.stdout());
    let one = |plugin: &str| format!("{plugin}:$(id)|{plugin}:|{plugin}:x y|");
    assert_eq!(all, ["20_events", "B", "a", "b"].map(one).concat());
    assert_eq!((report.code(), report.failed().is_none()), (0, true));
}

#[tokio::test]
async fn the_first_failure_ends_the_chain() {
    let world = World::new();
    world.plugin("a", &[("pre-deploy", "echo first")]).await;
    world
        .plugin("b", &[("pre-deploy", "echo why >&2; exit 7")])
        .await;
    world
        .plugin("c", &[("pre-deploy", "touch $DOKKU_LIB_ROOT/ran")])
        .await;
    let log = Log::default();
    let report = world
        .fire_into("pre-deploy", Call::new(&["app"], Output::Log(&log)))
        .await;
    let failed = report.failed().unwrap();
    assert_eq!(failed.exit, Exit::Code(7));
    assert_eq!(
        failed.to_string(),
        "plugin b: pre-deploy ended with exit code 7"
    );
    assert_eq!((failed.last_words.as_str(), report.code()), ("why", 7));
    assert_eq!(log.text(), "first\nwhy\n");
    assert!(!world.path("ran").exists());
}

#[tokio::test]
async fn without_an_answer_nothing_happens_and_at_once() {
    let world = World::new();
    let trigger = Trigger::PostDeploy;
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(!world.plugins.implements(&trigger));
        assert!(world.fire("post-deploy", &[]).await.runs.is_empty());
    }
    // Some 20 µs each; the bound only has to tell it from starting processes.
    assert!(start.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn a_file_that_is_not_executable_and_a_broken_plugin_are_passed_over_and_named() {
    let world = World::new();
    let barred = world.plugin("a", &[("post-deploy", "echo a")]).await;
    fs::set_permissions(
        barred.join("post-deploy"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let broken = world.plugin("b", &[("post-deploy", "echo b")]).await;
    fs::write(broken.join("plugin.toml"), "[plugin").unwrap();
    world.plugin("c", &[("post-deploy", "echo c")]).await;
    let log = Log::default();
    let report = world
        .fire_into("post-deploy", Call::new(&[], Output::Log(&log)))
        .await;
    assert_eq!(text(&report.stdout()), "c\n");
    assert!(
        report.skipped[0].contains("plugin a: post-deploy is not executable"),
        "{:?}",
        report.skipped
    );
    assert!(
        report.skipped[1].contains("plugin b: post-deploy was skipped"),
        "{:?}",
        report.skipped
    );
    assert!(log.text().contains(" !     plugin a:"), "{}", log.text());
    let listed = world.plugins.find(&name("b")).unwrap();
    assert!(listed.enabled && listed.manifest.is_err());
}

#[tokio::test]
async fn scripts_share_one_input_and_nobody_has_to_read_it() {
    let world = World::new();
    world
        .plugin("a", &[("docker-args-run", "read line; echo \"a $line\"")])
        .await;
    world
        .plugin("b", &[("docker-args-run", "echo \"b $(cat)\"")])
        .await;
    let mut call = Call::new(&[], Output::Kept);
    // The shell reads bytes one by one, so it leaves the second line in the pipe.
    call.stdin = Stdin::From(Box::new(&b"one\ntwo\n"[..]));
    let report = world.fire_into("docker-args-run", call).await;
    assert_eq!(text(&report.stdout()), "a one\nb two\n");

    world.plugin("c", &[("unread", "echo fine")]).await;
    let mut call = Call::new(&[], Output::Kept);
    call.stdin = Stdin::From(Box::new(tokio::io::repeat(b'x')));
    assert_eq!(
        text(&world.fire_into("unread", call).await.stdout()),
        "fine\n"
    );
    // Without an input there is an empty one, not ours.
    world.plugin("d", &[("empty", "cat; echo end")]).await;
    assert_eq!(text(&world.fire("empty", &[]).await.stdout()), "end\n");
}

#[tokio::test]
async fn a_script_may_fire_another_trigger_and_change_plugins() {
    let world = World::new();
    world
        .plugin(
            "outer",
            &[("post-deploy", "echo started; read go; echo $go")],
        )
        .await;
    world.plugin("inner", &[("inner", "echo inner")]).await;
    let (mut go, wait) = tokio::io::duplex(64);
    let mut call = Call::new(&[], Output::Kept);
    call.stdin = Stdin::From(Box::new(wait));
    let outer = Box::pin(world.fire_into("post-deploy", call));
    let inside = async {
        use tokio::io::AsyncWriteExt;
        let inner = world.fire("inner", &[]).await;
        assert_eq!(text(&inner.stdout()), "inner\n");
        world.plugins.disable(&name("inner")).await.unwrap();
        world.plugins.enable(&name("inner")).await.unwrap();
        go.write_all(b"done\n").await.unwrap();
    };
    let (report, ()) = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::join!(outer, inside)
    })
    .await
    .expect("a lock is held while a trigger runs");
    assert_eq!(text(&report.stdout()), "started\ndone\n");
}
