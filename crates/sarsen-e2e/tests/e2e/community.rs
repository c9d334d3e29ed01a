//! Dokku's community plugins, unmodified, by their own commands. Their sources come from a folder of git repositories
//! (`SARSEN_COMMUNITY_PLUGINS`) or from their public address; without either a test says that it was skipped.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::program::{eventually, run};
use crate::world::World;

const SOURCES: &str = "SARSEN_COMMUNITY_PLUGINS";
/// A file that the test runner reads: what was not tested, and why.
const SKIPS: &str = "SARSEN_TEST_SKIPS";
/// Stands in for the image that waits until a datastore listens.
const WAIT: &str = "sarsen/e2e-wait:latest";

/// Where a plugin can be had.
fn source(owner: &str, repository: &str) -> Result<String, String> {
    if let Some(folder) = std::env::var_os(SOURCES) {
        let path = Path::new(&folder).join(repository);
        return match path.is_dir() {
            true => Ok(format!("file://{}", path.display())),
            false => Err(format!("{} is not there", path.display())),
        };
    }
    let url = format!("https://github.com/{owner}/{repository}.git");
    let mut git = Command::new("timeout");
    git.args([
        "20",
        "git",
        "ls-remote",
        "--quiet",
        "--exit-code",
        &url,
        "HEAD",
    ])
    .env("GIT_TERMINAL_PROMPT", "0");
    match run(git, b"").code {
        0 => Ok(url),
        _ => Err(format!(
            "{url} cannot be reached; name a folder of repositories with {SOURCES}"
        )),
    }
}

/// Installs a plugin; false when it cannot be had.
fn install(world: &World, owner: &str, repository: &str) -> bool {
    match source(owner, repository) {
        Ok(source) => {
            world.local(&["plugin:install", &source], b"").succeeded();
            true
        }
        Err(why) => {
            skipped(&format!("{repository}: {why}"));
            false
        }
    }
}

fn skipped(what: &str) {
    println!("skipped: {what}");
    if let Some(file) = std::env::var_os(SKIPS) {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(file)
            .unwrap();
        writeln!(file, "{what}").unwrap();
    }
}

/// Images that stand in for those of registries, named to the plugins as their users would.
fn stand_ins(world: &World) -> bool {
    for image in ["redis:7", "memcached:1.6"] {
        if world.engine.run(&["image", "inspect", image]).code != 0 {
            skipped(&format!(
                "{image} is not on this machine: see deploy/addon-images"
            ));
            return false;
        }
    }
    world.write(
        "wait/Dockerfile",
        "FROM sarsen/base:bookworm\nCOPY wait /wait\nENTRYPOINT [\"/bin/bash\", \"/wait\"]\n",
    );
    world.write(
        "wait/wait",
        "for _ in $(seq 300); do (exec 3<>\"/dev/tcp/${2%:*}/${2#*:}\") 2>/dev/null && exit; sleep 0.1; done; exit 1\n",
    );
    let folder = world.path("wait").display().to_string();
    world
        .engine
        .run(&["build", "--quiet", "--tag", WAIT, &folder])
        .succeeded();
    let rc = world.daemon.data.join("git/.dokkurc");
    fs::create_dir_all(&rc).unwrap();
    let any = "sarsen/base:bookworm";
    let text = format!(
        "export REDIS_IMAGE=redis\nexport REDIS_IMAGE_VERSION=7\nexport MEMCACHED_IMAGE=memcached\n\
         export MEMCACHED_IMAGE_VERSION=1.6\nexport PLUGIN_WAIT_IMAGE={WAIT}\nexport PLUGIN_BUSYBOX_IMAGE={any}\n\
         export PLUGIN_AMBASSADOR_IMAGE={any}\nexport PLUGIN_S3BACKUP_IMAGE={any}\n"
    );
    fs::write(rc.join("images"), text).unwrap();
    true
}

/// Removes the containers that datastores make, whatever happened.
struct Stores<'a>(&'a World);

impl Drop for Stores<'_> {
    fn drop(&mut self) {
        for name in ["dokku.redis.e2ecomm", "dokku.memcached.e2ecomm"] {
            self.0.engine.run(&["rm", "--force", "--volumes", name]);
        }
    }
}

