//! One HTTP request to a container, with its redirects, judged.

use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use sarsen_domain::Domain;
use tokio::net::TcpStream;

const REDIRECTS_MAX: usize = 5;
/// Content is looked for in the first part of a body only.
const BODY_MAX: usize = 1 << 20;

/// What to ask and what to find.
pub(super) struct Probe<'a> {
    pub(super) address: SocketAddr,
    pub(super) host: Option<&'a Domain>,
    pub(super) path: &'a str,
    /// The container itself speaks TLS on the port: then only the connection is tried.
    pub(super) https: bool,
    pub(super) forwarded_https: bool,
    pub(super) headers: &'a [(String, String)],
    pub(super) content: Option<&'a str>,
}

/// What went wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Nobody answers.
    Unreachable(String),
    /// The answer is not the right one.
    Answer(String),
}

struct Answer {
    status: StatusCode,
    location: Option<String>,
    body: Vec<u8>,
}

impl Probe<'_> {
    pub(super) async fn send(&self) -> Result<(), Problem> {
        if self.https {
            return self.connect().await.map(drop);
        }
        let mut target = Target {
            path: self.path.to_owned(),
            https: self.forwarded_https,
        };
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.get(&target).await?;
            let path = &target.path;
            let location = answer.location.filter(|_| answer.status.is_redirection());
            let Some(location) = location else {
                return self.judge(path, answer.status, &answer.body);
            };
            let next = redirected(&location, path, &self.host_header()).ok_or_else(|| {
                Problem::Answer(format!(
                    "{path} answered {} to {location}, which is outside the app",
                    answer.status.as_u16()
                ))
            })?;
            target = Target {
                https: target.https || next.https,
                path: next.path,
            };
        }
        Err(Problem::Answer(format!(
            "{} redirects more than {REDIRECTS_MAX} times",
            self.path
        )))
    }

    fn judge(&self, path: &str, status: StatusCode, body: &[u8]) -> Result<(), Problem> {
        if !status.is_success() {
            let text = format!("{path} answered {}, expected 2xx", status.as_u16());
            return Err(Problem::Answer(text));
        }
        match self.content {
            Some(content) if !holds(body, content.as_bytes()) => Err(Problem::Answer(format!(
                "the answer of {path} does not hold '{content}'"
            ))),
            _ => Ok(()),
        }
    }

    /// The app's domain, unless it is a pattern; apps often answer to their own names only.
    fn host_header(&self) -> String {
        self.host
            .map(Domain::as_str)
            .filter(|host| !host.contains('*') && *host != "_" && *host != "localhost")
            .map_or_else(|| self.address.to_string(), str::to_owned)
    }

    async fn connect(&self) -> Result<TcpStream, Problem> {
        TcpStream::connect(self.address).await.map_err(|error| {
            let port = self.address.port();
            Problem::Unreachable(format!("nothing answers on port {port} ({error})"))
        })
    }

    async fn get(&self, target: &Target) -> Result<Answer, Problem> {
        let request = self.request(target)?;
        let broken = |error: hyper::Error| {
            Problem::Unreachable(format!("the connection broke before an answer ({error})"))
        };
        let io = TokioIo::new(self.connect().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(broken)?;
        let exchange = pin!(async move {
            let response = sender.send_request(request).await.map_err(broken)?;
            Ok(read(response).await)
        });
        // The connection may end first, with the rest of the body already here.
        match select(exchange, pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    fn request(&self, target: &Target) -> Result<Request<Empty<Bytes>>, Problem> {
        let invalid = |error: &dyn std::fmt::Display| Problem::Answer(error.to_string());
        let proto = if target.https { "https" } else { "http" };
        let mut request = Request::get(target.path.as_str())
            .header(HOST, self.host_header())
            .header(USER_AGENT, "sarsen-healthcheck")
            .header(ACCEPT, "*/*")
            .header(CONNECTION, "close")
            .header("x-forwarded-proto", proto)
            .body(Empty::new())
            .map_err(|error| invalid(&error))?;
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| invalid(&error))?;
            let value = HeaderValue::from_str(value).map_err(|error| invalid(&error))?;
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let location = head.headers.get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let mut body = Limited::new(body, BODY_MAX);
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], AsRef::as_ref));
    }
    Answer {
        status: head.status,
        location: location.map(str::to_owned),
        body: bytes,
    }
}

fn holds(body: &[u8], content: &[u8]) -> bool {
    content.is_empty() || body.windows(content.len()).any(|window| window == content)
}

#[derive(Debug, PartialEq, Eq)]
struct Target {
    path: String,
    /// Whether the app is told that its client came by HTTPS.
    https: bool,
}

/// Where a redirect leads; `None` when that is another host. A redirect to HTTPS on the same host is what an app does
/// that thinks its client came by HTTP: the next request then says that it did not.
fn redirected(location: &str, path: &str, host: &str) -> Option<Target> {
    let absolute = match location.strip_prefix("//") {
        Some(rest) => format!("http://{rest}"),
        None => location.to_owned(),
    };
    let is_path = location.starts_with('/') && absolute == location;
    if is_path || !absolute.contains("://") {
        let path = if location.starts_with('/') {
            location.to_owned()
        } else {
            let plain = path.split('?').next().unwrap_or(path);
            let folder = plain.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        };
        return Some(Target { path, https: false });
    }
    let uri: Uri = absolute.parse().ok()?;
    let authority = uri.authority()?;
    let own = host.split(':').next().unwrap_or(host);
    let is_same = authority.host().eq_ignore_ascii_case(own);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    is_same.then(|| Target {
        path: target.to_owned(),
        https: uri.scheme_str() == Some("https"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_inside() {
        let to = |location: &str| redirected(location, "/a/b?x=1", "shop.example.com");
        let target = |path: &str, https| {
            Some(Target {
                path: path.to_owned(),
                https,
            })
        };
        assert_eq!(to("/login?n=1"), target("/login?n=1", false));
        assert_eq!(to("c"), target("/a/c", false));
        assert_eq!(to("https://Shop.example.com/x"), target("/x", true));
        assert_eq!(to("http://shop.example.com:80"), target("/", false));
        assert_eq!(to("//shop.example.com/y"), target("/y", false));
        assert_eq!(to("/x?next=http://a"), target("/x?next=http://a", false));
        assert_eq!(to("https://sso.example.com/"), None);
        assert_eq!(to("http://[broken"), None);
    }

    #[test]
    fn content_is_found_anywhere() {
        assert!(holds(b"all is fine", b"is"));
        assert!(holds(b"", b""));
        assert!(!holds(b"ok", b"okay"));
    }
}
