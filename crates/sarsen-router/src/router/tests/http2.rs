//! HTTP/2 on both sides.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::encrypted::Secure;
use super::kit::{Backend, SOON, Site, eventually};
use crate::{AppState, PortKind, RouterSettings};

type BoxBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn empty() -> BoxBody {
    Full::default().boxed()
}

fn full(text: &str) -> BoxBody {
    Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed()
}

/// A body that is sent piece by piece, as the test says.
fn piecemeal() -> (tokio::sync::mpsc::Sender<Frame<Bytes>>, BoxBody) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    (sender, Pieces(receiver).boxed())
}

struct Pieces(tokio::sync::mpsc::Receiver<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

async fn speak(
    io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
) -> SendRequest<BoxBody> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(16 * 1024)
        .initial_connection_window_size(64 * 1024)
        .handshake(TokioIo::new(io))
        .await
        .unwrap();
    TaskTracker::new().spawn(connection);
    sender
}

async fn prior_knowledge(site: &Site) -> SendRequest<BoxBody> {
    speak(TcpStream::connect(("127.0.0.1", site.port)).await.unwrap()).await
}

fn to(method: Method, target: &str, body: BoxBody) -> Request<BoxBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = format!("http://app.test{target}").parse().unwrap();
    request
}

async fn text(response: Response<Incoming>) -> String {
    let body = tokio::time::timeout(SOON, response.collect()).await;
    String::from_utf8(body.unwrap().unwrap().to_bytes().to_vec()).unwrap()
}

/// A server that speaks HTTP/2 only: echoes what it gets, and sums it up in a trailer.
async fn grpc_like() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                assert_eq!(request.version(), Version::HTTP_2);
                let seen = format!("{} {}", request.method(), request.uri());
                let te = request.headers().get("te").cloned();
                let body = request
                    .into_body()
                    .map_frame(|frame| match frame.into_data() {
                        Ok(data) => Frame::data(data),
                        Err(frame) => frame,
                    });
                let trailers = async move {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    Some(Ok(trailers))
                };
                let mut response = Response::new(body.with_trailers(trailers));
                let headers = response.headers_mut();
                headers.insert("x-seen", HeaderValue::from_str(&seen).unwrap());
                headers.insert("x-te", te.unwrap_or(HeaderValue::from_static("none")));
                Ok::<_, Infallible>(response)
            });
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            TaskTracker::new().spawn(serving);
        }
    });
    address
}

async fn in_front_of_grpc() -> Site {
    let site = Site::start(RouterSettings::default()).await;
    let backend = grpc_like().await;
    site.route_kind(PortKind::Http2, AppState::Serving, &[(1, backend)]);
    site
}

#[tokio::test]
async fn many_requests_share_a_connection_and_reach_an_app_of_http1() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let mut client = prior_knowledge(&site).await;
    let mut request = to(Method::GET, "/a?b", empty());
    for crumb in ["a=1", "b=2"] {
        let crumb = HeaderValue::from_static(crumb);
        request.headers_mut().append(COOKIE, crumb);
    }
    let first = client.send_request(request);
    let post = client.send_request(to(Method::POST, "/p", full("hello")));
    let (first, post) = tokio::join!(first, post);
    let seen = text(first.unwrap()).await;
    assert!(seen.starts_with("GET /a?b HTTP/1.1\n"), "{seen}");
    assert!(seen.contains("\nhost: app.test\n"), "{seen}");
    assert!(seen.contains("\ncookie: a=1; b=2\n"), "{seen}");
    let seen = text(post.unwrap()).await;
    assert!(
        seen.contains("\ncontent-length: 5\n") && seen.ends_with("\n\nhello"),
        "{seen}"
    );
    assert_eq!(site.router.stats().connections, 1);
}

