//! Plugins at work on a real deploy: on its source, its flags, its image, and on who may do what.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::program::run;
use crate::world::World;

/// Writes a plugin and installs it.
fn install(world: &World, name: &str, scripts: &[(&str, &str)]) {
    let folder = world.path(&format!("plugin-{name}"));
    let manifest = "[plugin]\ndescription = \"of a test\"\nversion = \"0.1\"\n[plugin.config]\n";
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
    for (file, text) in scripts {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = format!(
            "#!/usr/bin/env bash\nset -eo pipefail\nsource \"$PLUGIN_CORE_AVAILABLE_PATH/common/functions\"\n\
             source \"$PLUGIN_AVAILABLE_PATH/config/functions\"\n{text}\n"
        );
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let folder = folder.display().to_string();
    world
        .local(&["plugin:install", &folder, "--name", name], b"")
        .succeeded();
}

fn body(world: &World, path: &str) -> String {
    world.get("plugged", path).unwrap().body
}

/// A plugin that meddles with everything a deploy goes through.
const CHANGER: &[(&str, &str)] = &[
    ("post-extract", "echo \"of $1\" > \"$2/version.txt\""),
    ("pre-receive-app", "dokku_log_info1 \"$1 built by $2 from $4\""),
    ("pre-build-dockerfile", "dokku_log_info1 \"about to build $1\""),
    ("docker-args-deploy", "cat; echo \" --env=FLAGGED=$3\""),
    (
        "post-release-builder",
        "id=$(docker container create \"$3\"); echo committed > \"$DOKKU_LIB_ROOT/data/file\"
         docker container cp \"$DOKKU_LIB_ROOT/data/file\" \"$id:/app/version.txt\" >/dev/null 2>&1
         docker container commit \"$id\" \"$3\" >/dev/null; docker container rm \"$id\" >/dev/null",
    ),
    ("docker-args-run", "echo '--env FLAGGED=run'"),
    (
        "post-container-create",
        "echo \"$1 $3 $4 $5\" >> \"$DOKKU_LIB_ROOT/data/made\"",
    ),
    (
        "check-deploy",
        "[[ -n $2 && -n $5 ]]; dokku_log_info1 \"checked $1 $3 $4 $6\"",
    ),
    ("report", "dokku_log_info2 \"$1 changer information\""),
    ("app-urls", "echo \"http://elsewhere.test/$1\""),
    // A script may call back while it is being waited for.
    ("pre-deploy", "config_set --no-restart \"$1\" TOLD=yes; dokku_apps"),
    ("post-config-update", "echo \"$*\" >> \"$DOKKU_LIB_ROOT/data/changes\""),
    ("post-domains-update", "echo \"$*\" >> \"$DOKKU_LIB_ROOT/data/changes\""),
    (
        "post-deploy",
        "plugn trigger ports-get \"$1\"; plugn trigger domains-list \"$1\"; plugn trigger scheduler-detect \"$1\"
         plugn trigger ps-current-scale \"$1\"; plugn trigger config-get \"$1\" TOLD; plugn trigger service-list",
    ),
    ("service-list", "echo services"),
];

#[test]
fn triggers_change_sources_flags_and_addresses() {
    let world = World::new();
    install(&world, "changer", CHANGER);
    world.folder("plugged", "hello");
    world.ssh(&["apps:create", "plugged"]).succeeded();
    let pushed = world.push("plugged").succeeded().all();
    for said in [
        "plugged built by dockerfile from ",
        "about to build plugged",
        "checked plugged web 5000 1",
        "http:80:5000",
        "plugged.e2e.test",
        "docker-local",
        "web=1",
        "yes",
        "services",
        "http://elsewhere.test/plugged",
    ] {
        assert!(pushed.contains(said), "{said}: {pushed}");
    }
    // What was built is of the changed source, what runs is of the changed image.
    let built = world.engine.run(&[
        "run",
        "--rm",
        "dokku/plugged:latest",
        "cat",
        "/app/version.txt",
    ]);
    assert_eq!(built.succeeded().stdout, "of plugged\n");
    assert_eq!(body(&world, "/"), "hello from committed\n");
    assert_eq!(body(&world, "/env/FLAGGED"), "web\n");
    let ran = world.ssh(&["run", "plugged", "printenv", "FLAGGED"]);
    assert_eq!(ran.succeeded().stdout, "run\n");
    let made = fs::read_to_string(world.daemon.data.join("data/made")).unwrap();
    assert_eq!(made, "app plugged deploy web\n");
    let report = world.ssh(&["report", "plugged"]).succeeded().stdout;
    assert!(
        report.contains("=====> plugged changer information"),
        "{report}"
    );
    settings_are_told(&world);
    world
        .local(&["plugin:uninstall", "changer"], b"")
        .succeeded();
    world.ssh(&["ps:rebuild", "plugged"]).succeeded();
    assert_eq!(body(&world, "/"), "hello from one\n");
    assert_eq!(body(&world, "/env/FLAGGED"), "not set\n");
}

fn settings_are_told(world: &World) {
    world
        .ssh(&["config:set", "--no-restart", "plugged", "A=secret", "B=2"])
        .succeeded();
    world
        .ssh(&["domains:add", "plugged", "more.e2e.test"])
        .succeeded();
    let changes = fs::read_to_string(world.daemon.data.join("data/changes")).unwrap();
    assert_eq!(
        changes,
        "plugged set TOLD\nplugged set A B\nplugged add more.e2e.test\n"
    );
    let report = world.local(&["plugin:report", "changer", "--format", "json"], b"");
    let report = report.succeeded().stdout;
    assert!(
        report.contains("\"script\":\"post-domains-update\""),
        "{report}"
    );
}

#[test]
fn a_plugin_decides_who_may_do_what() {
    let world = World::new();
    // It asks the daemon itself: that question is not put to it again.
    let gate = "dokku apps:list >/dev/null\n[[ $1 == dokku ]] || exit 0\n\
                [[ $2 == ada ]] || dokku_log_fail \"$2 may not $3\"";
    install(
        &world,
        "gate",
        &[("user-auth", gate), ("user-auth-app", "echo gated-one")],
    );
    world.ssh(&["apps:create", "gated-one"]).succeeded();
    world.ssh(&["apps:create", "gated-two"]).succeeded();
    let listed = world.ssh(&["--quiet", "apps:list"]).succeeded().stdout;
    assert_eq!(listed, "gated-one\n");
    world.make_key("bob");
    let public = fs::read(world.path("bob.pub")).unwrap();
    world.local(&["ssh-keys:add", "bob"], &public).succeeded();
    let refused = run(world.ssh_as("bob", &[], &["apps:list"]), b"").failed();
    assert!(
        refused.stderr.contains(" !     bob may not apps:list"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("Access denied"),
        "{}",
        refused.stderr
    );
    world.folder("gated-one", "hello");
    let push = world.git_as("bob", "gated-one", &["push", "sarsen", "main"]);
    assert!(run(push, b"").failed().all().contains("Access denied"));
}
