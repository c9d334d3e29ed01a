//! `setup`, `check-config`, `doctor`, the names that the program answers to.

use std::fs;
use std::path::Path;

use crate::world::{World, text};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ada@example";

#[tokio::test]
async fn a_wrong_setting_stops_the_start_before_anything_is_made() {
    let world = World::new();
    let ended = world
        .run("serve --config sarsen.toml --set http.listen=eighty --set htpp.x=1")
        .await;
    assert_eq!(ended.status.code(), Some(64));
    let stderr = text(&ended.stderr);
    assert!(
        stderr.contains(" !     http.listen cannot be \"eighty\" (--set)"),
        "{stderr}"
    );
    assert!(
        stderr.contains(" !     There is no setting htpp.x (--set)"),
        "{stderr}"
    );
    assert!(!world.path("data").exists() && !world.path("control.sock").exists());
}

#[tokio::test]
async fn options_are_explained() {
    let world = World::new();
    for (words, code, expected) in [
        ("serve --help", 0, "Usage: sarsen serve [--config FILE]"),
        ("--help", 0, "Start it with 'sarsen serve'"),
        ("--version", 0, "sarsen version 0."),
        ("apps:list", 1, "cannot reach the daemon"),
        ("setup --port 1", 64, "There is no option --port"),
        (
            "serve --key-name a --key b",
            64,
            "--key and --from-dokku belong to setup",
        ),
        (
            "check-config --config nowhere",
            64,
            "There is no configuration file nowhere",
        ),
        (
            "check-config --config sarsen.toml",
            0,
            "deadline = \"5s\"  # sarsen.toml:7",
        ),
    ] {
        let ended = world.run(words).await;
        assert_eq!(ended.status.code(), Some(code), "{words}");
        let said = text(&ended.stdout) + &text(&ended.stderr);
        assert!(said.contains(expected), "{words}: {said}");
    }
}

#[tokio::test]
async fn setup_can_be_repeated_with_and_without_a_daemon() {
    let world = World::new();
    fs::write(world.path("key.pub"), KEY).unwrap();
    let setup = "setup --config sarsen.toml --key-name ada --key key.pub";
    let ran = async |setup: &str| {
        let ended = world.run(setup).await;
        (
            ended.status.code(),
            text(&ended.stdout) + &text(&ended.stderr),
        )
    };
    let (code, said) = ran(setup).await;
    assert!(
        code == Some(0) && said.contains("Added the key of ada: SHA256:"),
        "{said}"
    );
    let (code, said) = ran(setup).await;
    assert!(
        code == Some(0) && said.contains("The key of ada is there already"),
        "{said}"
    );
    let (code, said) = ran("setup --config sarsen.toml --key-name bob --key key.pub").await;
    assert!(
        code == Some(1) && said.contains("it was added as ada"),
        "{said}"
    );

    let _daemon = world.start().await;
    let (code, said) = ran(setup).await;
    assert!(
        code == Some(0) && said.contains("is there already"),
        "{said}"
    );
    let (code, said) = ran("setup --config sarsen.toml --key-name bob --key key.pub").await;
    assert!(
        code == Some(1) && said.contains("it was added as ada"),
        "{said}"
    );
    let removed = world.run("ssh-keys:remove ada").await;
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    let (code, said) = ran(setup).await;
    assert!(
        code == Some(0) && said.contains("Added the key of ada"),
        "{said}"
    );
}

#[tokio::test]
async fn setup_writes_the_documented_file_once() {
    let world = World::new();
    fs::remove_file(world.path("sarsen.toml")).unwrap();
    let data = world.path("data");
    let missing = world.run("setup --config new/sarsen.toml").await;
    assert_eq!(
        missing.status.code(),
        Some(64),
        "a file that was named must be there"
    );
    fs::write(world.path("sarsen.toml"), format!("data_dir = {data:?}\n")).unwrap();
    let socket = world.path("control.sock").display().to_string();
    let ended = world
        .run(&format!(
            "setup --config sarsen.toml --set control.socket={socket}"
        ))
        .await;
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    assert!(
        fs::read_to_string(world.path("sarsen.toml"))
            .unwrap()
            .starts_with("data_dir")
    );
    assert!(data.join("sarsen.db").exists() && data.join("owner").exists());
}

#[tokio::test]
async fn doctor_tells_what_is_missing() {
    let world = World::new();
    let ended = world.run("doctor --config sarsen.toml").await;
    assert_eq!(ended.status.code(), Some(1));
    let said = text(&ended.stdout);
    assert!(
        said.contains("FAIL  docker: no answer at") && said.contains("warn  daemon: not running"),
        "{said}"
    );
    assert!(said.trim_end().ends_with("Problems: 1."), "{said}");
    let ended = world.run("doctor --config sarsen.toml --set x=1").await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stdout).contains("FAIL  There is no setting x (--set)"));
}

#[tokio::test]
async fn the_program_knows_itself_by_its_name() {
    let world = World::new();
    let (hook, dokku) = (world.alias("pre-receive"), world.alias("dokku"));
    let ended = world.run_as(&hook, "").await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        text(&ended.stderr).contains("did not come through the daemon"),
        "{}",
        text(&ended.stderr)
    );
    let ended = world.run_as(&dokku, "apps:list").await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        text(&ended.stderr).contains("is it running?"),
        "{}",
        text(&ended.stderr)
    );

    let _daemon = world.start().await;
    let ended = world.run_as(&dokku, "version").await;
    assert!(
        text(&ended.stdout).contains(env!("CARGO_PKG_VERSION")),
        "{}",
        text(&ended.stdout)
    );
    assert!(Path::new(&world.path("data/hooks/pre-receive")).exists());
}
