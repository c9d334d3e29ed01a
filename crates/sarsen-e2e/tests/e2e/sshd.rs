//! The system's own sshd in front: who logs in there comes out at the daemon, with the rights of the key.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::program::{Ended, Running, eventually, run};
use crate::terminal::{in_terminal, type_line, wait_for};
use crate::world::World;

/// An OpenSSH server that asks the daemon for keys, as `deploy/sshd.conf` has it.
struct Sshd {
    port: u16,
    /// Where sshd believes that nobody but root can change the program it runs.
    folder: PathBuf,
    process: Running,
}

impl Sshd {
    fn start(world: &World) -> Self {
        let port = eventually(|| {
            let port = rand::random_range(10_000..32_000);
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            free.map(|_| port).map_err(|error| error.to_string())
        });
        let folder = PathBuf::from(format!("/run/sarsen-e2e-sshd-{port}"));
        for needed in [PathBuf::from("/run/sshd"), folder.clone()] {
            fs::create_dir_all(&needed).unwrap();
            fs::set_permissions(&needed, Permissions::from_mode(0o755)).unwrap();
        }
        let (binary, socket) = (
            world.daemon.binary().display(),
            world.daemon.socket.display(),
        );
        let keys = folder.join("keys");
        let text =
            format!("#!/bin/sh\nSARSEN_SOCKET={socket} exec {binary} ssh-keys:authorized \"$@\"\n");
        fs::write(&keys, text).unwrap();
        fs::set_permissions(&keys, Permissions::from_mode(0o755)).unwrap();
        world.make_key("host_key");
        let config = folder.join("sshd_config");
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             AuthorizedKeysFile none\nAuthorizedKeysCommand {keys} %t %k\nAuthorizedKeysCommandUser root\n\
             AcceptEnv GIT_PROTOCOL\nSetEnv SARSEN_SOCKET={socket}\n",
            host_key = world.path("host_key").display(),
            keys = keys.display(),
        );
        fs::write(&config, text).unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(&config);
        let process = Running::start(sshd);
        eventually(|| {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| error.to_string())
        });
        Self {
            port,
            folder,
            process,
        }
    }

    /// `ssh` with its options, up to the host.
    fn words(&self, world: &World, key: &str) -> Vec<String> {
        let known = world.path("known_hosts_of_sshd");
        let mut words: Vec<String> = ["ssh", "-F", "none", "-p"].map(str::to_owned).to_vec();
        words.extend([self.port.to_string(), "-i".to_owned()]);
        words.push(world.path(key).display().to_string());
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "LogLevel=ERROR",
            "StrictHostKeyChecking=accept-new",
            &format!("UserKnownHostsFile={}", known.display()),
        ] {
            words.extend(["-o".to_owned(), option.to_owned()]);
        }
        words
    }

    fn command(&self, world: &World, key: &str, options: &[&str], line: &[&str]) -> Command {
        let words = self.words(world, key);
        let mut ssh = Command::new(&words[0]);
        ssh.args(&words[1..]).args(options);
        ssh.args(["root@127.0.0.1", "--"]).args(line);
        ssh
    }

    fn ssh(&self, world: &World, key: &str, line: &[&str], stdin: &[u8]) -> Ended {
        run(self.command(world, key, &[], line), stdin)
    }

    fn git(&self, world: &World, folder: &str, line: &[&str]) -> Ended {
        let mut git = world.git(folder, line);
        git.env(
            "GIT_SSH_COMMAND",
            shlex::try_join(self.words(world, "ada").iter().map(String::as_str)).unwrap(),
        );
        run(git, b"")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGTERM);
        fs::remove_dir_all(&self.folder).ok();
    }
}

#[test]
fn commands_and_pushes_come_through_the_systems_sshd() {
    let world = World::new();
    let sshd = Sshd::start(&world);
    world.folder("sshd-shop", "hello");
    let remote = format!("ssh://root@127.0.0.1:{}/sshd-shop", sshd.port);
    sshd.git(&world, "sshd-shop", &["push", &remote, "main"])
        .succeeded();
    sshd.git(&world, "sshd-shop", &["fetch", &remote, "main"])
        .succeeded();
    let releases = sshd.ssh(&world, "ada", &["releases", "sshd-shop"], b"");
    assert!(releases.all().contains("ada"), "{}", releases.all());

    let echoed = sshd.ssh(&world, "ada", &["run", "sshd-shop", "cat"], b"some input\n");
    assert_eq!(echoed.all(), "some input\n");
    let quoted = sshd.ssh(
        &world,
        "ada",
        &["run", "sshd-shop", "printf '%s|' 'a b' '$HOME'"],
        b"",
    );
    assert_eq!(quoted.all(), "a b|$HOME|");
    let failed = sshd.ssh(
        &world,
        "ada",
        &["run", "sshd-shop", "perl", "-e", "'exit 42'"],
        b"",
    );
    assert_eq!(failed.code, 42, "{}", failed.all());

    let refused = sshd.ssh(&world, "ada", &["ssh-keys:list"], b"");
    assert!(
        refused.code == 1 && refused.all().contains("on the host"),
        "{}",
        refused.all()
    );
    world.make_key("eve");
    assert!(
        sshd.ssh(&world, "eve", &["apps:list"], b"")
            .all()
            .contains("Permission denied")
    );

    another_key_does_what_it_may(&world, &sshd);
}

/// It sees and does what it may, and nothing else.
fn another_key_does_what_it_may(world: &World, sshd: &Sshd) {
    world.make_key("bob");
    let public = fs::read(world.path("bob.pub")).unwrap();
    world
        .local(&["ssh-keys:add", "--limited", "bob"], &public)
        .succeeded();
    let none = sshd.ssh(world, "bob", &["ps:report", "sshd-shop"], b"");
    assert!(
        none.code == 1 && none.all().contains("Access denied"),
        "{}",
        none.all()
    );
    world
        .local(&["access:add", "bob", "sshd-shop", "read"], b"")
        .succeeded();
    world.local(&["apps:create", "sshd-other"], b"").succeeded();
    let listed = sshd.ssh(world, "bob", &["apps:list"], b"").succeeded();
    assert!(listed.all().contains("sshd-shop") && !listed.all().contains("sshd-other"));
    sshd.ssh(
        world,
        "bob",
        &["config:set", "--no-restart", "sshd-shop", "A=1"],
        b"",
    )
    .failed();
    world.local(&["ssh-keys:remove", "bob"], b"").succeeded();
    sshd.ssh(world, "bob", &["apps:list"], b"").failed();
}

#[test]
fn a_terminal_through_the_systems_sshd() {
    let world = World::new();
    let sshd = Sshd::start(&world);
    world.folder("sshd-pty", "hello");
    world.push("sshd-pty").succeeded();
    let ssh = sshd.command(&world, "ada", &["-tt"], &["run", "sshd-pty", "sh"]);
    let smaller = world.path("smaller");
    let wait = format!(
        "(until test -e {}; do sleep 0.1; done; stty cols 90 rows 20 </dev/tty) &",
        smaller.display()
    );
    let mut shell = Running::start(in_terminal(&ssh, "cols 123 rows 45", &wait));
    wait_for(&shell, "# ");
    type_line(&mut shell, "stty size");
    wait_for(&shell, "45 123");
    fs::write(&smaller, "").unwrap();
    eventually(|| {
        type_line(&mut shell, "stty size");
        let output = shell.output();
        output.contains("20 90").then_some(()).ok_or(output)
    });
    type_line(&mut shell, "exit 7");
    let ended = shell.wait();
    assert_eq!(ended.code, 7, "{}", ended.all());
}
