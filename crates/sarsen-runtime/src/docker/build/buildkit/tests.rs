//! Streams of step states and what becomes of them.

use bollard::moby::buildkit::v1::VertexLog;

use super::*;

fn vertex(name: &str) -> Vertex {
    Vertex {
        digest: format!("digest of {name}"),
        name: name.to_owned(),
        ..Vertex::default()
    }
}

fn started(name: &str) -> Vertex {
    Vertex {
        started: Some(Default::default()),
        ..vertex(name)
    }
}

fn completed(name: &str) -> Vertex {
    Vertex {
        completed: Some(Default::default()),
        ..started(name)
    }
}

fn log(name: &str, msg: &str) -> VertexLog {
    VertexLog {
        vertex: format!("digest of {name}"),
        msg: msg.as_bytes().to_vec(),
        ..VertexLog::default()
    }
}

fn render(renderer: &mut Renderer, vertexes: Vec<Vertex>, logs: Vec<VertexLog>) -> String {
    let status = StatusResponse {
        vertexes,
        logs,
        ..StatusResponse::default()
    };
    let item = BuildInfo {
        aux: Some(BuildInfoAux::BuildKit(status)),
        ..BuildInfo::default()
    };
    String::from_utf8(renderer.render(&item)).unwrap()
}

#[test]
fn each_step_is_told_once_and_its_lines_carry_its_number() {
    let mut renderer = Renderer::default();
    let r = &mut renderer;
    assert_eq!(
        render(r, vec![started("[internal] load build definition")], vec![]),
        ""
    );
    let both = vec![vertex("[1/2] FROM x"), vertex("[2/2] RUN y")];
    assert_eq!(render(r, both, vec![]), "");
    let text = render(r, vec![started("[1/2] FROM x")], vec![]);
    assert_eq!(text, "#1 [1/2] FROM x\n");
    let done = Vertex {
        cached: true,
        ..completed("[1/2] FROM x")
    };
    let text = render(r, vec![done.clone(), started("[2/2] RUN y")], vec![]);
    assert_eq!(text, "#1 CACHED\n#2 [2/2] RUN y\n");
    assert_eq!(render(r, vec![done], vec![]), "");
    let logs = vec![
        log("[2/2] RUN y", "one\ntw"),
        log("[2/2] RUN y", "o\n\nthr"),
    ];
    assert_eq!(render(r, vec![], logs), "#2 one\n#2 two\n");
    assert_eq!(
        render(r, vec![completed("[2/2] RUN y")], vec![]),
        "#2 thr\n"
    );
    assert!(renderer.rest().is_empty());
}

#[test]
fn the_two_outputs_of_a_step_do_not_meet_in_one_line() {
    let mut renderer = Renderer::default();
    render(&mut renderer, vec![started("[2/2] RUN y")], vec![]);
    let error = VertexLog {
        stream: STDERR,
        ..log("[2/2] RUN y", "warning\n")
    };
    let logs = vec![log("[2/2] RUN y", "no end"), error];
    assert_eq!(render(&mut renderer, vec![], logs), "#1 warning\n");
    assert_eq!(renderer.rest(), b"#1 no end\n");
}

#[test]
fn a_failing_step_is_the_builds_fault() {
    let mut renderer = Renderer::default();
    render(&mut renderer, vec![started("[2/2] RUN y")], vec![]);
    assert!(!renderer.blames_builder("executor failed running: exit code: 9", Told::InItem));
    let parse = "failed to create LLB definition: dockerfile parse error line 2";
    assert!(!Renderer::default().blames_builder(parse, Told::InItem));
}

#[test]
fn a_frontend_that_cannot_be_had_is_the_builders_fault() {
    let mut renderer = Renderer::default();
    let failed = Vertex {
        error: "no such host".to_owned(),
        ..completed("resolve image config for docker.io/docker/dockerfile:1")
    };
    render(
        &mut renderer,
        vec![started("copy /context /"), failed],
        vec![],
    );
    assert!(renderer.blames_builder("failed to do request", Told::InItem));
    assert!(Renderer::default().blames_builder("no active sessions", Told::InItem));
    assert!(Renderer::default().blames_builder("no such option", Told::InStatus));
}
