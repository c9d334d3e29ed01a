//! Docker restarts: apps serve again without a command. It is an engine of our own that restarts, not everybody's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::engine::Engine;
use crate::program::{Running, eventually_within, run};
use crate::world::World;

const BASE: &str = "sarsen/base:bookworm";
const REDIS: &str = "redis:7";

/// An engine beside the machine's.
struct OwnEngine {
    root: TempDir,
    bridge: String,
    process: Option<Running>,
}

impl OwnEngine {
    fn start() -> Self {
        let number = rand::random_range(0..250_u8);
        let mut engine = Self {
            root: TempDir::with_prefix("sarsen-e2e-engine-").unwrap(),
            bridge: format!("sarsen{number}"),
            process: None,
        };
        let bridge = engine.bridge.as_str();
        // A bridge of its own, and no firewall rules: only the host talks to these containers.
        ip(&["link", "add", "name", bridge, "type", "bridge"]);
        ip(&[
            "address",
            "add",
            &format!("10.214.{number}.1/24"),
            "dev",
            bridge,
        ]);
        ip(&["link", "set", bridge, "up"]);
        engine.run();
        engine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn client(&self) -> Engine {
        Engine {
            socket: self.path("docker.sock").display().to_string(),
        }
    }

    fn run(&mut self) {
        let mut dockerd = Command::new("setpriv");
        dockerd.args([
            "--pdeathsig",
            "KILL",
            "--",
            "dockerd",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-masq=false",
        ]);
        dockerd.arg("--bridge").arg(&self.bridge);
        dockerd
            .arg("--host")
            .arg(format!("unix://{}", self.path("docker.sock").display()));
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            dockerd.arg(option).arg(self.path(name));
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        self.process = Some(Running::start_logging(dockerd, log));
        let client = self.client();
        eventually_within(Duration::from_secs(60), || {
            match client.run(&["info"]).code {
                0 => Ok(()),
                _ => Err(fs::read_to_string(self.path("log")).unwrap_or_default()),
            }
        });
    }

    fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::SIGTERM);
            process.wait();
        }
    }

    /// Takes an image over from the machine's engine.
    fn load(&self, image: &str) {
        let file = self.path("image.tar");
        let shared = Engine::shared();
        shared
            .run(&["save", "--output", &file.display().to_string(), image])
            .succeeded();
        self.client()
            .run(&["load", "--input", &file.display().to_string()])
            .succeeded();
        fs::remove_file(file).unwrap();
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.stop();
        // What is still mounted keeps the folder from being removed.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for mount in below.filter(|mount| Path::new(mount).starts_with(self.root.path())) {
            Command::new("umount")
                .args(["--lazy", mount])
                .stderr(Stdio::null())
                .status()
                .ok();
        }
        Command::new("ip")
            .args(["link", "delete", &self.bridge])
            .status()
            .ok();
    }
}

fn ip(words: &[&str]) {
    let mut ip = Command::new("ip");
    ip.args(words);
    run(ip, b"").succeeded();
}

#[test]
fn apps_come_back_with_the_engine() {
    let mut engine = OwnEngine::start();
    engine.load(BASE);
    engine.load(REDIS);
    let world = World::on(engine.client(), "");
    let redis = |words: &str| {
        let said = world.local(&["redis:connect", "engine-cache"], words.as_bytes());
        said.all()
    };
    world.ssh(&["redis:create", "engine-cache"]).succeeded();
    assert!(redis("SET greeting hello\n").contains("OK"));
    for app in ["engine-shop", "engine-stopped"] {
        world.folder(app, "hello");
        world.push(app).succeeded();
    }
    world.ssh(&["ps:scale", "engine-shop", "web=2"]).succeeded();
    world.ssh(&["ps:stop", "engine-stopped"]).succeeded();
    world.settles_on("engine-stopped", &[]);

    engine.stop();
    // The daemon lives on, and says what is wrong.
    let answer = world.get("engine-shop", "/").unwrap();
    assert!(answer.status >= 500, "{}", answer.status);
    world.ssh(&["apps:list"]).succeeded();
    let ended = world.ssh(&["ps:restart", "engine-shop"]).failed();
    println!("while it is away: {}", ended.all().trim());

    engine.run();
    let begun = Instant::now();
    eventually_within(Duration::from_secs(60), || {
        match world.get("engine-shop", "/") {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
            Err(error) => Err(error.to_string()),
        }
    });
    println!(
        "the app serves again {:.1} s after the engine answered",
        begun.elapsed().as_secs_f64()
    );
    world.settles_on("engine-shop", &["engine-shop.web.1", "engine-shop.web.2"]);
    // So does the service, with its data.
    eventually_within(Duration::from_secs(60), || {
        let said = redis("GET greeting\n");
        said.contains("hello").then_some(()).ok_or(said)
    });
    // Who was stopped stays so.
    assert_eq!(world.get("engine-stopped", "/").unwrap().status, 503);
    assert!(world.containers("engine-stopped").is_empty());
    world.write("engine-shop/version.txt", "two\n");
    world.commit("engine-shop", "Two");
    world.push("engine-shop").succeeded();
    assert_eq!(
        world.get("engine-shop", "/").unwrap().body,
        "hello from two\n"
    );
    world
        .ssh(&["redis:destroy", "--force", "engine-cache"])
        .succeeded();
    drop(world);
}
