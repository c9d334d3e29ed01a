//! Lines, escaping, rotation, and what happens when the writer cannot keep up.

use std::time::{SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::line::Line;
use super::*;
use crate::failure::Failure;

fn line<'a>() -> Line<'a> {
    Line {
        at: UNIX_EPOCH + Duration::from_millis(1_709_210_096_007),
        app: "shop",
        failure: None,
        method: "GET",
        path: b"/x?y=1",
        host: "shop.example.com",
        request_id: b"abc",
        fwd: b"1.2.3.4",
        dyno: "web.1",
        connect: Some(Duration::from_millis(1)),
        service: Some(Duration::from_millis(18)),
        status: 200,
        bytes: Some(13),
        protocol: "http",
    }
}

#[test]
fn a_line_reads_like_herokus() {
    assert_eq!(
        line().to_string(),
        "2024-02-29T12:34:56.007Z shop[router]: at=info method=GET path=\"/x?y=1\" host=shop.example.com \
         request_id=abc fwd=\"1.2.3.4\" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=http\n"
    );
    let failed = Line {
        failure: Some(Failure::NoWeb),
        dyno: "",
        connect: None,
        service: None,
        bytes: None,
        status: 503,
        ..line()
    };
    assert_eq!(
        failed.to_string(),
        "2024-02-29T12:34:56.007Z shop[router]: at=error code=H14 desc=\"No web processes running\" method=GET \
         path=\"/x?y=1\" host=shop.example.com request_id=abc fwd=\"1.2.3.4\" dyno= connect= service= status=503 \
         bytes= protocol=http\n"
    );
}

proptest! {
    #[test]
    fn nothing_a_client_sends_breaks_out_of_its_quotes(
        path in proptest::collection::vec(any::<u8>(), 0..40),
        fwd in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let text = Line { path: &path, fwd: &fwd, ..line() }.to_string();
        prop_assert_eq!(text.lines().count(), 1);
        prop_assert!(text.trim_end().bytes().all(|b| (b' '..=b'~').contains(&b)));
        let bare = text.replace("\\\\", "").replace("\\\"", "");
        prop_assert_eq!(bare.matches('"').count(), 4);
    }

    #[test]
    fn stamps_agree_with_the_time_crate(seconds in 0u64..4_102_444_800) {
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        let text = Line { at, ..line() }.to_string();
        let known = time::OffsetDateTime::from(at);
        let expected = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z ",
            known.year(), u8::from(known.month()), known.day(), known.hour(), known.minute(), known.second()
        );
        prop_assert!(text.starts_with(&expected), "{} {}", text, expected);
    }
}

#[test]
fn dropping_the_log_writes_it_out_and_it_rotates_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    for batch in ["first\n", "second\n", "third\n"] {
        let log = AccessLog::to_file(&path, 10).unwrap();
        assert!(log.is_on());
        log.write(batch);
        drop(log.clone());
        drop(log);
        assert!(std::fs::read_to_string(&path).unwrap().ends_with(batch));
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "third\n");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("access.log.1")).unwrap(),
        "second\n"
    );
}

#[test]
fn lines_appear_without_closing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::to_file(&path, 1000).unwrap();
    log.write("here\n");
    let start = SystemTime::now();
    while std::fs::read_to_string(&path).unwrap() != "here\n" {
        assert!(start.elapsed().unwrap() < Duration::from_secs(5));
        std::thread::yield_now();
    }
}

#[test]
fn a_full_buffer_drops_and_counts() {
    let shared = Shared::default();
    let big = vec![b'x'; BUFFER_LIMIT - 1];
    shared.push(&big);
    shared.push(b"ab");
    shared.push(b"c");
    assert_eq!(shared.dropped.load(Ordering::Relaxed), 1);
    assert_eq!(shared.lock().bytes.len(), BUFFER_LIMIT);
}

#[test]
fn a_log_that_cannot_be_opened_says_so() {
    assert!(AccessLog::to_file("/nonexistent/access.log", 1).is_err());
    assert!(!AccessLog::none().is_on());
    assert_eq!(AccessLog::none().dropped(), 0);
}
