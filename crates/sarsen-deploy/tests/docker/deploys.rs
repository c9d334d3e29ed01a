//! Deploys that work, and what comes after them.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sarsen_deploy::{AppSettings, Deployed, LogFormat, LogSource, TextStyle};
use sarsen_runtime::LogOptions;
use serde_json::json;

use crate::world::{good_server, with_app};

#[tokio::test]
async fn a_healthy_app_takes_its_names_and_talks() {
    let web = good_server();
    let worker = "echo working; exec sleep 300";
    with_app(&[("web", &web), ("worker", worker)], async |world| {
        let app = world.release.app.clone();
        let settings = AppSettings::default();
        let mut before = Vec::new();
        for round in 0..2 {
            let candidate = world.deploy(&["web.1", "worker.1"]).await.unwrap();
            let deployed: Vec<_> = candidate.instances.iter().map(Deployed::from).collect();
            for _ in 0..2 {
                let finished = world.deployer.finish(&app, &deployed, &settings).await;
                finished.unwrap();
            }
            let names = ["web.1", "worker.1"].map(|dyno| format!("{app}.{dyno}"));
            let is_final = |name: &String| names.contains(name);
            let all = world.containers().await;
            let finals = all.iter().filter(|info| is_final(&info.name));
            assert_eq!(finals.count(), 2);
            assert_eq!(all.len(), 2 + 2 * round);
            let unfinished = world.deployer.retire(&before, Duration::from_secs(1)).await;
            assert!(unfinished.is_empty(), "{unfinished:?}");
            before = deployed.into_iter().map(|one| one.container).collect();
        }
        assert_eq!(world.deployer.processes(&app).await.unwrap().len(), 2);
        let lines = logs(world, TextStyle::Plain).await;
        let ends: Vec<_> = lines
            .iter()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        assert_eq!(
            ends,
            ["app[web.1]: listening\n", "app[worker.1]: working\n"]
        );
        assert!(
            lines[0].starts_with("20") && lines[0].contains("T"),
            "{}",
            lines[0]
        );
        assert!(logs(world, TextStyle::Coloured).await[0].starts_with("\x1b[36m20"));
    })
    .await;
}

async fn logs(world: &crate::world::World, style: TextStyle) -> Vec<String> {
    let processes = world.deployer.processes(&world.release.app).await.unwrap();
    let sources = processes.into_iter().map(|one| LogSource {
        dyno: one.dyno,
        container: one.container,
        index: one.index,
    });
    let options = LogOptions {
        tail: Some(100),
        ..LogOptions::default()
    };
    let format = (LogFormat::Full, style);
    let stream = world
        .deployer
        .log_stream(sources.collect(), options, format);
    let lines: Vec<_> = stream.await.unwrap().try_collect().await.unwrap();
    let text = |line: &bytes::Bytes| String::from_utf8(line.to_vec()).unwrap();
    lines.iter().map(text).collect()
}

#[tokio::test]
async fn an_http_check_passes_as_soon_as_it_can() {
    let web = format!("sleep 1; {}", good_server());
    with_app(&[("web", &web)], async |world| {
        world.check(json!({"path": "/", "content": "hi", "wait": 20, "attempts": 2}));
        let begun = Instant::now();
        world.deploy(&["web.1"]).await.unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(19),
            "it waited for the second try"
        );
    })
    .await;
}

#[tokio::test]
async fn a_process_that_ignores_the_stop_signal_is_killed_after_the_grace() {
    let worker = "perl -e '$SIG{TERM} = \"IGNORE\"; sleep 1 while 1'";
    with_app(&[("worker", worker)], async |world| {
        let candidate = world.deploy(&["worker.1"]).await.unwrap();
        let container = candidate.instances[0].container.clone();
        let begun = Instant::now();
        let unfinished = world
            .deployer
            .retire(&[container], Duration::from_secs(2))
            .await;
        assert!(unfinished.is_empty());
        assert!(begun.elapsed() >= Duration::from_secs(2));
        assert!(world.containers().await.is_empty());
    })
    .await;
}
