//! Formats and merging, without an engine.

use super::*;
use sarsen_runtime::StdStream;

fn prefix(index: u32, format: LogFormat, style: TextStyle) -> Prefix {
    let source = LogSource {
        dyno: format!("web.{index}"),
        container: ContainerId::parse("abc").unwrap(),
        index,
    };
    Prefix::new(&source, (format, style))
}

fn stream(index: u32, text: &'static [&'static str]) -> LineStream {
    let chunks = text.iter().map(|piece| {
        Ok(LogChunk {
            stream: StdStream::Stdout,
            bytes: Bytes::from(*piece),
        })
    });
    let chunks = Box::pin(futures_util::stream::iter(chunks));
    lines_of(chunks, prefix(index, LogFormat::Full, TextStyle::Plain))
}

async fn shown(lines: LineStream) -> Vec<String> {
    lines
        .map(|line| String::from_utf8(line.unwrap().formatted.to_vec()).unwrap())
        .collect()
        .await
}

#[test]
fn formats() {
    let raw = b"2026-01-01T00:00:00.1Z hello  you";
    let line = |index, format, style| prefix(index, format, style).line(raw).formatted;
    let (full, plain) = (LogFormat::Full, TextStyle::Plain);
    assert_eq!(
        line(1, full, plain),
        "2026-01-01T00:00:00.1Z app[web.1]: hello  you\n"
    );
    assert_eq!(line(1, LogFormat::Raw, plain), "hello  you\n");
    assert_eq!(
        line(2, full, TextStyle::Coloured),
        "\x1b[33m2026-01-01T00:00:00.1Z app[web.2]:\x1b[0m hello  you\n"
    );
    assert!(line(6, full, TextStyle::Coloured).starts_with(b"\x1b[36m"));
    let empty = prefix(1, full, plain).line(b"2026-01-01T00:00:00.1Z");
    assert_eq!(empty.formatted, "2026-01-01T00:00:00.1Z app[web.1]: \n");
}

#[tokio::test]
async fn containers_are_merged_by_time() {
    let one: &[&str] = &["1 a\n3 ", "c\n", "5 e"];
    let two: &[&str] = &["2 b\n4 d\n"];
    let expected = [
        "1 app[web.1]: a\n",
        "2 app[web.2]: b\n",
        "3 app[web.1]: c\n",
        "4 app[web.2]: d\n",
        "5 app[web.1]: e\n",
    ];
    assert_eq!(
        shown(merged(vec![stream(1, one), stream(2, two)])).await,
        expected
    );
    assert_eq!(
        shown(merged_live(vec![stream(1, one), stream(2, two)])).await,
        expected
    );
    assert!(shown(merged(vec![])).await.is_empty());
    assert!(shown(merged_live(vec![])).await.is_empty());
}
