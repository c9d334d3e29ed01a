//! The line that every request leaves behind.

use super::kit::{Backend, Site};
use crate::{AccessLog, AppState, RouterSettings};

const ID: &str = "client-id-0123456789";

/// What the log says after these requests.
async fn log_of(requests: &[(AppState, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let backend = Backend::saying("thirteen byte").await;
    let site = Site::start(RouterSettings {
        access_log: AccessLog::to_file(&path, 1 << 20).unwrap(),
        ..RouterSettings::default()
    })
    .await;
    for (state, request) in requests {
        let upstreams = [(1, backend.address)];
        let is_serving = *state == AppState::Serving;
        site.route_as(*state, if is_serving { &upstreams } else { &[] });
        site.ask(request).await;
    }
    site.stop.cancel();
    site.tasks.close();
    site.tasks.wait().await;
    drop(site);
    std::fs::read_to_string(&path).unwrap()
}

#[tokio::test]
async fn every_request_leaves_a_line() {
    let good = format!("GET /x\"z\"?y=1 HTTP/1.1\nHost: App.test:80\nX-Request-Id: {ID}\n\n");
    let text = log_of(&[
        (AppState::Serving, &good),
        (AppState::Crashed, "GET / HTTP/1.1\nHost: app.test\n\n"),
        (
            AppState::Serving,
            "POST /lost HTTP/1.1\nHost: nowhere.test\nX-Request-Id: \"\n\n",
        ),
        (AppState::Serving, "GET /bad HTTP/1.1\nHost: a\"b\n\n"),
        (AppState::Serving, "GET /\u{1}x\n"),
    ])
    .await;
    let lines: Vec<_> = text.lines().collect();
    let expected = [
        &[
            " app[router]: at=info method=GET path=\"/x\\\"z\\\"?y=1\" host=app.test request_id=client-id-0123456789 \
             fwd=\"127.0.0.1\" dyno=web.1 connect=",
            "ms service=",
            "ms status=200 bytes=13 protocol=http",
        ][..],
        &[
            " app[router]: at=error code=H10 desc=\"App crashed\" method=GET",
            "dyno= connect= service= status=503 bytes= ",
        ],
        &[
            " -[router]: at=error code=unknown-host",
            "host=nowhere.test request_id=",
        ],
        &[
            " -[router]: at=error code=H26 desc=\"Request Error\" method=GET path=\"/bad\" host= ",
            "status=400",
        ],
        &[
            " -[router]: at=error code=H26",
            "method= path=\"\" host= request_id= fwd=\"127.0.0.1\" dyno= connect= service= status=400",
        ],
    ];
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, parts) in lines.iter().zip(expected) {
        for part in parts {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
    assert!(!lines[2].contains("request_id=\""));
}
