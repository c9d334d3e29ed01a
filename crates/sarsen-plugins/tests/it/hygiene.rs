//! Scripts that misbehave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use sarsen_plugins::{Call, Exit, Output, Streams};

use crate::world::{Log, World, eventually, runs, text};

#[tokio::test]
async fn the_environment_is_dokkus_and_nothing_of_ours() {
    let world = World::new();
    let folder = world
        .plugin(
            "a",
            &[(
                "show",
                "env; echo \"pwd $(pwd -P)\"; command -v dokku; command -v plugn; dokku hi",
            )],
        )
        .await;
    let mut call = Call::new(&[], Output::Kept);
    call.env = vec![("SSH_NAME".to_owned(), "ada".to_owned())];
    let shown = text(&world.fire_into("show", call).await.stdout());
    let root = world.folder.path().display();
    for line in [
        "DOKKU_API_VERSION=1",
        "DOKKU_NOT_IMPLEMENTED_EXIT=10",
        "DOKKU_VALID_EXIT=0",
        "CONFIG_SIDE=left",
        "SSH_NAME=ada",
        "DOCKER_HOST=unix:///x",
        "LANG=C.UTF-8",
        &format!("DOKKU_ROOT={root}/git"),
        &format!("DOKKU_LIB_ROOT={root}"),
        &format!("PLUGIN_PATH={root}/plugins"),
        &format!("PLUGIN_ENABLED_PATH={root}/plugins/enabled"),
        &format!("PLUGIN_CORE_AVAILABLE_PATH={root}/core-plugins/available"),
        &format!("SARSEN_SOCKET={root}/control.sock"),
        &format!("pwd {}", fs::canonicalize(folder).unwrap().display()),
        &format!("{root}/plugins/.tools/dokku"),
        &format!("{root}/plugins/.tools/plugn"),
        "hi",
    ] {
        assert!(shown.lines().any(|own| own == line), "{line}: {shown}");
    }
    assert!(!shown.contains("CARGO"), "{shown}");
}

#[tokio::test]
async fn plugn_hands_over_to_the_daemon() {
    let world = World::new();
    world
        .plugin(
            "a",
            &[("go", "plugn trigger service-list x 'y z'; plugn update a")],
        )
        .await;
    let report = world.fire("go", &[]).await;
    assert_eq!(
        text(&report.stdout()),
        "plugin:trigger service-list x y z\n"
    );
    assert!(
        report
            .failed()
            .unwrap()
            .last_words
            .contains("not supported")
    );
}

#[tokio::test]
async fn a_script_that_hangs_is_stopped_with_everything_it_started() {
    let world = World::with_limit(Duration::from_millis(400));
    let script = "sleep 600 & echo $! > $DOKKU_LIB_ROOT/child; echo begun; wait";
    world.plugin("a", &[("post-deploy", script)]).await;
    let report = world.fire("post-deploy", &[]).await;
    let run = report.failed().unwrap();
    assert_eq!(run.exit, Exit::TimedOut(Duration::from_millis(400)));
    assert_eq!(
        run.to_string(),
        "plugin a: post-deploy was stopped after 0.4 seconds"
    );
    assert_eq!(run.last_words, "begun");
    let child = fs::read_to_string(world.path("child")).unwrap();
    eventually("the child ends", || !runs(&child)).await;
}