#[tokio::test]
async fn the_protocol_is_agreed_on_in_the_handshake() {
    let backend = Backend::echoing().await;
    let secure = Secure::in_front_of(&backend, RouterSettings::default()).await;
    let stream = secure.connect("app.test", &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let mut client = speak(stream).await;
    let answer = client.send_request(to(Method::GET, "/", empty())).await;
    let seen = text(answer.unwrap()).await;
    assert!(seen.contains("\nx-forwarded-proto: https\n"), "{seen}");
    let mut other = to(Method::GET, "/", empty());
    *other.uri_mut() = "https://own.test/".parse().unwrap();
    let answer = client.send_request(other).await.unwrap();
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
    // That one was refused, and the connection is as good as before.
    let answer = client.send_request(to(Method::GET, "/", empty())).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_are_framed_anew_even_those_of_a_get() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let mut client = prior_knowledge(&site).await;
    for method in [Method::GET, Method::POST] {
        let (pieces, body) = piecemeal();
        let answer = client.send_request(to(method, "/", body));
        for piece in ["abc", "de"] {
            pieces.send(Frame::data(piece.into())).await.unwrap();
        }
        drop(pieces);
        let seen = text(answer.await.unwrap()).await;
        assert!(seen.contains("\ntransfer-encoding: chunked\n"), "{seen}");
        assert!(seen.ends_with("\n\nabcde"), "{seen}");
    }
}

#[tokio::test]
async fn grpc_passes_from_end_to_end_with_its_trailers() {
    let site = in_front_of_grpc().await;
    let mut client = prior_knowledge(&site).await;
    for _ in 0..3 {
        let (pieces, body) = piecemeal();
        let mut request = to(Method::POST, "/pkg.Echo/Stream", body);
        let trailers = HeaderValue::from_static("trailers");
        request.headers_mut().insert("te", trailers);
        let response = client.send_request(request).await.unwrap();
        assert_eq!(
            response.headers()["x-seen"],
            "POST http://app.test/pkg.Echo/Stream"
        );
        assert_eq!(response.headers()["x-te"], "trailers");
        let mut body = response.into_body();
        // Both directions are open at the same time.
        for piece in ["one", "two"] {
            pieces.send(Frame::data(piece.into())).await.unwrap();
            let frame = tokio::time::timeout(SOON, body.frame()).await.unwrap();
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), piece);
        }
        drop(pieces);
        let last = tokio::time::timeout(SOON, body.frame()).await.unwrap();
        let trailers = last.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
    }
    site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn an_app_of_http2_is_reached_by_http1_as_well() {
    let site = in_front_of_grpc().await;
    for _ in 0..3 {
        let reply = site
            .ask("POST /x HTTP/1.1\nHost: app.test\nContent-Length: 5\nConnection: close\n\nhello")
            .await;
        assert_eq!((reply.status(), reply.body.as_str()), (200, "hello"));
        assert_eq!(reply.header("x-seen"), Some("POST http://app.test/x"));
    }
    site.route_kind(
        PortKind::Http2,
        AppState::Serving,
        &[(1, "127.0.0.3:1".parse().unwrap())],
    );
    assert_eq!(site.get("/").await.code(), "H21");
}

#[tokio::test]
async fn large_bodies_wait_for_the_slower_side() {
    let site = in_front_of_grpc().await;
    let mut client = prior_knowledge(&site).await;
    let (pieces, body) = piecemeal();
    let response = client
        .send_request(to(Method::POST, "/", body))
        .await
        .unwrap();
    let mut taken = 0;
    // Nobody reads the answer yet, so the way fills up and the sender is held back.
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    let held = loop {
        let sending = pieces.send(Frame::data(chunk.clone()));
        if tokio::time::timeout(Duration::from_millis(300), sending)
            .await
            .is_err()
        {
            break taken;
        }
        taken += chunk.len();
        assert!(taken < 64 * 1024 * 1024, "nothing holds the sender back");
    };
    let reading = TaskTracker::new().spawn(response.into_body().collect());
    for _ in 0..16 {
        pieces.send(Frame::data(chunk.clone())).await.unwrap();
    }
    drop(pieces);
    let body = reading.await.unwrap().unwrap().to_bytes();
    assert_eq!(body.len(), held + 16 * chunk.len());
}

