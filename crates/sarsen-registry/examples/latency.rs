//! Measures the time from the engine's start event to the catalog, and how long a first comparison takes with a crowd of
//! containers: `latency IMAGE RUNS [CROWD]`. Prints JSON.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use sarsen_registry::{Host, Registry, RegistrySettings};
use sarsen_runtime::{ContainerEventKind, ContainerSpec, DockerRuntime, Runtime};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(image), Some(runs)) = (words.next(), words.next()) else {
        return Err("usage: latency IMAGE RUNS [CROWD]".into());
    };
    let crowd: usize = words.next().map_or(Ok(0), |text| text.parse())?;
    let engine: Runtime = Arc::new(DockerRuntime::connect(Path::new("/var/run/docker.sock"))?);
    let settings = RegistrySettings::new("latency", Host::local("box"));
    let registry = Registry::new(Arc::clone(&engine), settings);
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(registry.clone().run(stop.clone()));
    registry.synced().await;
    let mut millis = Vec::new();
    for _ in 0..runs.parse()? {
        millis.push(one_start(&engine, &registry, &image).await?);
    }
    let comparison = match crowd {
        0 => None,
        count => Some(with_crowd(&engine, &image, count).await?),
    };
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    millis.sort_by(f64::total_cmp);
    let at = |share: usize| {
        millis
            .get(millis.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{{\"median_ms\": {:.3}, \"p90_ms\": {:.3}, \"p99_ms\": {:.3}, \"comparison_ms\": {}}}",
        at(50),
        at(90),
        at(99),
        comparison.map_or_else(|| "null".to_owned(), |millis| format!("{millis:.1}"))
    );
    Ok(())
}

/// Milliseconds from nothing to a catalog with all of a crowd's containers.
async fn with_crowd(engine: &Runtime, image: &str, count: usize) -> Result<f64, Box<dyn Error>> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = engine.create(&spec(image, "600")).await?;
        ids.push(id.clone());
        engine.start(&id).await?;
    }
    let registry = Registry::new(
        Arc::clone(engine),
        RegistrySettings::new("latency", Host::local("box")),
    );
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let begun = Instant::now();
    tasks.spawn(registry.clone().run(stop.clone()));
    registry.synced().await;
    let millis = begun.elapsed().as_secs_f64() * 1e3;
    let known = registry.catalog().services().len();
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    for id in &ids {
        engine.remove(id).await?;
    }
    if known < count {
        return Err(format!("only {known} of {count} containers were found").into());
    }
    Ok(millis)
}

fn spec(image: &str, seconds: &str) -> ContainerSpec {
    ContainerSpec {
        image: image.to_owned(),
        command: Some(vec!["sleep".to_owned(), seconds.to_owned()]),
        expose: vec![5000],
        labels: [
            ("com.sarsen.owner", "latency"),
            ("com.dokku.app-name", "latency"),
            ("com.dokku.process-type", "web"),
            ("com.dokku.dyno", "web.1"),
            ("com.sarsen.instance", "1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        ..ContainerSpec::default()
    }
}

/// Milliseconds from the time that the engine gives its start event to the moment the catalog holds the container.
async fn one_start(
    engine: &Runtime,
    registry: &Registry,
    image: &str,
) -> Result<f64, Box<dyn Error>> {
    let mut events = engine.events(None).await?;
    let mut changes = registry.changes();
    let id = engine.create(&spec(image, "60")).await?;
    engine.start(&id).await?;
    while registry.catalog().by_container(&id).next().is_none() {
        changes.changed().await?;
    }
    let known = OffsetDateTime::now_utc().unix_timestamp_nanos();
    let started = loop {
        let event = events.next().await.ok_or("the event stream ended")??;
        if event.id == id && event.kind == ContainerEventKind::Start {
            break i128::from(event.at);
        }
    };
    engine.remove(&id).await?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds, for people")]
    let millis = (known - started) as f64 / 1e6;
    Ok(millis)
}
