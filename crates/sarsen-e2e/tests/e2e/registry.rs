//! A registry that asks who comes: logging in, pushing on release, fetching again, logging out.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use crate::program::{Ended, Running, eventually, run};
use crate::world::World;

/// Debian's `docker-registry` on loopback, for which the engine wants no TLS.
struct Registry {
    /// `127.0.0.1:PORT`
    server: String,
    _process: Running,
}

impl Registry {
    /// It knows `ada`, with this password.
    fn start(world: &World, password: &str) -> Self {
        let port = eventually(|| {
            let port = rand::random_range(10_000..32_000);
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            free.map(|_| port).map_err(|error| error.to_string())
        });
        let (users, files) = (world.path("registry.users"), world.path("registry"));
        let mut htpasswd = Command::new("htpasswd");
        htpasswd.args(["-B", "-n", "-i", "ada"]);
        let hashed = run(htpasswd, password.as_bytes()).succeeded().stdout;
        fs::write(&users, hashed).unwrap();
        let config = world.path("registry.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {files:?}\n\
             http:\n  addr: 127.0.0.1:{port}\nauth:\n  htpasswd:\n    realm: e2e\n    path: {users:?}\n",
        );
        fs::write(&config, text).unwrap();
        let mut registry = Command::new("setpriv");
        registry.args(["--pdeathsig", "KILL", "--", "docker-registry", "serve"]);
        let process = Running::start({
            registry.arg(&config);
            registry
        });
        eventually(|| {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| error.to_string())
        });
        Self {
            server: format!("127.0.0.1:{port}"),
            _process: process,
        }
    }
}

fn log_in(world: &World, app: &str, server: &str, password: &str) -> Ended {
    let words = ["registry:login", "--password-stdin", app, server, "ada"];
    world.local(&words, password.as_bytes())
}

fn body(world: &World, app: &str) -> String {
    world.get(app, "/").unwrap().body
}

#[test]
fn images_go_to_a_registry_and_come_back() {
    let world = World::new();
    let registry = Registry::start(&world, "s3cret");
    let server = registry.server.as_str();
    world.folder("reg-shop", "hello");
    world.ssh(&["apps:create", "reg-shop"]).succeeded();
    // Whom the registry does not know is not noted.
    let refused = log_in(&world, "reg-shop", server, "wrong").failed();
    assert!(
        refused.stderr.contains("did not take the login"),
        "{}",
        refused.stderr
    );
    world.ssh(&["registry:logout", "reg-shop", server]).failed();
    for (key, value) in [
        ("server", server),
        ("image-repo", "team/reg-shop"),
        ("push-extra-tags", "stable"),
        ("push-on-release", "true"),
    ] {
        world
            .ssh(&["registry:set", "reg-shop", key, value])
            .succeeded();
    }
    // Without a login the registry takes nothing, and what cannot be pushed is not released.
    let pushed = world.push("reg-shop").failed().all();
    assert!(pushed.contains("Could not push"), "{pushed}");
    assert!(
        pushed.contains("unauthorized") || pushed.contains("no basic auth"),
        "{pushed}"
    );
    log_in(&world, "reg-shop", server, "s3cret").succeeded();
    let pushed = world.push("reg-shop").succeeded().all();
    let image = format!("{server}/team/reg-shop");
    assert!(
        pushed.contains(&format!("Pushing {image}:stable")),
        "{pushed}"
    );
    assert_eq!(body(&world, "reg-shop"), "hello from one\n");
    let report = world
        .ssh(&["registry:report", "reg-shop"])
        .succeeded()
        .stdout;
    assert!(
        report.contains("team/reg-shop") && !report.contains("s3cret"),
        "{report}"
    );

    it_comes_back(&world, server, &image);

    world
        .ssh(&["registry:logout", "reg-shop", server])
        .succeeded();
    world.write("reg-shop/version.txt", "two\n");
    world.commit("reg-shop", "Second");
    let pushed = world.push("reg-shop").failed().all();
    assert!(pushed.contains("Could not push"), "{pushed}");
    assert_eq!(body(&world, "reg-shop"), "hello from one\n");
}

/// Another app runs the image that the registry has; the engine itself has no image of that name any more.
fn it_comes_back(world: &World, server: &str, image: &str) {
    let stable = format!("{image}:stable");
    let names = world
        .engine
        .ask(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    for name in names.iter().filter(|name| name.starts_with(image)) {
        world.engine.run(&["rmi", name]).succeeded();
    }
    world.ssh(&["apps:create", "reg-copy"]).succeeded();
    let refused = world.ssh(&["git:from-image", "reg-copy", &stable]).failed();
    assert!(refused.all().contains(server), "{}", refused.all());
    // A login for all apps.
    log_in(world, "--global", server, "s3cret").succeeded();
    world
        .ssh(&["git:from-image", "reg-copy", &stable])
        .succeeded();
    assert_eq!(body(world, "reg-copy"), "hello from one\n");
    world
        .ssh(&["registry:logout", "--global", server])
        .succeeded();
}