#[test]
fn redis_is_made_linked_filled_and_removed() {
    let world = World::new();
    let _stores = Stores(&world);
    if !stand_ins(&world) || !install(&world, "dokku", "dokku-redis") {
        return;
    }
    let ssh = |words: &[&str]| world.ssh(words).succeeded().stdout;
    let created = ssh(&["redis:create", "e2ecomm"]);
    assert!(
        created.contains("Redis container created: e2ecomm"),
        "{created}"
    );
    world.folder("comm-shop", "hello");
    ssh(&["apps:create", "comm-shop"]);
    world.push("comm-shop").succeeded();
    ssh(&["redis:link", "e2ecomm", "comm-shop"]);
    let url = world.get("comm-shop", "/env/REDIS_URL").unwrap().body;
    assert!(
        url.starts_with("redis://:") && url.trim().ends_with("@dokku-redis-e2ecomm:6379"),
        "{url}"
    );
    // The name resolves where the app runs.
    ssh(&["run", "comm-shop", "getent", "hosts", "dokku-redis-e2ecomm"]);
    ssh(&[
        "enter",
        "comm-shop",
        "web",
        "getent",
        "hosts",
        "dokku-redis-e2ecomm",
    ]);
    assert_eq!(ssh(&["redis:links", "e2ecomm"]).trim(), "comm-shop");
    assert_eq!(
        ssh(&["redis:info", "e2ecomm", "--status"]).trim(),
        "running"
    );
    assert!(ssh(&["redis:logs", "e2ecomm"]).contains("Ready to accept connections"));
    let secret = ssh(&["redis:info", "e2ecomm", "--dsn"]);
    let secret = secret.split([':', '@']).nth(2).unwrap().to_owned();
    let cli = |words: &[&str]| {
        let mut line = vec![
            "exec",
            "dokku.redis.e2ecomm",
            "redis-cli",
            "-a",
            &secret,
            "--no-auth-warning",
        ];
        line.extend(words);
        world.engine.run(&line).succeeded().stdout
    };
    cli(&["set", "kept", "value"]);
    // Redis may be saving by itself at this moment, and then refuses to do it once more.
    let dump = eventually(|| {
        let dump = run(world.local_command(&["redis:export", "e2ecomm"]), b"");
        match dump.code {
            0 => Ok(dump.stdout),
            _ => Err(dump.stderr),
        }
    });
    assert!(dump.starts_with("REDIS"), "{dump:?}");
}

#[test]
fn memcached_and_plugins_of_other_kinds() {
    let world = World::new();
    let _stores = Stores(&world);
    world.folder("comm-mixed", "hello");
    world.ssh(&["apps:create", "comm-mixed"]).succeeded();
    if stand_ins(&world) && install(&world, "dokku", "dokku-memcached") {
        world.ssh(&["memcached:create", "e2ecomm"]).succeeded();
        world
            .ssh(&["memcached:link", "e2ecomm", "comm-mixed"])
            .succeeded();
        let config = world
            .ssh(&["config:get", "comm-mixed", "MEMCACHED_URL"])
            .succeeded();
        assert_eq!(
            config.stdout.trim(),
            "memcached://dokku-memcached-e2ecomm:11211"
        );
        world
            .ssh(&["memcached:unlink", "e2ecomm", "comm-mixed"])
            .succeeded();
        world
            .ssh(&["--force", "memcached:destroy", "e2ecomm"])
            .succeeded();
    }
    let home = world.daemon.data.join("git/comm-mixed");
    // Files of the repository come into the app's folder.
    let supplied = install(&world, "dokku-community", "dokku-supply-config");
    world.write(
        "comm-mixed/.dokku/POST_DEPLOY_SCRIPT",
        "echo \"script of $APP\"\n",
    );
    world.commit("comm-mixed", "With a script");
    let told = install(&world, "baikunz", "dokku-post-deploy-script");
    let pushed = world.push("comm-mixed").succeeded().all();
    if supplied {
        assert!(home.join("POST_DEPLOY_SCRIPT").is_file());
        assert!(!told || pushed.contains("script of comm-mixed"), "{pushed}");
    }
    access_lists(&world);
}

/// Who may do what, by the lists of dokku-acl.
fn access_lists(world: &World) {
    if install(world, "dokku-community", "dokku-acl") {
        let rc = world.daemon.data.join("git/.dokkurc");
        fs::create_dir_all(&rc).unwrap();
        fs::write(
            rc.join("acl"),
            "export DOKKU_ACL_USER_COMMANDS='apps:list'\nexport DOKKU_ACL_PER_APP_COMMANDS='urls'\n",
        )
        .unwrap();
        world.ssh(&["apps:list"]).succeeded();
        world.ssh(&["config:show", "comm-mixed"]).failed();
        world.ssh(&["urls", "comm-mixed"]).failed();
        world
            .local(&["acl:add", "comm-mixed", "ada"], b"")
            .succeeded();
        world.ssh(&["urls", "comm-mixed"]).succeeded();
    }
}
