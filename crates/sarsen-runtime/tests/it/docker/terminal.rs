//! Terminals and standard streams of real programs.

use futures_util::StreamExt;
use sarsen_runtime::{ContainerSpec, EngineStream, Exec, ExecSpec, LogChunk, StdStream, TtySize};
use tokio::io::AsyncWriteExt;

use crate::lab::{BASE, Lab, soon, text_of, with_docker};

const SLEEP: &str = "exec sleep 1000";

fn shell(script: &str) -> ExecSpec {
    ExecSpec {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        stdin: true,
        tty: true,
        size: Some(TtySize {
            columns: 91,
            rows: 37,
        }),
        ..ExecSpec::default()
    }
}

/// Reads on until the output holds this.
async fn read_until(output: &mut EngineStream<LogChunk>, seen: &mut String, wanted: &str) {
    while !seen.contains(wanted) {
        let chunk = soon(wanted, output.next())
            .await
            .expect("more output")
            .unwrap();
        assert_eq!(chunk.stream, StdStream::Stdout);
        seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
}

#[tokio::test]
async fn a_terminal_has_a_size_that_can_change() {
    with_docker(async |lab: &Lab| {
        let id = lab.run(&lab.spec(BASE, SLEEP)).await;
        let spec = ExecSpec {
            env: vec!["TERM=vt220".to_owned()],
            workdir: Some("/tmp".to_owned()),
            user: Some("nobody".to_owned()),
            ..shell("read a; stty size; echo $TERM $(pwd) $(id -un); read b; stty size; exit 7")
        };
        let Exec { id: exec, streams } = lab.runtime.exec(&id, &spec).await.unwrap();
        let (mut stdin, mut output) = (streams.stdin, streams.output);
        let mut seen = String::new();
        stdin.write_all(b"first\n").await.unwrap();
        read_until(&mut output, &mut seen, "37 91").await;
        read_until(&mut output, &mut seen, "vt220 /tmp nobody").await;
        let size = TtySize {
            columns: 100,
            rows: 50,
        };
        lab.runtime.resize_exec(&exec, size).await.unwrap();
        stdin.write_all(b"second\n").await.unwrap();
        read_until(&mut output, &mut seen, "50 100").await;
        assert!(soon("the end", output.next()).await.is_none());
        assert_eq!(lab.runtime.exec_exit_code(&exec).await.unwrap(), 7);
    })
    .await;
}

#[tokio::test]
async fn low_bytes_survive_a_terminal() {
    with_docker(async |lab: &Lab| {
        let id = lab.run(&lab.spec(BASE, SLEEP)).await;
        let script =
            r"stty raw -echo; for b in 000 001 002; do printf \\$b; read x; done; printf after";
        let Exec { streams, .. } = lab.runtime.exec(&id, &shell(script)).await.unwrap();
        let (mut stdin, mut output) = (streams.stdin, streams.output);
        for byte in 0..3 {
            let chunk = soon("a byte", output.next()).await.unwrap().unwrap();
            assert_eq!(chunk.bytes.as_ref(), [byte]);
            // The next one is written when this one has been read, so that it begins a chunk.
            stdin.write_all(b"\n").await.unwrap();
        }
        let rest = text_of(output, StdStream::Stdout).await;
        assert_eq!(rest, "after");
    })
    .await;
}

#[tokio::test]
async fn a_container_with_a_terminal_is_attached_raw() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            stdin: true,
            tty: true,
            auto_remove: true,
            ..lab.spec(
                BASE,
                r"stty raw -echo; printf \\001; read a; stty size; exit 4",
            )
        };
        let id = lab.runtime.create(&spec).await.unwrap();
        let streams = lab.runtime.attach(&id).await.unwrap();
        let (code, started) = tokio::join!(lab.runtime.wait(&id), async {
            lab.runtime.start(&id).await.unwrap();
            let size = TtySize {
                columns: 80,
                rows: 24,
            };
            lab.runtime.resize(&id, size).await.unwrap();
            let (mut stdin, mut output) = (streams.stdin, streams.output);
            let chunk = soon("a byte", output.next()).await.unwrap().unwrap();
            assert_eq!(chunk.bytes.as_ref(), [1]);
            stdin.write_all(b"go\n").await.unwrap();
            text_of(output, StdStream::Stdout).await
        });
        assert!(started.contains("24 80"), "{started:?}");
        assert_eq!(code.unwrap(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_container_reads_its_input_to_the_end() {
    with_docker(async |lab: &Lab| {
        let spec = ContainerSpec {
            stdin: true,
            ..lab.spec(BASE, "cat; echo done >&2; exit 6")
        };
        let id = lab.runtime.create(&spec).await.unwrap();
        let streams = lab.runtime.attach(&id).await.unwrap();
        lab.runtime.start(&id).await.unwrap();
        let mut stdin = streams.stdin;
        // More than fits into any buffer on the way, so both directions must move at once.
        let sent = "0123456789abcde\n".repeat(65536);
        let send = async {
            stdin.write_all(sent.as_bytes()).await.unwrap();
            stdin.shutdown().await.unwrap();
        };
        let ((), text) = tokio::join!(send, text_of(streams.output, StdStream::Stdout));
        assert!(text == sent, "{} of {} bytes", text.len(), sent.len());
        assert_eq!(lab.runtime.wait(&id).await.unwrap(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_command_that_is_not_there_has_an_exit_code() {
    with_docker(async |lab: &Lab| {
        let id = lab.run(&lab.spec(BASE, SLEEP)).await;
        for tty in [false, true] {
            let spec = ExecSpec {
                command: vec!["/no/such/command".to_owned()],
                tty,
                ..shell("")
            };
            let Exec { id: exec, streams } = lab.runtime.exec(&id, &spec).await.unwrap();
            let text = text_of(streams.output, StdStream::Stdout).await;
            assert!(text.contains("no such file"), "{text:?}");
            let code = soon("its exit code", lab.runtime.exec_exit_code(&exec)).await;
            assert!(matches!(code, Ok(126 | 127)), "{code:?}");
        }
    })
    .await;
}
