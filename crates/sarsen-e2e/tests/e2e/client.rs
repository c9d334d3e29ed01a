//! The program on a laptop: in a checkout it finds host and app from the git remote, and runs the ssh client.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::program::{Ended, run};
use crate::world::World;

/// Where a daemon of this machine would listen, and be asked instead.
const SOCKET: &str = "/run/sarsen/control.sock";

/// A machine without a daemon: `ssh` knows the test's key and hosts, as a person's own settings would say.
struct Laptop<'a> {
    world: &'a World,
    path: String,
}

impl<'a> Laptop<'a> {
    fn new(world: &'a World) -> Self {
        assert!(!Path::new(SOCKET).exists(), "a daemon listens at {SOCKET}");
        let folder = world.path("bin");
        fs::create_dir(&folder).unwrap();
        let words = world.ssh_words("ada");
        let words = shlex::try_join(words.iter().skip(1).map(String::as_str)).unwrap();
        let ssh = folder.join("ssh");
        fs::write(
            &ssh,
            format!("#!/bin/sh\nexec /usr/bin/ssh {words} \"$@\"\n"),
        )
        .unwrap();
        fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self {
            world,
            path: format!("{}:{}", folder.display(), path.display()),
        }
    }

    fn command(&self, folder: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.world.daemon.binary());
        command
            .args(words)
            .current_dir(self.world.path(folder))
            .env("PATH", &self.path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for name in ["SARSEN_SOCKET", "DOKKU_HOST", "DOKKU_PORT"] {
            command.env_remove(name);
        }
        command
    }

    fn say(&self, folder: &str, words: &[&str]) -> Ended {
        run(self.command(folder, words), b"")
    }
}

#[test]
fn a_checkout_tells_host_and_app() {
    let world = World::new();
    world.folder("client-shop", "hello");
    let laptop = Laptop::new(&world);
    let say = |words: &[&str]| laptop.say("client-shop", words);
    assert_eq!(say(&["remote"]).succeeded().stdout, "sarsen\n");
    say(&["apps:create", "client-shop"]).succeeded();
    // Words arrive as they were said.
    let value = "two  words, $HOME and 'quotes'";
    say(&["config:set", "--no-restart", &format!("GREETING={value}")]).succeeded();
    let got = world.ssh(&["config:get", "client-shop", "GREETING"]);
    assert_eq!(got.succeeded().stdout, format!("{value}\n"));
    assert_eq!(
        say(&["config:get", "GREETING"]).succeeded().stdout,
        format!("{value}\n")
    );
    world.push("client-shop").succeeded();
    assert_eq!(
        say(&["ps:report", "--deployed"]).succeeded().stdout,
        "true\n"
    );
    let ran = say(&["run", "printenv", "GREETING"]).succeeded();
    assert_eq!(ran.stdout.trim(), value);
    // Codes and input come through.
    assert_eq!(say(&["run", "sh", "-c", "exit 42"]).code, 42);
    let mut import = laptop.command("client-shop", &["config:import", "--no-restart", "-"]);
    import.env("LC_ALL", "C");
    run(import, b"A=1\nB=2\n").succeeded();
    assert!(say(&["config:keys"]).succeeded().stdout.contains("A\nB\n"));
    // Another app, and none.
    let other = say(&["--app", "client-other", "apps:exists"]);
    assert_eq!(other.code, 20, "{}", other.all());
    assert!(
        say(&["apps:list"])
            .succeeded()
            .stdout
            .contains("client-shop")
    );
    elsewhere(&world, &laptop);
    say(&["apps:destroy", "--force"]).succeeded();
    world.ssh(&["apps:exists", "client-shop"]).failed();
    let remotes = run(world.git("client-shop", &["remote"]), b"").succeeded();
    assert_eq!(remotes.stdout, "", "the remote goes with the app");
}

/// Without a checkout the variables of Dokku's client name the host; without either there is none.
fn elsewhere(world: &World, laptop: &Laptop<'_>) {
    fs::create_dir(world.path("nowhere")).unwrap();
    laptop.say("nowhere", &["apps:list"]).failed();
    let asked = |words: &[&str]| {
        let mut command = laptop.command("nowhere", words);
        command
            .env("DOKKU_HOST", "127.0.0.1")
            .env("DOKKU_PORT", world.daemon.ssh.to_string());
        run(command, b"")
    };
    let listed = asked(&["--quiet", "apps:list"]).succeeded().stdout;
    assert_eq!(listed, "client-shop\n");
    let keys = asked(&["config:keys", "client-shop"]).succeeded().stdout;
    assert!(keys.contains("GREETING"), "{keys}");
    let nobody = laptop.say("nowhere", &["--remote", "none", "apps:list"]);
    assert_eq!(nobody.code, 20, "{}", nobody.all());
}
