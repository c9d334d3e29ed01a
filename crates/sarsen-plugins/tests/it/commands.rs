//! Commands of plugins: who takes one on, what it gets, and what help says.

use std::time::{Duration, Instant};

use sarsen_plugins::{Call, Dispatch, Exit, Output, Run, Stdin};

use crate::world::{World, text};

async fn run(world: &World, line: &str) -> Option<Run> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let call = Call::new(&[], Output::Kept);
    match world.plugins.command(&words, call).await.unwrap() {
        Dispatch::NotMine => None,
        Dispatch::Ran(run) => Some(run),
    }
}

async fn said(world: &World, line: &str) -> String {
    text(&run(world, line).await.unwrap().stdout)
}

#[tokio::test]
async fn subcommand_files_go_before_commands_scripts() {
    let world = World::new();
    let show = |who: &str| format!("echo {who}: \"$@\"");
    world
        .plugin(
            "redis",
            &[
                ("subcommands/default", &show("default")),
                ("subcommands/create", &show("create")),
                ("subcommands/a:b", &show("a:b")),
                ("commands", &show("commands")),
            ],
        )
        .await;
    world
        .plugin("bare", &[("subcommands/bare", &show("bare"))])
        .await;
    for (line, answer) in [
        ("redis", "default: redis\n"),
        ("redis:create x --y", "create: redis:create x --y\n"),
        ("redis:a:b x", "a:b: redis:a:b x\n"),
        ("redis:other", "commands: redis:other\n"),
        ("bare x", "bare: bare x\n"),
    ] {
        assert_eq!(said(&world, line).await, answer, "{line}");
    }
}

#[tokio::test]
async fn exit_10_means_not_mine() {
    let world = World::new();
    assert!(run(&world, "hello").await.is_none());
    let log = "echo \"$0\" | sed 's|.*/enabled/||' >> $DOKKU_LIB_ROOT/asked";
    let not_mine = format!("{log}; exit 10");
    let scripts = [
        ("a", not_mine.clone()),
        (
            "b",
            format!("{log}; test \"$1\" = bad && exit 4; test \"$1\" = hello || exit 10; echo b"),
        ),
        ("c", not_mine),
    ];
    for (plugin, script) in &scripts {
        world.plugin(plugin, &[("commands", script)]).await;
    }
    assert!(run(&world, "nobody").await.is_none());
    assert_eq!(said(&world, "hello you").await, "b\n");
    assert_eq!(run(&world, "bad").await.unwrap().exit, Exit::Code(4));
    let asked = std::fs::read_to_string(world.path("asked")).unwrap();
    let asked: String = asked.lines().map(|line| &line[..1]).collect();
    // Who handled it does not end the round; who failed does.
    assert_eq!(asked, "abcabcab");
}

#[tokio::test]
async fn a_command_cannot_name_a_file_outside_of_its_plugin() {
    let world = World::new();
    world
        .plugin("a", &[("install", "echo ran"), ("subcommands/x", "echo x")])
        .await;
    for line in [
        "a:../install",
        "../a",
        "a:.",
        "a:..",
        "a:",
        "a/subcommands/x",
        "a:x/../x",
        ":x",
        ".",
    ] {
        assert!(run(&world, line).await.is_none(), "{line}");
    }
}

#[tokio::test]
async fn input_reaches_the_command_that_takes_it() {
    let world = World::new();
    world.plugin("a", &[("commands", "exit 10")]).await;
    world.plugin("b", &[("subcommands/import", "wc -c")]).await;
    let mut call = Call::new(&[], Output::Kept);
    call.stdin = Stdin::From(Box::new(std::io::Cursor::new(vec![b'x'; 1_000_000])));
    let words = ["b:import".to_owned()];
    let Dispatch::Ran(run) = world.plugins.command(&words, call).await.unwrap() else {
        panic!("not mine");
    };
    assert_eq!(text(&run.stdout).trim(), "1000000");
}

#[tokio::test]
async fn a_command_has_no_time_limit_but_help_has_one() {
    let world = World::with_limit(Duration::from_millis(50));
    let hello =
        "test \"$1\" = help && { echo '    hello <x>, Says hello'; exit; }; sleep 0.3; echo done";
    world.plugin("hello", &[("commands", hello)]).await;
    world
        .plugin(
            "slow",
            &[("commands", "test \"$1\" = help && sleep 600; exit 10")],
        )
        .await;
    assert_eq!(said(&world, "hello").await, "done\n");
    // It would answer for every command that comes after it.
    world
        .plugin("sour", &[("commands", "echo no; exit 1")])
        .await;
    let start = Instant::now();
    let help = world
        .plugins
        .help(Duration::from_secs(1), sarsen_plugins::Detail::Short)
        .await
        .unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(help, [("hello <x>".to_owned(), "Says hello".to_owned())]);
}

#[tokio::test]
async fn the_example_of_this_repository_works() {
    let world = World::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/example-hello");
    let example = std::fs::canonicalize(example).unwrap();
    world
        .install(example.to_str().unwrap(), "hello")
        .await
        .unwrap();
    assert_eq!(said(&world, "hello Ada").await, "Hello, Ada!\n");
    assert!(said(&world, "hello:help").await.starts_with("Usage"));
    assert!(run(&world, "apps:frobnicate").await.is_none());
    let report = world.fire("post-deploy", &["web", "", "", "v3"]).await;
    assert_eq!(
        text(&report.stdout()),
        "-----> Hello from the plugin: web v3 is deployed\n"
    );
    let help = world
        .plugins
        .help(Duration::from_secs(5), sarsen_plugins::Detail::Short)
        .await
        .unwrap();
    assert_eq!(help[0].0, "hello <name>");
}
