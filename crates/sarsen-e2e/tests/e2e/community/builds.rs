//! Plugins that take part in builds and deploys.

use std::fs;
use std::process::Command;

use super::{configure, install, skipped};
use crate::program::run;
use crate::world::World;

#[test]
fn files_and_scripts_come_with_the_source() {
    let world = World::new();
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    world.folder("comm-supply", "hello");
    ssh(&["apps:create", "comm-supply"]);
    let home = world.daemon.data.join("git/comm-supply");
    // Files of the repository come into the app's folder, those of the folder into the image.
    let supplied = install(&world, "dokku-community", "dokku-supply-config");
    let told = install(&world, "baikunz", "dokku-post-deploy-script");
    let copied = has_old_client(&world) && install(&world, "dokku", "dokku-copy-files-to-image");
    world.write(
        "comm-supply/.dokku/POST_DEPLOY_SCRIPT",
        "echo \"script of $APP\"\n",
    );
    world.write("comm-supply/.dokku/DOKKU_FILES/version.txt", "copied in\n");
    // Committing onto the image changes its command, so the app says its own.
    world.write("comm-supply/Procfile", "web: perl server.pl\n");
    world.commit("comm-supply", "With a script and a file");
    let pushed = world.push("comm-supply").succeeded().all();
    if supplied {
        assert!(home.join("POST_DEPLOY_SCRIPT").is_file());
        assert!(
            !told || pushed.contains("script of comm-supply"),
            "{pushed}"
        );
    }
    if supplied && copied {
        assert!(pushed.contains("- Copying version.txt"), "{pushed}");
        let served = || world.get("comm-supply", "/").unwrap().body;
        assert_eq!(served(), "hello from copied in\n");
        ssh(&["ps:restart", "comm-supply"]);
        assert_eq!(served(), "hello from copied in\n");
        fs::remove_dir_all(home.join("DOKKU_FILES")).unwrap();
        ssh(&["ps:rebuild", "comm-supply"]);
        // It is in the repository still, and comes back with each build.
        assert_eq!(served(), "hello from copied in\n");
    }
}

/// The plugin wants the id of a container that it only writes to; some versions of Docker's client do not tell it.
fn has_old_client(world: &World) -> bool {
    let tells = |client: &&str| {
        let mut docker = Command::new(client);
        docker.args(["run", "-i", "-a", "stdin", "sarsen/base:bookworm", "cat"]);
        let id = run(docker, b"").stdout;
        let id = id.trim();
        let removed = world.engine.run(&["rm", "--force", id]);
        !id.is_empty() && removed.code == 0
    };
    let found = ["docker", "/usr/bin/docker"].into_iter().find(tells);
    match found {
        Some(client) => configure(world, "client", &format!("export DOCKER_BIN={client}\n")),
        None => skipped(
            "dokku-copy-files-to-image: this version of Docker's client does not tell the ids it needs",
        ),
    }
    found.is_some()
}

#[test]
fn an_app_requires_volumes_and_commands() {
    let world = World::new();
    if !install(&world, "crisward", "dokku-require") {
        return;
    }
    let ssh = |words: &[&str]| world.ssh(words).succeeded().all();
    world.folder("comm-require", "hello");
    ssh(&["apps:create", "comm-require"]);
    let volume = world.path("volume").display().to_string();
    world.write(
        "comm-require/app.json",
        &format!(
            "{{\"dokku\": {{\"plugins\": [{{\"name\": \"require\", \"commands\": \
             [\"config:set --no-restart $APP REQUIRED=yes\", \"domains:add $APP required.e2e.test\"]}}, \"nothing\"], \
             \"volumes\": [{{\"host\": \"{volume}/$APP\", \"app\": \"/kept\", \
             \"phases\": \"deploy,run\"}}]}}}}\n"
        ),
    );
    world.commit("comm-require", "With requirements");
    let pushed = world.push("comm-require").succeeded().all();
    assert!(
        pushed.contains("Setting up 1 volumes from app.json"),
        "{pushed}"
    );
    assert!(
        pushed.contains("nothing plugin is not available"),
        "{pushed}"
    );
    assert_eq!(
        world.get("comm-require", "/env/REQUIRED").unwrap().body,
        "yes\n"
    );
    assert_eq!(world.get("required.e2e.test", "/").unwrap().status, 200);
    ssh(&["enter", "comm-require", "web", "touch", "/kept/here"]);
    assert!(world.path("volume/comm-require/here").is_file());
    // A second push asks for the same again.
    world.commit("comm-require", "Once more");
    world.push("comm-require").succeeded();
    let said = world
        .local(&["require:mode", "live"], b"")
        .succeeded()
        .all();
    assert!(said.contains("live"), "{said}");
}

#[test]
fn packages_of_the_system_are_built_in() {
    let world = World::new();
    if !install(&world, "dokku-community", "dokku-apt") {
        return;
    }
    world.folder("comm-apt", "hello");
    world.ssh(&["apps:create", "comm-apt"]).succeeded();
    fs::remove_file(world.path("comm-apt/Dockerfile")).unwrap();
    world.write("comm-apt/Procfile", "web: perl server.pl\n");
    world.write("comm-apt/apt-packages", "sl\n");
    world.commit("comm-apt", "Buildpacks and a package");
    let pushed = world.push("comm-apt").succeeded().all();
    assert!(pushed.contains("Injecting packages: sl"), "{pushed}");
    let ran = world.ssh(&["run", "comm-apt", "ls", "/usr/games/sl"]);
    assert_eq!(ran.succeeded().stdout.trim(), "/usr/games/sl");
    // What was made is found again.
    let again = world.ssh(&["ps:rebuild", "comm-apt"]).succeeded().all();
    assert!(
        again.contains("Compatible extended app image found"),
        "{again}"
    );
}
