//! Sinks are read as people write them, lines arrive, and a place that takes nothing loses the oldest ones only.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn line(text: &str) -> DrainLine {
    DrainLine {
        time: "2026-11-22T10:00:00.000000000Z".to_owned(),
        app: "shop".to_owned(),
        dyno: "web.1".to_owned(),
        text: text.to_owned(),
    }
}

/// A drain to this place, at work; it stops when the token is dropped by its test.
fn begin(text: &str, folder: &std::path::Path) -> (Drain, tokio_util::sync::DropGuard) {
    let (drain, stop) = (Drain::default(), CancellationToken::new());
    let senders = Senders::new(folder.to_owned()).unwrap();
    let work = drain
        .clone()
        .run(Sink::parse(text).unwrap(), senders, stop.clone());
    tokio_util::task::TaskTracker::new().spawn(work);
    (drain, stop.drop_guard())
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to this");
}

#[test]
fn sinks_in_both_forms() {
    for (text, shown) in [
        (
            "https://u:p@logs.example/in?token=x",
            "https://logs.example/in",
        ),
        (
            "syslog+tcp://logs.example:6514",
            "syslog+tcp://logs.example:6514",
        ),
        ("syslog://[::1]:514", "syslog+udp://::1:514"),
        ("file://shop.log", "file://shop.log"),
        (
            "http://?uri=https%3A//logs.example%3A1234/%3Ftoken%3Dabc&encoding[codec]=ndjson&method=post",
            "https://logs.example:1234/",
        ),
        (
            "socket://?address=logs.example:514&mode=udp",
            "syslog+udp://logs.example:514",
        ),
        ("file://?path=shop.log", "file://shop.log"),
        (
            "syslog+tls://logs.example:6514",
            "syslog+tls://logs.example:6514",
        ),
        (
            "socket://?address=logs.example:6514&mode=tcp&tls[enabled]=true",
            "syslog+tls://logs.example:6514",
        ),
    ] {
        let sink = Sink::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(sink.to_string(), shown);
        assert!(!format!("{sink:?}").contains("token"));
    }
    for bad in [
        "",
        "datadog_logs://?api_key=x",
        "console://?encoding[codec]=json",
        "gelf://x:1",
        "https://",
        "syslog+tcp://host",
        "syslog+tcp://host:0",
        "socket://?address=a:1",
        "socket://?address=a:1&mode=udp&tls[enabled]=true",
        "socket://?address=a:1&mode=tcp&tls[enabled]=maybe",
        "file:///etc/passwd",
        "file://../x",
        "file://?path=/var/log/x",
        "http://?uri=ftp%3A//x",
        "http://?uri=http%3A//x&compression=gzip",
        "http://?uri=%zz",
        "https://a b/",
    ] {
        assert!(Sink::parse(bad).is_err(), "{bad}");
    }
    let error = Sink::parse("loki://?endpoint=x").unwrap_err().to_string();
    assert!(error.contains("'loki' is not supported"), "{error}");
}

#[test]
fn passwords_and_tokens_are_masked() {
    for (text, shown) in [
        (
            "https://ada:s3cret@logs.example:1/in?token=t0ken&x",
            "https://ada:***@logs.example:1/in?token=***&***",
        ),
        ("https://t0ken@logs.example", "https://***@logs.example"),
        (
            "http://?uri=https%3A//ada%3As3cret%40logs.example/%3Ftoken%3Dt0ken&encoding[codec]=json",
            "http://?uri=https://ada:***@logs.example/?token=***&encoding[codec]=json",
        ),
        (
            "socket://?address=logs.example:514&mode=udp",
            "socket://?address=logs.example:514&mode=udp",
        ),
        ("file://shop.log", "file://shop.log"),
    ] {
        assert_eq!(Sink::masked(text), shown);
    }
}

/// A receiver with a certificate of its own making: what it trusts, and how it talks.
fn tls_receiver() -> (rustls::RootCertStore, tokio_rustls::TlsAcceptor) {
    let (chain, key) = (
        include_bytes!("testdata/localhost.crt"),
        include_bytes!("testdata/localhost.key"),
    );
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key).unwrap())
        .unwrap();
    (roots, Arc::new(config).into())
}

