//! Containers come and go at random while the daemon is killed, its connection to Docker cut, and Consul and etcd killed:
//! afterwards the catalog, Consul, etcd and Docker agree exactly. 20 containers; 100 and a minute with
//! `SARSEN_TEST_LONG=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::engine::Engine;
use crate::etcd::Etcd;
use crate::program::eventually_within;
use crate::proxy::Proxy;
use crate::registrator::Consul;
use crate::world::World;

const IMAGE: &str = "sarsen/base:bookworm";
/// So many hands start and end containers at the same time.
const HANDS: usize = 3;
/// After the storm the catalog may take so long.
const CALM: Duration = Duration::from_secs(45);

/// Containers by id, with their names and ports on the host.
type Facts = BTreeMap<String, (String, u64)>;

/// Containers of one storm, removed whatever happens.
struct Storm {
    engine: Engine,
    name: String,
    total: usize,
    started: AtomicUsize,
    names: Mutex<Vec<String>>,
}

impl Drop for Storm {
    fn drop(&mut self) {
        let filter = format!("label=sarsen-storm={}", self.name);
        let found = self
            .engine
            .run(&["ps", "--all", "--quiet", "--filter", &filter]);
        let found: Vec<&str> = found.stdout.lines().collect();
        if !found.is_empty() {
            self.engine
                .run(&[&["rm", "--force", "--volumes"], found.as_slice()].concat());
        }
    }
}

impl Storm {
    fn new(total: usize) -> Self {
        Self {
            engine: Engine::shared(),
            name: format!("storm-{}", rand::random::<u32>()),
            total,
            started: AtomicUsize::new(0),
            names: Mutex::default(),
        }
    }

    fn start_one(&self) {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.name);
        let label = format!("sarsen-storm={}", self.name);
        let tag = format!("SERVICE_TAGS={}", self.name);
        self.engine
            .run(&[
                "run",
                "--detach",
                "--name",
                &name,
                "--label",
                &label,
                "--env",
                &tag,
                "--env",
                "SERVICE_NAME=storm",
                "--publish",
                "127.0.0.1::5000",
                IMAGE,
                "sleep",
                "600",
            ])
            .succeeded();
        self.names.lock().unwrap().push(name);
    }

    /// One thing that happens to a container; it may have happened to it before.
    fn disturb(&self, dice: &mut StdRng) {
        let names = self.names.lock().unwrap().clone();
        if names.is_empty() {
            return;
        }
        let name = &names[dice.random_range(0..names.len())];
        let renamed = format!("{name}x");
        // About as many come back as go, so that something is there to agree on.
        let words: &[&str] = match dice.random_range(0..12) {
            0..3 => &["kill", name],
            3 => &["rm", "--force", name],
            4 => &["restart", "--time", "0", name],
            5..9 => &["start", name],
            9 => &["pause", name],
            10 => &["unpause", name],
            _ => &["rename", name, &renamed],
        };
        // Many of these fail, because others were there first.
        let ended = self.engine.run(words);
        if ended.code == 0 && words[0] == "rename" {
            self.names.lock().unwrap().push(renamed.clone());
        }
    }

    fn hand(&self, seed: u64, until: Instant) {
        let mut dice = StdRng::seed_from_u64(seed);
        loop {
            let is_full = self.started.load(Ordering::Relaxed) >= self.total;
            if is_full && Instant::now() >= until {
                return;
            }
            if !is_full && dice.random_range(0..3) > 0 {
                self.start_one();
            } else {
                self.disturb(&mut dice);
            }
        }
    }

    /// What runs: container, name and port on the host.
    fn running(&self) -> Facts {
        self.described(&[])
    }

    /// What runs and is not paused: etcd has no place for health, so it holds only what may get traffic.
    fn answering(&self) -> BTreeSet<(String, u64)> {
        let facts = self.described(&["--filter", "status=running"]);
        facts.into_values().collect()
    }

    fn described(&self, filters: &[&str]) -> Facts {
        let filter = format!("label=sarsen-storm={}", self.name);
        let words = ["ps", "--quiet", "--no-trunc", "--filter", &filter];
        let ids = self.engine.ask(&[&words[..], filters].concat());
        let format =
            r#"{{.Id}} {{.Name}} {{(index (index .NetworkSettings.Ports "5000/tcp") 0).HostPort}}"#;
        let mut words = vec!["inspect", "--format", format];
        words.extend(ids.iter().map(String::as_str));
        if ids.is_empty() {
            return Facts::new();
        }
        let lines = self.engine.ask(&words);
        let facts = lines.iter().map(|line| {
            let [id, name, port] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let name: &str = name;
            let port: &str = port;
            let name = name.trim_start_matches('/').to_owned();
            let id: &str = id;
            (id.to_owned(), (name, port.parse().unwrap()))
        });
        facts.collect()
    }

    /// The same as etcd has it: name and port.
    fn etcd(&self, etcd: &Etcd) -> BTreeSet<(String, u64)> {
        let pairs = etcd.under("/services/storm/").into_iter();
        let ours = pairs.filter(|(key, _)| key.contains(&self.name));
        let facts = ours.map(|(key, value)| {
            // /services/storm/host:container:port = address:port
            let name = key.split(':').nth(1).unwrap().to_owned();
            let port = value.rsplit_once(':').unwrap().1.parse().unwrap();
            (name, port)
        });
        facts.collect()
    }

    /// The same as Consul has it: name and port.
    fn consul(&self, consul: &Consul) -> BTreeSet<(String, u64)> {
        let services = consul.services(&self.name).into_iter();
        let facts = services.map(|(id, service)| {
            let name = id.split(':').nth(1).unwrap().to_owned();
            (name, service["Port"].as_u64().unwrap())
        });
        facts.collect()
    }

    /// The same as the catalog has it.
    fn catalog(&self, world: &World) -> Facts {
        let listed = world
            .local(
                &["services:list", "--format", "json", "--tag", &self.name],
                b"",
            )
            .succeeded();
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        let facts = listed.as_array().unwrap().iter().map(|instance| {
            let text = |key: &str| instance[key].as_str().unwrap().to_owned();
            // host:container:port
            let id = text("id");
            let name = id.split(':').nth(1).unwrap().to_owned();
            (
                text("container"),
                (name, instance["port"].as_u64().unwrap()),
            )
        });
        facts.collect()
    }
}

