//! The line that every request leaves behind.

use super::kit::{Backend, Site};
use crate::{AccessLog, AppState, RouterSettings};

#[tokio::test]
async fn every_request_leaves_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let backend = Backend::saying("thirteen byte").await;
    let site = Site::start(RouterSettings {
        access_log: AccessLog::to_file(&path, 1 << 20).unwrap(),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let id = "client-id-0123456789";
    site.ask(&format!(
        "GET /x?y=\"z\" HTTP/1.1\nHost: App.test:80\nX-Request-Id: {id}\n\n"
    ))
    .await;
    site.route_as(AppState::Crashed, &[]);
    site.get("/").await;
    site.ask("POST /lost HTTP/1.1\nHost: nowhere.test\nX-Request-Id: \"\n\n")
        .await;
    let mut wire = site.connect().await;
    wire.say("GET /bad HTTP/1.1\nHost: a\"b\n\n").await;
    assert_eq!(wire.hear_response("").await.status(), 400);

    site.stop.cancel();
    site.tasks.close();
    site.tasks.wait().await;
    drop(site);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    let (_, first) = lines[0].split_once(' ').unwrap();
    let (start, end) = first.split_once(" connect=").unwrap();
    assert_eq!(
        start,
        format!(
            "app[router]: at=info method=GET path=\"/x?y=\\\"z\\\"\" host=app.test request_id={id} fwd=\"127.0.0.1\" dyno=web.1"
        )
    );
    assert!(
        end.contains("ms service=") && end.ends_with("ms status=200 bytes=13 protocol=http"),
        "{end}"
    );
    for (line, parts) in [
        (
            1,
            [
                "app[router]: at=error code=H10 desc=\"App crashed\" method=GET",
                "dyno= connect= service= status=503 bytes= ",
            ],
        ),
        (
            2,
            [
                "-[router]: at=error code=unknown-host",
                "host=nowhere.test request_id=",
            ],
        ),
        (
            3,
            [
                "-[router]: at=error code=H26 desc=\"Request Error\" method=GET path=\"/bad\" host= ",
                "status=400",
            ],
        ),
    ] {
        for part in parts {
            assert!(
                lines[line].contains(part),
                "{part} is not in {}",
                lines[line]
            );
        }
    }
    assert!(!lines[2].contains("request_id=\""));
}
