//! Tasks of a deploy, one-off containers, commands in running ones, live logs.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use sarsen_deploy::{
    EnterSpec, LogFormat, LogSource, Phase, PhaseTask, RunHandle, RunMode, RunSpec, TextStyle,
};
use sarsen_runtime::{Attached, LogOptions, StdStream, TtySize};
use tokio::io::AsyncWriteExt;

use crate::world::{World, with_app};

async fn run(world: &World, words: &[&str], mode: RunMode) -> RunHandle {
    let spec = RunSpec {
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        mode,
        ..RunSpec::default()
    };
    let running = world.deployer.run(&world.release, &world.settings, spec);
    running.await.unwrap()
}

/// Sends the input, then reads to the end: standard output and standard error.
async fn talk(mut streams: Attached, input: &str) -> (String, String) {
    if !input.is_empty() {
        streams.stdin.write_all(input.as_bytes()).await.unwrap();
        streams.stdin.shutdown().await.unwrap();
    }
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(chunk) = streams.output.try_next().await.unwrap() {
        match chunk.stream {
            StdStream::Stdout => stdout.extend_from_slice(&chunk.bytes),
            StdStream::Stderr => stderr.extend_from_slice(&chunk.bytes),
        }
    }
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr))
}

#[tokio::test]
async fn input_output_and_exit_code_of_a_one_off() {
    with_app(&[("web", "true"), ("echo", "cat -n")], async |world| {
        let line = "cat; echo oops >&2; exit 5";
        let mut handle = run(world, &["sh", "-c", line], RunMode::Interactive).await;
        let (stdout, stderr) = talk(handle.streams.take().unwrap(), "hello\n").await;
        assert_eq!((stdout.as_str(), stderr.as_str()), ("hello\n", "oops\n"));
        assert_eq!(handle.wait().await.unwrap(), 5);

        let mut handle = run(world, &["echo"], RunMode::Interactive).await;
        let (stdout, _) = talk(handle.streams.take().unwrap(), "x").await;
        assert_eq!(stdout, "     1\tx");
        assert_eq!(handle.wait().await.unwrap(), 0);
        assert!(world.containers().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn without_input_a_reader_sees_the_end_at_once() {
    with_app(&[("web", "true")], async |world| {
        let mut handle = run(world, &["cat && echo $DYNO"], RunMode::Output).await;
        let (stdout, _) = talk(handle.streams.take().unwrap(), "").await;
        assert!(handle.name.as_str().ends_with(stdout.trim()), "{stdout}");
        assert_eq!(handle.wait().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_terminal_has_its_size_and_raw_output() {
    with_app(&[("web", "true")], async |world| {
        let size = TtySize {
            columns: 91,
            rows: 37,
        };
        let mut handle = run(world, &["sh"], RunMode::Terminal(size)).await;
        let mut streams = handle.streams.take().unwrap();
        streams
            .stdin
            .write_all(b"stty size; exit 3\n")
            .await
            .unwrap();
        let (stdout, _) = talk(streams, "").await;
        assert!(stdout.contains("37 91"), "{stdout}");
        assert_eq!(handle.wait().await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_task_of_a_deploy() {
    with_app(&[("web", "true")], async |world| {
        let run = async |command| {
            let task = PhaseTask {
                release: &world.release,
                phase: Phase::Release,
                command,
                settings: &world.settings,
            };
            let running = world.deployer.run_phase(task, &world.output, &world.cancel);
            running.await
        };
        run("echo $DYNO; echo done").await.unwrap();
        let error = run("echo broken && exit 3").await.unwrap_err().to_string();
        assert!(error.ends_with("exit 3: it exited with code 3"), "{error}");
        let text = world.output.text();
        assert!(text.contains("       release."), "{text}");
        assert!(text.contains("       done\n") && text.contains("       broken\n"));
        assert!(world.containers().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_shell_in_a_running_container() {
    with_app(&[("worker", "sleep 300")], async |world| {
        let candidate = world.deploy(&["worker.1"]).await.unwrap();
        let spec = EnterSpec {
            mode: RunMode::Interactive,
            ..EnterSpec::default()
        };
        let container = &candidate.instances[0].container;
        let exec = world.deployer.enter(container, spec).await.unwrap();
        let (stdout, _) = talk(exec.streams, "echo $DYNO; exit 6\n").await;
        assert_eq!(stdout, "worker.1\n");
        let code = world.runtime.exec_exit_code(&exec.id).await.unwrap();
        assert_eq!(code, 6);
    })
    .await;
}

#[tokio::test]
async fn live_logs_go_on() {
    let worker = "i=0; while true; do i=$((i+1)); echo $DYNO says $i; sleep 0.2; done";
    with_app(&[("worker", worker)], async |world| {
        let candidate = world.deploy(&["worker.1", "worker.2"]).await.unwrap();
        let sources = candidate.instances.iter().map(|one| LogSource {
            dyno: format!("worker.{}", one.index),
            container: one.container.clone(),
            index: one.index,
        });
        let options = LogOptions {
            follow: true,
            tail: Some(0),
            ..LogOptions::default()
        };
        let format = (LogFormat::Raw, TextStyle::Plain);
        let stream = world
            .deployer
            .log_stream(sources.collect(), options, format);
        let lines = stream.await.unwrap().take(10).try_collect::<Vec<_>>();
        let lines = tokio::time::timeout(Duration::from_secs(30), lines).await;
        let lines = lines.unwrap().unwrap();
        for dyno in ["worker.1", "worker.2"] {
            let said = lines
                .iter()
                .filter(|line| line.starts_with(dyno.as_bytes()));
            assert!(said.count() >= 2, "{lines:?}");
        }
    })
    .await;
}
