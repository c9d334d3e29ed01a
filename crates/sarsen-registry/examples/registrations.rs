//! Measures what one change of a check costs in a catalog with a crowd of services that others registered:
//! `registrations CROWD RUNS`. Nothing is written to a disk. Prints JSON.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sarsen_registry::{
    CheckRegistration, CheckSpec, CheckStatus, Host, OtherChecks, Place, Probe, Registration,
    Registry, RegistrySettings,
};
use sarsen_runtime::{DockerRuntime, Runtime};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(crowd), Some(runs)) = (words.next(), words.next()) else {
        return Err("usage: registrations CROWD RUNS".into());
    };
    let (crowd, runs): (usize, usize) = (crowd.parse()?, runs.parse()?);
    // Never asked: nothing here is a container.
    let engine: Runtime = Arc::new(DockerRuntime::connect(Path::new("/var/run/docker.sock"))?);
    let registry = Registry::new(engine, RegistrySettings::new("bench", Host::local("box")));
    for number in 0..crowd {
        let check = check(number, "first");
        let service = service(number);
        let checks = vec![check];
        registry
            .register_external(service, checks, OtherChecks::Keep)
            .await?;
    }
    let (mut registered, mut reported) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let second = check(run % crowd.max(1), "second");
        let begun = Instant::now();
        registry.register_check(second.clone()).await?;
        registered.push(begun.elapsed().as_secs_f64() * 1e3);
        let place = Place::here(second.spec.id.as_str());
        let begun = Instant::now();
        registry
            .set_check_status(&place, CheckStatus::Passing, "")
            .await?;
        reported.push(begun.elapsed().as_secs_f64() * 1e3);
        registry.deregister_check(&place).await?;
    }
    println!(
        "{{\"register_ms\": {:.4}, \"report_ms\": {:.4}}}",
        median(registered),
        median(reported)
    );
    Ok(())
}

fn service(number: usize) -> Registration {
    Registration {
        id: format!("service-{number}"),
        name: format!("name-{}", number % 100),
        address: "10.0.0.1".to_owned(),
        port: 80,
        tags: vec!["one".to_owned(), "two".to_owned()],
        attributes: [("region".to_owned(), "eu".to_owned())].into(),
        registrant: "bench".to_owned(),
        ..Registration::default()
    }
}

fn check(number: usize, kind: &str) -> CheckRegistration {
    let ttl = Probe::Ttl(Duration::from_secs(600));
    CheckRegistration {
        node: None,
        service: Some(format!("service-{number}")),
        spec: CheckSpec::new(format!("{kind}-{number}"), kind, ttl),
        registrant: "bench".to_owned(),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
