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
async fn dokku_and_plugn_are_our_program() {
    let world = World::new();
    // The program is /bin/echo here.
    let go = "plugn trigger service-list x 'y z'; dokku apps:list";
    world.plugin("a", &[("go", go)]).await;
    let report = world.fire("go", &[]).await;
    assert_eq!(
        text(&report.stdout()),
        "trigger service-list x y z\napps:list\n"
    );
}

#[tokio::test]
async fn libraries_can_be_sourced_twice_and_bash_runs_what_has_no_first_line() {
    let world = World::new();
    let folder = world.plugin("a", &[("go", "")]).await;
    let script = r#"source "$PLUGIN_CORE_AVAILABLE_PATH/common/functions"
source "$PLUGIN_AVAILABLE_PATH/config/functions"
source "$PLUGIN_ENABLED_PATH/common/functions"
source "$PLUGIN_CORE_AVAILABLE_PATH/common/property-functions"
for library in ps domains certs checks proxy nginx-vhosts plugin; do source "$PLUGIN_CORE_AVAILABLE_PATH/$library/functions"; done
source "$PLUGIN_CORE_AVAILABLE_PATH/nginx-vhosts/internal-functions"
[[ ! -f $PLUGIN_AVAILABLE_PATH/docker-options/functions ]]
DOKKU_SYSTEM_USER=$(id -un) DOKKU_SYSTEM_GROUP=$(id -gn)
dokku_log_info1 one
DOKKU_QUIET_OUTPUT=1 dokku_log_info2_quiet hidden
fn-plugin-property-setup p
fn-plugin-property-write p app key 'a "b" $c'
fn-plugin-property-get p app key; fn-plugin-property-get p app none fallback
for item in x y z; do fn-plugin-property-list-add p app list "$item"; done
fn-plugin-property-list-add p app list first 1
fn-plugin-property-list-remove p app list y
fn-plugin-property-list-get p app list | tr '\n' ' '
fn-plugin-property-list-get-by-value p app list z && echo has z
fn-plugin-property-write p/.. app key x || echo refused
fn-plugin-property-clone p app other; fn-plugin-property-get-all p other | sed -n 1p
fn-plugin-property-destroy p app; fn-plugin-property-exists p app key || echo gone
fn-in-array b a b && strip_inline_comments 'text # why'
suppress_output echo hidden
( suppress_output bash -c 'echo shown; exit 3' ) || echo "code $?"
( DOKKU_FAIL_EXIT_CODE=7 dokku_log_fail bad ) || echo "code $?"
merge_dedupe_list 'a b a'; remove_val_from_list b 'a b c'; fn-docker-args-split "--link 'a b'" | tr '\0' '|'
"#;
    std::fs::write(folder.join("go"), script).unwrap();
    let report = world.fire("go", &[]).await;
    assert_eq!(
        text(&report.stdout()),
        "-----> one\na \"b\" $c\nfallback\nfirst x z has z\nrefused\nkey a \"b\" $c\ngone\ntext\n\
         shown\ncode 3\ncode 7\na b\na c\n--link|a b|",
        "{:?}",
        report.failed()
    );
}

#[test]
#[expect(clippy::disallowed_types, reason = "a test that waits for one program")]
fn libraries_are_clean() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut checked = std::process::Command::new("shellcheck");
    checked.arg("-x").current_dir(&root);
    for folder in std::fs::read_dir(root.join("plugins/core")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none() {
                checked.arg(path);
            }
        }
    }
    let output = match checked.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: shellcheck is not on this machine");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(output.status.success(), "{}", text(&output.stdout));
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
        tagged: false,
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
    fs::write(folder.join("c"), b"\x7fELF\0no program").unwrap();
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
        tagged: false,
    });
    let report = world.fire_into("x", Call::new(&[], output)).await;
    assert_eq!(report.failed().unwrap().exit, Exit::Signal(15));
}
