//! Tables of command lines.

use super::*;
use crate::testing::{image, release};

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn simple_lines_need_no_shell() {
    for (text, words) in [
        ("node server.js", vec!["node", "server.js"]),
        ("  bin/web --name 'a b' ", vec!["bin/web", "--name", "a b"]),
        (
            "gunicorn app:app -b 0.0.0.0:5000",
            vec!["gunicorn", "app:app", "-b", "0.0.0.0:5000"],
        ),
    ] {
        assert_eq!(of_text(text, &image(), None), words, "{text}");
    }
}

#[test]
fn other_lines_go_through_a_shell_that_makes_way() {
    for (text, line) in [
        ("node -p $PORT", "exec node -p $PORT"),
        ("ls *.txt", "exec ls *.txt"),
        ("a && b", "a && b"),
        ("A=1 node x", "A=1 node x"),
        ("exec node $X", "exec node $X"),
        ("cd app", "cd app"),
        ("cd app; node x", "cd app; node x"),
        ("(a; b)", "(a; b)"),
        ("echo 'x", "echo 'x"),
        ("a > /log 2>&1", "exec a > /log 2>&1"),
        ("a &> /log", "exec a &> /log"),
        ("a &", "a &"),
        ("a | b", "a | b"),
        (
            "a -w $(nproc --all; true)",
            "exec a -w $(nproc --all; true)",
        ),
        ("a -p ${PORT:-80}", "exec a -p ${PORT:-80}"),
        (
            r#"perl -e '$x; "' "a; \" b" c\;d"#,
            r#"exec perl -e '$x; "' "a; \" b" c\;d"#,
        ),
        ("while true; do x; done", "while true; do x; done"),
    ] {
        assert_eq!(
            of_text(text, &image(), None),
            ["/bin/sh", "-c", line],
            "{text}"
        );
    }
}

#[test]
fn an_entry_point_gets_words_with_the_port_filled_in() {
    let mut python = image();
    python.entrypoint = owned(&["/usr/bin/python3"]);
    assert_eq!(
        of_text("app.py -p $PORT", &python, Some(80)),
        ["app.py", "-p", "80"]
    );
    let mut tini = image();
    tini.entrypoint = owned(&["/usr/bin/tini", "--"]);
    assert_eq!(
        of_text("app -p $PORT", &tini, Some(80)),
        ["/bin/sh", "-c", "exec app -p $PORT"]
    );
}

#[test]
fn processes_of_each_builder() {
    let (web, worker) = (ProcessType::web(), ProcessType::parse("worker").unwrap());
    let of = |builder, procfile: &str, process: &ProcessType| {
        of_process(&release(builder, procfile), process, &image(), Some(5000))
    };
    let start = of(BuilderKind::Herokuish, "web: x", &web).unwrap();
    assert_eq!(start, Some(owned(&["/start", "web"])));
    let words = of(BuilderKind::Dockerfile, "worker: run it", &worker).unwrap();
    assert_eq!(words, Some(owned(&["run", "it"])));
    assert_eq!(
        of(BuilderKind::Dockerfile, "worker: x", &web).unwrap(),
        None
    );
    let error = of(BuilderKind::Null, "web: x", &worker).unwrap_err();
    assert!(error.to_string().contains("no command for 'worker'"));
}

#[test]
fn an_image_without_a_command_cannot_be_web() {
    let mut bare = image();
    bare.command.clear();
    let release = release(BuilderKind::Null, "worker: x");
    assert!(of_process(&release, &ProcessType::web(), &bare, None).is_err());
}

#[test]
fn one_off_words() {
    let docker = release(
        BuilderKind::Dockerfile,
        "web: serve -p 1\nrake: bundle exec rake $X",
    );
    let stack = release(BuilderKind::Herokuish, "web: serve");
    let run =
        |release: &Release, words: &[&str]| of_run(release, &owned(words), &image(), None).words;
    assert_eq!(run(&docker, &["ls", "-l", "a b"]), ["ls", "-l", "a b"]);
    assert_eq!(
        run(&docker, &["echo $X | wc"]),
        ["/bin/sh", "-c", "echo $X | wc"]
    );
    assert_eq!(
        run(&docker, &["web", "--now"]),
        ["serve", "-p", "1", "--now"]
    );
    assert_eq!(
        run(&docker, &["rake", "db:migrate; x"]),
        ["/bin/sh", "-c", "exec bundle exec rake $X 'db:migrate; x'"]
    );
    assert_eq!(run(&stack, &["ls", "-l"]), ["/exec", "ls", "-l"]);
    assert_eq!(run(&stack, &["a && b"]), ["/exec", "bash", "-c", "a && b"]);
    assert_eq!(run(&stack, &["web", "x"]), ["/start", "web", "x"]);
    assert_eq!(run(&stack, &[]), ["/exec", "/bin/bash"]);
    assert!(of_run(&docker, &[], &image(), None).clears_entrypoint);
    let named = of_run(&docker, &owned(&["web"]), &image(), None);
    assert_eq!(named.procfile, Some(ProcessType::web()));
}