#[tokio::test]
async fn a_websocket_is_a_stream_among_others() {
    let backend = Backend::start(|mut wire, _| async move {
        let request = wire.hear().await.unwrap();
        assert_eq!(request.start, "GET /chat HTTP/1.1");
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("connection"), Some("upgrade"));
        assert_eq!(request.header("sec-websocket-key").unwrap().len(), 24);
        wire.say("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: x\n\nhello\n")
            .await;
        while let Some(line) = wire.hear_until("\r\n").await {
            wire.say(&format!("> {line}").replace('\r', "")).await;
        }
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut client = prior_knowledge(&site).await;
    // With the first answer the server's settings are known.
    let mut stranger = to(Method::GET, "/", empty());
    *stranger.uri_mut() = "http://other.test/".parse().unwrap();
    let answer = client.send_request(stranger).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let mut request = to(Method::CONNECT, "/chat", empty());
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"one\r\n").await.unwrap();
    let mut heard = [0; 14];
    tokio::time::timeout(SOON, stream.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&heard, b"hello\r\n> one\r\n");
    assert_eq!(site.router.in_flight(1), 1);
    drop(stream);
    site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn other_tunnels_and_two_hosts_are_refused() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let mut client = prior_knowledge(&site).await;
    let mut connect = Request::new(empty());
    *connect.method_mut() = Method::CONNECT;
    *connect.uri_mut() = "app.test:80".parse().unwrap();
    let answer = client.send_request(connect).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut request = to(Method::GET, "/", empty());
    let other = HeaderValue::from_static("other.test");
    request.headers_mut().insert(HOST, other);
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_stream_and_only_that() {
    let backend = Backend::start(|mut wire, _| async move {
        while let Some(request) = wire.hear().await {
            let size = if request.start.contains("large") {
                4 << 20
            } else {
                2
            };
            wire.answer(&"x".repeat(size)).await;
        }
    })
    .await;
    let site = Site::start(RouterSettings {
        idle_timeout: Duration::from_millis(200),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let mut client = prior_knowledge(&site).await;
    let large = client
        .send_request(to(Method::GET, "/large", empty()))
        .await;
    let large = large.unwrap();
    site.in_flight_becomes(1, 0).await;
    let body = tokio::time::timeout(SOON, large.collect()).await.unwrap();
    assert!(body.is_err(), "the stream was not reset");
    let small = client.send_request(to(Method::GET, "/", empty())).await;
    assert_eq!(text(small.unwrap()).await, "xx");
}

#[tokio::test]
async fn a_connection_at_rest_is_told_goodbye_and_one_at_work_finishes() {
    let backend = Backend::saying("done").await;
    let site = Site::start(RouterSettings {
        keep_alive_timeout: Duration::from_millis(200),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let mut client = prior_knowledge(&site).await;
    let answer = client.send_request(to(Method::GET, "/", empty())).await;
    assert_eq!(text(answer.unwrap()).await, "done");
    eventually(|| client.is_closed()).await;

    let (pieces, body) = piecemeal();
    let mut client = prior_knowledge(&site).await;
    let answer = client.send_request(to(Method::POST, "/", body));
    site.in_flight_becomes(1, 1).await;
    site.stop.cancel();
    pieces.send(Frame::data("x".into())).await.unwrap();
    drop(pieces);
    assert_eq!(text(answer.await.unwrap()).await, "done");
    site.tasks.close();
    tokio::time::timeout(SOON, site.tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_gives_up_all_it_asks_for_is_sent_away() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        std::future::pending::<()>().await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut client = prior_knowledge(&site).await;
    for _ in 0..1000 {
        let asking = client.send_request(to(Method::GET, "/", empty()));
        // Long enough to be under way, and then given up.
        if tokio::time::timeout(Duration::from_millis(5), asking)
            .await
            .is_ok()
        {
            break;
        }
        if client.is_closed() {
            break;
        }
    }
    eventually(|| client.is_closed()).await;
    eventually(|| site.router.stats().connections == 0).await;
    assert!(backend.connections() < 200, "{}", backend.connections());
}

#[tokio::test]
async fn heads_have_a_limit_here_too() {
    let backend = Backend::echoing().await;
    let site = Site::start(RouterSettings {
        max_head_bytes: 4096,
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let mut client = prior_knowledge(&site).await;
    let mut request = to(Method::GET, "/", empty());
    let long = HeaderValue::from_str(&"x".repeat(5000)).unwrap();
    request.headers_mut().insert("x-long", long);
    let answer = client.send_request(request).await;
    let refused = answer.map_or(true, |a| {
        a.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    });
    assert!(refused);
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_preface_may_come_in_pieces_and_a_broken_one_is_a_bad_request() {
    let backend = Backend::saying("ok").await;
    let site = Site::in_front_of(&backend).await;
    let mut stream = TcpStream::connect(("127.0.0.1", site.port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in ["P", "RI * HT", "TP/2.0\r\n\r\nSM\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    // An empty SETTINGS frame; the server's own comes first.
    stream
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let mut head = [0; 9];
    tokio::time::timeout(SOON, stream.read_exact(&mut head))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head[3], 4, "{head:?}");
    let mut wire = site.connect().await;
    wire.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await;
    let answer = wire.raw_to_end().await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
        "{answer:?}"
    );
    // A method that begins like the preface.
    let mut wire = site.connect().await;
    wire.send(b"P").await;
    wire.say("UT / HTTP/1.1\nHost: app.test\nContent-Length: 0\n\n")
        .await;
    assert_eq!(wire.hear_response("PUT").await.body, "ok");
}

#[tokio::test]
async fn who_is_answered_early_may_say_the_rest_to_nobody() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear_head().await;
        wire.answer("enough").await;
        std::future::pending::<()>().await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut client = prior_knowledge(&site).await;
    let mut silent = Vec::new();
    for host in ["app.test", "other.test"] {
        let (pieces, body) = piecemeal();
        let mut request = to(Method::POST, "/", body);
        *request.uri_mut() = format!("http://{host}/").parse().unwrap();
        let response = client.send_request(request).await.unwrap();
        let is_ours = response.status() == StatusCode::OK;
        assert_eq!(is_ours, host == "app.test");
        text(response).await;
        // More than there is room for at first.
        for _ in 0..16 {
            let piece = Frame::data(vec![b'x'; 64 * 1024].into());
            let sent = tokio::time::timeout(SOON, pieces.send(piece)).await;
            assert!(sent.is_ok_and(|sent| sent.is_ok()), "{host}: no room");
        }
        silent.push(pieces);
    }
    // Whoever says no more is not waited for.
    site.stop.cancel();
    site.tasks.close();
    tokio::time::timeout(SOON, site.tasks.wait()).await.unwrap();
}