#[tokio::test]
async fn syslog_goes_inside_tls_to_who_can_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (roots, acceptor) = tls_receiver();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sink = Sink::parse(&sink_text(port)).unwrap();
    let (drain, stop) = (Drain::default(), CancellationToken::new());
    let trusting = Senders::trusting(folder.path().to_owned(), roots).unwrap();
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(drain.clone().run(sink, trusting, stop.clone()));
    drain.push(line("hello"));
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(stream).await.unwrap();
    let mut bytes = vec![0; 16];
    stream.read_exact(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"63 <190>1 2026-"), "{bytes:?}");
    until(|| drain.state_now().sent == 1).await;
    // A connection that is closed is made anew. What goes out before the end is noticed is lost, as with any receiver.
    drop(stream);
    let again = async {
        loop {
            drain.push(line("again"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let accepted = tokio::select! {
        accepted = listener.accept() => accepted,
        () = again => return,
    };
    let mut stream = acceptor.accept(accepted.unwrap().0).await.unwrap();
    stream.read_exact(&mut bytes).await.unwrap();
    stop.cancel();
    tasks.close();
    tasks.wait().await;

    // Who trusts only the host's authorities tells the receiver nothing.
    let (wary, _stop) = begin(&sink_text(port), folder.path());
    wary.push(line("secret"));
    let (stream, _) = listener.accept().await.unwrap();
    assert!(acceptor.accept(stream).await.is_err());
    until(|| wary.state_now().error.is_some()).await;
    let error = wary.state_now().error.unwrap();
    assert!(error.contains("certificate"), "{error}");
}

fn sink_text(port: u16) -> String {
    format!("syslog+tls://localhost:{port}")
}

#[tokio::test]
async fn syslog_messages_say_their_length() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("syslog+tcp://{}", listener.local_addr().unwrap());
    let (drain, _stop) = begin(&address, folder.path());
    drain.push(line("hello"));
    let (mut stream, _) = listener.accept().await.unwrap();
    let expected = "<190>1 2026-11-22T10:00:00.000000000Z shop app web.1 - - hello\n";
    let mut bytes = vec![0; expected.len() + 3];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        format!("{} {expected}", expected.len())
    );
    until(|| drain.state_now().sent == 1).await;
}

#[tokio::test]
async fn posts_are_json_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://u:p@{}/in", listener.local_addr().unwrap());
    let (drain, _stop) = begin(&address, folder.path());
    drain.push(line("hello"));
    for status in ["503 Busy", "200 OK"] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !request.contains("hello") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            request.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        assert!(request.starts_with("POST /in HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Basic dTpw"), "{request}");
        assert!(
            request.contains(r#""com.dokku.app-name":"shop""#),
            "{request}"
        );
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    until(|| drain.state_now().sent == 1).await;
    assert_eq!(drain.state_now().error, None);
}

#[tokio::test]
async fn files_stay_in_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (drain, _stop) = begin("file://shop.log", folder.path());
    drain.push(line("one"));
    drain.push(line("two"));
    until(|| drain.state_now().sent == 2).await;
    let text = std::fs::read_to_string(folder.path().join("shop.log")).unwrap();
    assert!(text.ends_with(" shop[web.1]: two\n"), "{text}");
}

#[tokio::test]
async fn a_dead_place_loses_the_oldest_and_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = dead.local_addr().unwrap();
    drop(dead);
    let (drain, _stop) = begin(&format!("syslog+tcp://{address}"), folder.path());
    for number in 0..QUEUE + 100 {
        drain.push(line(&number.to_string()));
    }
    until(|| drain.state_now().error.is_some()).await;
    let state = drain.state_now();
    assert!(state.queued <= QUEUE, "{state:?}");
    let lost = state.dropped;
    assert!(lost >= 100, "{state:?}");
    let listener = TcpListener::bind(address).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = [0; 160];
    stream.read_exact(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("drain - - Error L10 (output buffer overflow): "),
        "{text}"
    );
}