#[test]
fn the_catalog_is_right_after_a_storm() {
    let is_long = std::env::var_os("SARSEN_TEST_LONG").is_some();
    let (total, seconds) = if is_long { (100, 60) } else { (20, 12) };
    let proxy = Proxy::to("/var/run/docker.sock");
    let engine = Engine {
        socket: proxy.path().display().to_string(),
    };
    let (mut consul, mut etcd) = (Consul::start(), Etcd::start());
    let backends = format!("registry.backends = [{:?}, {:?}]", consul.uri(), etcd.uri());
    let mut world = World::on(engine, &backends);
    let storm = Storm::new(total);
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let begun = Instant::now();
    let length = Duration::from_secs(seconds);
    thread::scope(|scope| {
        for hand in 0..HANDS {
            let (storm, seed) = (&storm, seed.wrapping_add(hand as u64));
            scope.spawn(move || storm.hand(seed, begun + length));
        }
        let at = |part: u32| begun + length * part / 4;
        wait_until(at(1));
        world.daemon.kill();
        world.start();
        wait_until(at(2));
        proxy.cut(Duration::from_secs(2));
        wait_until(at(3));
        consul.kill();
        etcd.kill();
        proxy.cut(Duration::ZERO);
        consul.run();
        etcd.run();
    });
    let calm = Instant::now();
    eventually_within(CALM, || agree(&storm, &world, &consul, &etcd));
    println!(
        "{} containers started, {} run; the catalog, Consul and etcd agreed after {:?}",
        storm.started.load(Ordering::Relaxed),
        storm.running().len(),
        calm.elapsed()
    );
}

fn agree(storm: &Storm, world: &World, consul: &Consul, etcd: &Etcd) -> Result<(), String> {
    let (catalog, running) = (storm.catalog(world), storm.running());
    if catalog != running {
        return Err(format!(
            "the catalog has {catalog:#?}\nDocker has {running:#?}"
        ));
    }
    let (published, running) = (storm.consul(consul), running.into_values().collect());
    if published != running {
        return Err(format!(
            "Consul has {published:#?}\nDocker has {running:#?}"
        ));
    }
    let (keys, answering) = (storm.etcd(etcd), storm.answering());
    if keys != answering {
        return Err(format!("etcd has {keys:#?}\nDocker has {answering:#?}"));
    }
    Ok(())
}

fn wait_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
