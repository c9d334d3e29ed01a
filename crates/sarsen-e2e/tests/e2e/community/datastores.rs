//! Datastores: made, linked to apps that then use them, looked at, backed up, restored, cloned, moved and removed.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::{configure, install, skipped};
use crate::program::{eventually, run};
use crate::s3::{MISSING, Storage};
use crate::world::World;

/// Stand-ins for the images that datastores help themselves with.
const TOOLS: &str = "sarsen/e2e-datastore-tools:latest";

/// Waits until a datastore listens; lets the ports of a linked container out; puts a backup into a bucket.
const TOOL: &str = r#"#!/bin/bash
set -euo pipefail
if [[ ${1:-} == -c ]]; then
  for _ in $(seq 600); do (exec 3<>"/dev/tcp/${2%:*}/${2#*:}") 2>/dev/null && exit; sleep 0.1; done
  exit 1
fi
if [[ -n ${BUCKET_NAME:-} ]]; then
  tar -C / -czf /tmp/backup.tgz backup
  exec curl --fail --silent --show-error --header 'x-amz-acl: public-read' \
    --upload-file /tmp/backup.tgz "$ENDPOINT_URL/$BUCKET_NAME/$BACKUP_NAME.tgz"
fi
if (($#)); then exec "$@"; fi
exec perl /forward
"#;

/// As the ambassador: from the variables of a link to listening sockets.
const FORWARD: &str = r#"use strict; use warnings; use IO::Socket::INET;
$SIG{CHLD} = 'IGNORE';
my %to;
for (keys %ENV) { $to{$2} = $1 if /_PORT_\d+_TCP$/ and $ENV{$_} =~ m{^tcp://([\d.]+):(\d+)$} }
for my $port (keys %to) {
  next if fork;
  my $listener = IO::Socket::INET->new(LocalPort => $port, Listen => 9, ReuseAddr => 1) or die $!;
  while (my $client = $listener->accept) {
    next if fork;
    my $server = IO::Socket::INET->new(PeerAddr => $to{$port}, PeerPort => $port) or exit 1;
    my ($from, $into) = fork ? ($client, $server) : ($server, $client);
    my $chunk;
    syswrite $into, $chunk while sysread $from, $chunk, 65536;
    exit 0;
  }
}
sleep 1 while 1;
"#;

/// Containers that datastores make; removed whatever happened.
struct Stores<'a> {
    world: &'a World,
    kind: &'static str,
    names: &'static [&'static str],
}

impl Drop for Stores<'_> {
    fn drop(&mut self) {
        for name in self.names {
            let container = format!("dokku.{}.{name}", self.kind);
            let ambassador = format!("{container}.ambassador");
            for name in [container, ambassador] {
                let words = ["rm", "--force", "--volumes", &name];
                self.world.engine.run(&words);
            }
            fs::remove_file(format!("/etc/cron.d/dokku-{}-{name}", self.kind)).ok();
        }
    }
}

/// Names images to the plugins, as their users would where no registry can be reached. False without the server's.
fn stand_ins(world: &World, variable: &str, image: &str, version: &str) -> bool {
    let server = format!("{image}:{version}");
    if world.engine.run(&["image", "inspect", &server]).code != 0 {
        skipped(&format!(
            "The community plugin {image}: no image {server}: see deploy/addon-images"
        ));
        return false;
    }
    world.write(
        "tools/Dockerfile",
        "FROM sarsen/base:bookworm\nCOPY tool forward /\nENTRYPOINT [\"/bin/bash\", \"/tool\"]\n",
    );
    world.write("tools/tool", TOOL);
    world.write("tools/forward", FORWARD);
    let folder = world.path("tools").display().to_string();
    world
        .engine
        .run(&["build", "--quiet", "--tag", TOOLS, &folder])
        .succeeded();
    let mut text =
        format!("export {variable}_IMAGE={image}\nexport {variable}_IMAGE_VERSION={version}\n");
    for tool in ["WAIT", "BUSYBOX", "AMBASSADOR", "S3BACKUP"] {
        text += &format!("export PLUGIN_{tool}_IMAGE={TOOLS}\n");
    }
    configure(world, "images", &text);
    true
}

/// An app, deployed, that passes words on to the server of a URL: `run APP bash ask VARIABLE LINE…`.
fn client(world: &World, app: &str) {
    world.folder(app, "hello");
    world.write(
        &format!("{app}/ask"),
        "url=${!1}; shift; place=${url##*@}; place=${place##*//}; place=${place%%/*}\n\
         exec 3<>\"/dev/tcp/${place%:*}/${place#*:}\"\n\
         password=${url#*:*:}; if [[ $url == redis:* ]]; then printf 'AUTH %s\\r\\n' \"${password%@*}\" >&3; fi\n\
         printf '%s\\r\\n' \"$@\" >&3\ntimeout 5 cat <&3 || true\n",
    );
    world.commit(app, "A client");
    world.ssh(&["apps:create", app]).succeeded();
    world.push(app).succeeded();
}

#[test]
fn redis_from_its_creation_to_its_end() {
    let world = World::new();
    let _stores = Stores {
        world: &world,
        kind: "redis",
        names: &["e2ecomm", "e2ecomm-two", "e2ecomm-copy"],
    };
    if !stand_ins(&world, "REDIS", "redis", "7") || !install(&world, "dokku", "dokku-redis") {
        return;
    }
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    let created = ssh(&["redis:create", "e2ecomm"]);
    assert!(
        created.contains("Redis container created: e2ecomm"),
        "{created}"
    );
    client(&world, "comm-shop");
    let ask = |app: &str, line: &str| ssh(&["run", app, "bash", "ask", "REDIS_URL", line, "QUIT"]);
    ssh(&["redis:link", "e2ecomm", "comm-shop"]);
    let url = world.get("comm-shop", "/env/REDIS_URL").unwrap().body;
    assert!(
        url.starts_with("redis://:") && url.trim().ends_with("@dokku-redis-e2ecomm:6379"),
        "{url}"
    );
    // One-off containers and those that serve find it alike.
    assert!(ask("comm-shop", "'SET greeting hello'").contains("+OK"));
    ssh(&[
        "enter",
        "comm-shop",
        "web",
        "getent",
        "hosts",
        "dokku-redis-e2ecomm",
    ]);
    redis_tells_of_itself(&world);
    redis_is_dumped_and_restored(&world);
    redis_is_paused_and_opened(&world);
    redis_has_a_second_one(&world);

    // Links go with an app's name, and with the app.
    ssh(&["apps:rename", "comm-shop", "comm-renamed"]);
    assert!(ssh(&["redis:links", "e2ecomm"]).contains("comm-renamed"));
    assert!(ask("comm-renamed", "'GET greeting'").contains("hello"));
    ssh(&["redis:unlink", "e2ecomm", "comm-renamed"]);
    let gone = world.get("comm-renamed", "/env/REDIS_URL").unwrap().body;
    assert_eq!(gone, "not set\n");
    let options = ssh(&["docker-options:report", "comm-renamed"]);
    assert!(!options.contains("e2ecomm:"), "{options}");
    ssh(&["--force", "redis:destroy", "e2ecomm"]);
    world.ssh(&["redis:exists", "e2ecomm"]).failed();
    let left = world.engine.run(&["ps", "--all", "--format", "{{.Names}}"]);
    assert!(
        !left.stdout.contains("dokku.redis.e2ecomm"),
        "{}",
        left.stdout
    );
}

/// What it says when asked.
fn redis_tells_of_itself(world: &World) {
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    for (words, said) in [
        (&["redis:info", "e2ecomm", "--status"][..], "running"),
        (&["redis:info", "e2ecomm"], "comm-shop"),
        (&["redis:links", "e2ecomm"], "comm-shop"),
        (&["redis:app-links", "comm-shop"], "e2ecomm"),
        (
            &["redis:linked", "e2ecomm", "comm-shop"],
            "is linked to comm-shop",
        ),
        (&["redis:list"], "e2ecomm"),
        (&["redis:exists", "e2ecomm"], "exists"),
        (&["redis:logs", "e2ecomm"], "Ready to accept connections"),
        (
            &["redis:enter", "e2ecomm", "redis-cli", "--version"],
            "redis-cli",
        ),
        (&["redis:help"], "redis:create"),
        (&["help", "--all"], "create a Redis service"),
    ] {
        let told = ssh(words);
        assert!(told.contains(said), "{words:?}: {told}");
    }
    let connected = world.local(&["redis:connect", "e2ecomm"], b"GET greeting\n");
    assert!(connected.succeeded().stdout.contains("hello"));
    for words in [
        &["redis:create", "e2ecomm"][..],
        &["redis:link", "e2ecomm", "comm-shop"],
        &["redis:link", "e2ecomm", "comm-nobody"],
        &["redis:link", "nothing", "comm-shop"],
        &["--force", "redis:destroy", "e2ecomm"],
    ] {
        world.ssh(words).failed();
    }
}

/// Export, import, clone; a backup in a bucket, and its schedule.
fn redis_is_dumped_and_restored(world: &World) {
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    let cli = |service: &str, line: &str| {
        let line = format!("{line}\n");
        let said = world.local(&["redis:connect", service], line.as_bytes());
        said.succeeded().stdout
    };
    // Redis may be saving by itself at this moment, and then refuses to do it once more.
    let dump = world.path("dump.rdb");
    eventually(|| {
        let export = world.local_to(&["redis:export", "e2ecomm"], &dump);
        match export.code {
            0 => Ok(()),
            _ => Err(export.stderr),
        }
    });
    cli("e2ecomm", "SET greeting spoilt");
    let bytes = fs::read(&dump).unwrap();
    assert!(bytes.starts_with(b"REDIS"));
    world
        .local(&["redis:import", "e2ecomm"], &bytes)
        .succeeded();
    eventually(|| {
        let said = world.local(&["redis:connect", "e2ecomm"], b"GET greeting\n");
        let whole = said.stdout.contains("hello");
        whole.then_some(()).ok_or_else(|| said.all())
    });
    ssh(&["redis:clone", "e2ecomm", "e2ecomm-copy"]);
    eventually(|| {
        let said = world.local(&["redis:connect", "e2ecomm-copy"], b"GET greeting\n");
        let whole = said.stdout.contains("hello");
        whole.then_some(()).ok_or_else(|| said.all())
    });
    ssh(&["--force", "redis:destroy", "e2ecomm-copy"]);

    ssh(&["redis:backup-schedule", "e2ecomm", "'0 3 * * *'", "bucket"]);
    let line = ssh(&["redis:backup-schedule-cat", "e2ecomm"]);
    assert!(line.contains("redis:backup e2ecomm bucket"), "{line}");
    ssh(&["redis:backup-unschedule", "e2ecomm"]);
    redis_goes_into_a_bucket(world);
}

fn redis_goes_into_a_bucket(world: &World) {
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    // Containers reach the host at the address of its bridge.
    let gateway = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = world
        .engine
        .ask(&["network", "inspect", "bridge", "--format", gateway]);
    let ip: IpAddr = gateway[0].parse().unwrap();
    let Some(storage) = Storage::start(ip) else {
        skipped(&format!("The community plugin redis to S3: {MISSING}"));
        return;
    };
    storage.make_bucket("e2e-community");
    let endpoint = storage.endpoint();
    ssh(&[
        "redis:backup-auth",
        "e2ecomm",
        "ID",
        "SECRET",
        "us-east-1",
        "s3v4",
        &endpoint,
    ]);
    eventually(|| {
        let backup = world.ssh(&["redis:backup", "e2ecomm", "e2e-community"]);
        (backup.code == 0).then_some(()).ok_or_else(|| backup.all())
    });
    let archive = world.path("backup.tgz");
    storage.fetch("e2e-community/redis-e2ecomm.tgz", &archive);
    assert!(unpacked(&archive).starts_with(b"REDIS"));
}

/// The export inside a backup.
fn unpacked(archive: &Path) -> Vec<u8> {
    let folder = archive.parent().unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(folder);
    run(tar, b"").succeeded();
    fs::read(folder.join("backup/export")).unwrap()
}

/// Stopped, started, and open on the host.
fn redis_is_paused_and_opened(world: &World) {
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    ssh(&["redis:pause", "e2ecomm"]);
    assert!(ssh(&["redis:info", "e2ecomm", "--status"]).contains("exited"));
    // An app that starts brings its services up.
    ssh(&["ps:stop", "comm-shop"]);
    ssh(&["ps:start", "comm-shop"]);
    assert!(ssh(&["redis:info", "e2ecomm", "--status"]).contains("running"));
    ssh(&["redis:stop", "e2ecomm"]);
    ssh(&["redis:start", "e2ecomm"]);
    ssh(&["redis:restart", "e2ecomm"]);
    let port = crate::daemon::free_port().to_string();
    ssh(&["redis:expose", "e2ecomm", &port]);
    let shown = ssh(&["redis:info", "e2ecomm", "--exposed-ports"]);
    assert!(shown.contains(&format!("6379->{port}")), "{shown}");
    let answers = |line: &str| -> Result<(), String> {
        use std::io::{Read, Write};
        let address = format!("127.0.0.1:{port}");
        let mut stream = std::net::TcpStream::connect(address).map_err(|e| e.to_string())?;
        let said = stream.write_all(line.as_bytes());
        said.map_err(|error| error.to_string())?;
        let mut buffer = [0; 64];
        let count = stream
            .read(&mut buffer)
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        text.contains("NOAUTH").then_some(()).ok_or(text)
    };
    eventually(|| answers("PING\r\n"));
    ssh(&["redis:unexpose", "e2ecomm"]);
}

/// A second service of the same kind, which becomes the first.
fn redis_has_a_second_one(world: &World) {
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    ssh(&["redis:create", "e2ecomm-two"]);
    ssh(&["redis:link", "e2ecomm-two", "comm-shop"]);
    let config = ssh(&["config:show", "comm-shop"]);
    assert!(config.contains("DOKKU_REDIS_AQUA_URL"), "{config}");
    ssh(&["redis:promote", "e2ecomm-two", "comm-shop"]);
    let url = ssh(&["config:get", "comm-shop", "REDIS_URL"]);
    assert!(
        url.trim().ends_with("@dokku-redis-e2ecomm-two:6379"),
        "{url}"
    );
    ssh(&["redis:unlink", "e2ecomm-two", "comm-shop"]);
    ssh(&["--force", "redis:destroy", "e2ecomm-two"]);
    let first = ssh(&["config:show", "comm-shop"]);
    assert!(first.contains("@dokku-redis-e2ecomm:6379"), "{first}");
    ssh(&["redis:promote", "e2ecomm", "comm-shop"]);
}

#[test]
fn rabbitmq_is_used_and_removed() {
    let world = World::new();
    let _stores = Stores {
        world: &world,
        kind: "rabbitmq",
        names: &["e2ecomm"],
    };
    let ready = stand_ins(&world, "RABBITMQ", "rabbitmq", "3");
    if !ready || !install(&world, "dokku", "dokku-rabbitmq") {
        return;
    }
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    ssh(&["rabbitmq:create", "e2ecomm"]);
    client(&world, "comm-rabbit");
    ssh(&["rabbitmq:link", "e2ecomm", "comm-rabbit"]);
    let url = world.get("comm-rabbit", "/env/RABBITMQ_URL").unwrap().body;
    assert!(
        url.starts_with("amqp://e2ecomm:")
            && url.trim().ends_with("@dokku-rabbitmq-e2ecomm:5672/e2ecomm"),
        "{url}"
    );
    // Whoever does not speak AMQP is told which version the server speaks.
    let said = ssh(&[
        "run",
        "comm-rabbit",
        "bash",
        "ask",
        "RABBITMQ_URL",
        "'HELLO RABBIT'",
    ]);
    assert!(said.contains("AMQP"), "{said:?}");
    let listed = ssh(&[
        "rabbitmq:enter",
        "e2ecomm",
        "rabbitmqctl",
        "--quiet",
        "list_vhosts",
    ]);
    assert!(listed.contains("e2ecomm"), "{listed}");
    assert!(ssh(&["rabbitmq:info", "e2ecomm", "--links"]).contains("comm-rabbit"));
    eventually(|| {
        let logs = ssh(&["rabbitmq:logs", "e2ecomm"]);
        let up = logs.contains("Server startup complete");
        up.then_some(()).ok_or(logs)
    });
    // These the plugin itself does not have.
    for words in [
        ["rabbitmq:export", "e2ecomm"],
        ["rabbitmq:connect", "e2ecomm"],
    ] {
        let refused = world.ssh(&words).failed().all();
        assert!(refused.contains("Not yet implemented"), "{refused}");
    }
    ssh(&["rabbitmq:unlink", "e2ecomm", "comm-rabbit"]);
    ssh(&["--force", "rabbitmq:destroy", "e2ecomm"]);
}

#[test]
fn memcached_is_used_and_removed() {
    let world = World::new();
    let _stores = Stores {
        world: &world,
        kind: "memcached",
        names: &["e2ecomm"],
    };
    let ready = stand_ins(&world, "MEMCACHED", "memcached", "1.6");
    if !ready || !install(&world, "dokku", "dokku-memcached") {
        return;
    }
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    ssh(&["memcached:create", "e2ecomm"]);
    client(&world, "comm-mem");
    ssh(&["memcached:link", "e2ecomm", "comm-mem"]);
    let url = ssh(&["config:get", "comm-mem", "MEMCACHED_URL"]);
    assert_eq!(url.trim(), "memcached://dokku-memcached-e2ecomm:11211");
    let said = ssh(&[
        "run",
        "comm-mem",
        "bash",
        "ask",
        "MEMCACHED_URL",
        "version",
        "quit",
    ]);
    assert!(said.contains("VERSION 1.6"), "{said}");
    assert!(ssh(&["memcached:info", "e2ecomm", "--status"]).contains("running"));
    ssh(&["memcached:logs", "e2ecomm"]);
    let refused = world.ssh(&["memcached:export", "e2ecomm"]).failed().all();
    assert!(refused.to_lowercase().contains("not"), "{refused}");
    ssh(&["memcached:unlink", "e2ecomm", "comm-mem"]);
    ssh(&["--force", "memcached:destroy", "e2ecomm"]);
}