#[tokio::test]
async fn one_that_ignores_sigterm_is_killed() {
    let world = World::with_limit(Duration::from_millis(200));
    world
        .plugin("a", &[("x", "trap '' TERM; while :; do sleep 600; done")])
        .await;
    let start = Instant::now();
    let report = world.fire("x", &[]).await;
    assert!(matches!(report.failed().unwrap().exit, Exit::TimedOut(_)));
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn giving_up_a_call_stops_its_script() {
    let world = World::new();
    let script = "trap 'echo bye; echo bye >&2; echo cleaned > $DOKKU_LIB_ROOT/cleaned; exit' TERM; echo $$ > $DOKKU_LIB_ROOT/pid; \
                  while :; do sleep 0.05; done";
    world.plugin("a", &[("x", script)]).await;
    let pid = world.path("pid");
    let has_pid = || fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'));
    tokio::select! {
        _ = world.fire("x", &[]) => panic!("it ended"),
        () = eventually("it runs", has_pid) => {}
    }
    let pid = fs::read_to_string(&pid).unwrap();
    // Whoever shuts down waits for the script to be gone.
    world.tasks.close();
    world.tasks.wait().await;
    assert!(!runs(&pid));
    assert!(world.path("cleaned").exists());
}

#[tokio::test]
async fn a_flood_is_bounded() {
    let world = World::new();
    let script = "head -c 20000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo; echo end >&2";
    world.plugin("a", &[("x", script)]).await;
    let log = Log::default();
    let report = world
        .fire_into("x", Call::new(&[], Output::TaggedLog(&log)))
        .await;
    let run = &report.runs[0];
    assert_eq!(run.exit, Exit::Code(0));
    assert_eq!(run.stdout.len(), 256 * 1024);
    assert!(run.left_out > 15_000_000, "{}", run.left_out);
    let log = log.text();
    assert!(log.len() < 5_000_000, "{}", log.len());
    assert!(log.starts_with("[a] xxx") && log.contains("left out of the log"));
}

#[tokio::test]
async fn output_need_not_be_text() {
    let world = World::new();
    world
        .plugin(
            "a",
            &[(
                "x",
                "printf '\\377\\000\\n'; printf '\\376half' >&2; exit 3",
            )],
        )
        .await;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let output = Output::Streams(Streams {
        stdout: &mut stdout,
        stderr: &mut stderr,
    });
    let report = world.fire_into("x", Call::new(&[], output)).await;
    assert_eq!(report.stdout(), b"\xff\0\n");
    assert!(report.failed().unwrap().last_words.contains("half"));
    assert_eq!(
        (stdout, stderr),
        (b"\xff\0\n".to_vec(), b"\xfehalf".to_vec())
    );
}

#[tokio::test]
async fn what_cannot_be_started_says_whose_it_is_and_why() {
    let world = World::new();
    for (plugin, text, reason) in [
        (
            "a",
            "#!/no/such/interpreter -x\n",
            "its interpreter /no/such/interpreter is not on this host",
        ),
        ("b", "#!/etc/passwd\n", "no permission to run"),
    ] {
        world.plugin(plugin, &[(plugin, text)]).await;
        let report = world.fire(plugin, &[]).await;
        let failed = report.failed().unwrap();
        let sentence = failed.to_string();
        assert!(
            sentence.starts_with(&format!(
                "plugin {plugin}: {plugin} could not be started: {reason}"
            )),
            "{sentence}"
        );
        assert_eq!(report.code(), 126);
    }
    let folder = world.plugin("c", &[]).await;
    fs::write(folder.join("c"), "echo no first line").unwrap();
    fs::set_permissions(folder.join("c"), fs::Permissions::from_mode(0o755)).unwrap();
    let report = world.fire("c", &[]).await;
    let sentence = report.failed().unwrap().to_string();
    assert!(
        sentence.contains("neither a program for this machine nor a script"),
        "{sentence}"
    );
}

#[tokio::test]
async fn a_child_that_sits_on_the_output_does_not_hold_us_up_and_one_that_lets_go_may_live() {
    let world = World::new();
    let held = "sleep 600 & echo $! > $DOKKU_LIB_ROOT/held; exit 5";
    let free = "sleep 600 >/dev/null 2>&1 & echo $! > $DOKKU_LIB_ROOT/free";
    let tee = "{ sleep 0.3; echo late; } & exit 0";
    world
        .plugin("a", &[("held", held), ("free", free), ("tee", tee)])
        .await;
    let start = Instant::now();
    let report = world.fire("held", &[]).await;
    assert_eq!(report.code(), 5);
    assert!(start.elapsed() < Duration::from_secs(15));
    let child = fs::read_to_string(world.path("held")).unwrap();
    eventually("the child ends", || !runs(&child)).await;

    assert_eq!(world.fire("free", &[]).await.code(), 0);
    let child = fs::read_to_string(world.path("free")).unwrap();
    assert!(runs(&child));
    let pid = nix::unistd::Pid::from_raw(child.trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();

    assert_eq!(text(&world.fire("tee", &[]).await.stdout()), "late\n");
}

#[tokio::test]
async fn a_signal_is_told_from_a_code() {
    let world = World::new();
    world.plugin("a", &[("x", "kill -KILL $$")]).await;
    let report = world.fire("x", &[]).await;
    assert_eq!(report.failed().unwrap().exit, Exit::Signal(9));
    assert_eq!(report.code(), 137);
}

#[tokio::test]
async fn a_reader_who_is_gone_stops_the_script() {
    let world = World::new();
    world
        .plugin("a", &[("x", "while :; do echo more; done")])
        .await;
    let (reader, mut stdout) = tokio::io::duplex(64);
    drop(reader);
    let output = Output::Streams(Streams {
        stdout: &mut stdout,
        stderr: &mut tokio::io::sink(),
    });
    let report = world.fire_into("x", Call::new(&[], output)).await;
    assert_eq!(report.failed().unwrap().exit, Exit::Signal(15));
}
