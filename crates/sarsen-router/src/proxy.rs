//! What happens to one request: check, route, send to an upstream, answer.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;

use crate::balance::Wish;
use crate::body::{RequestBody, ResponseBody};
use crate::client_body::ClientBody;
use crate::client_io::{Busy, Framing, Seat};
use crate::exchange::{Details, Exchange};
use crate::failure::Failure;
use crate::head::{self, RequestId, Voucher};
use crate::host;
use crate::http2;
use crate::link::{Link, LinkedBody, SendError};
use crate::listener::{Admission, Front};
use crate::live::{LiveApp, NoPick, Picked};
use crate::page::Taste;
use crate::policy::admit::{self, Scheme, Stop, Visit};
use crate::policy::shape;
use crate::settings::RouterSettings;
use crate::spare::Spare;
use crate::table::AppState;
use crate::tunnel::{self, Tunnel};
use crate::upstream::UpstreamState;
use crate::workers::Place;

/// A request that must not be sent twice takes a pooled connection only when it rested for less than this, because
/// the upstream may be about to close it.
const SURELY_OPEN: Duration = Duration::from_secs(1);

/// How often a request looks at the table again because its container was retired meanwhile.
const LOOKS: usize = 16;

/// What the requests of one client connection have in common.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) front: Arc<Front>,
    pub(crate) seat: Arc<Seat>,
    pub(crate) voucher: Voucher,
    /// The host that the client named in the TLS handshake.
    pub(crate) server_name: Option<Box<str>>,
    /// Counts the connection, or the tunnel that it became.
    pub(crate) _admission: Admission,
    pub(crate) _place: Place,
}

/// A response's head, and the connection that its body is on.
struct Answer {
    response: Response<Incoming>,
    link: Box<Link>,
    upstream: Arc<UpstreamState>,
}

/// Why an upstream did not answer.
enum Miss {
    /// Another one may be tried.
    TryAnother(Box<Request<RequestBody>>, Failure),
    Final(Failure),
}

impl Peer {
    // What was agreed in the handshake holds for the host that was named there, and for those that share its
    // certificate: clients rely on both. Where none was named, the default certificate is what was agreed on.
    fn may_ask_for(&self, host: &str) -> bool {
        let Some(tls) = &self.front.tls else {
            return true;
        };
        let named = self.server_name.as_deref();
        named == Some(host) || tls.certificates.are_shared(named, host)
    }
}

/// Serves one request.
pub(crate) async fn handle(
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let busy = peer.seat.sit();
    if !request.body().is_end_stream() {
        peer.seat.note_body();
    }
    let is_http2 = request.version() == Version::HTTP_2;
    let pace = is_http2.then(http2::pace).flatten();
    if let Some(answer) = peer.front.inner.challenges.answer(&request) {
        return Ok(answer.map(|text| ResponseBody::page(text, busy).paced(pace)));
    }
    let taste = Taste::of(request.headers());
    let request_id = head::request_id(request.headers());
    let mut exchange = Box::new(Exchange::new(Arc::clone(&peer.front.inner)));
    let request = request.map(|incoming| ClientBody::new(incoming, &peer));
    let mut response = match forward(&peer, request, &request_id, &mut exchange).await {
        Ok((answer, None)) => respond(&peer, answer, exchange, busy),
        Ok((answer, Some(client))) => {
            let mut response = respond_upgraded(&peer, answer, client, exchange, busy).await;
            if is_http2 {
                http2::open_tunnel(&mut response);
            }
            return Ok(response.map(|body| body.paced(pace)));
        }
        Err(stop) => {
            let mut page = refuse(&stop, &mut exchange, taste, &request_id);
            close_if_last(&peer, page.headers_mut());
            page.map(|page| ResponseBody::page(page, busy))
        }
    };
    if !is_http2 && peer.front.is_leaving() {
        // Its next request is for another process.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response.map(|body| body.paced(pace)))
}

// The router's own answer.
fn refuse(
    stop: &Stop,
    exchange: &mut Exchange,
    taste: Taste,
    request_id: &RequestId,
) -> Response<bytes::Bytes> {
    let mut page = shape::instead(stop, exchange.policy(), taste, &request_id.header());
    if let Some(policy) = exchange.policy() {
        shape::dress(policy, exchange.scheme(), page.headers_mut());
    }
    match stop {
        Stop::Failure(failure) | Stop::Later(failure, _) => exchange.fail(*failure),
        Stop::Elsewhere { .. } => {
            exchange.answered(page.status());
            exchange.finish();
        }
    }
    page
}

async fn forward(
    peer: &Peer,
    mut request: Request<ClientBody>,
    request_id: &RequestId,
    exchange: &mut Exchange,
) -> Result<(Answer, Option<OnUpgrade>), Stop> {
    let checked = check(peer, &mut request);
    exchange.describe(|| describe(peer, &request, request_id));
    checked?;
    let app = reach(peer, &request, exchange)?;
    let visit = visit(peer, request.headers());
    exchange.came_by(visit.scheme);
    if app.policy.strips_path() {
        exchange.asked_for(request.uri().path());
    }
    let admitted = admit::admit(&app, &mut request, visit).await?;
    exchange.admitted(admitted);
    let client = head::wanted_upgrade(request.version(), request.headers())
        .map(|to| (to, hyper::upgrade::on(&mut request)));
    let (upgrade, client) = client.unzip();
    let (mut parts, incoming) = request.into_parts();
    let chain = head::prepare_request(
        &mut parts.headers,
        &peer.voucher,
        request_id.header(),
        upgrade,
    );
    admit::adorn(&app.policy, &mut parts.headers);
    exchange.came_along(chain);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let body = RequestBody::new(incoming, app.policy.max_body);
    if !body.is_empty() && !parts.headers.contains_key(CONTENT_LENGTH) {
        // Said in so many words, because a GET would lose its body otherwise.
        let chunked = const { HeaderValue::from_static("chunked") };
        parts.headers.insert(TRANSFER_ENCODING, chunked);
    }
    let request = Request::from_parts(parts, body);
    let answer = send(peer, request, exchange).await?;
    let is_upgrade = answer.response.status() == StatusCode::SWITCHING_PROTOCOLS;
    match (is_upgrade, client) {
        (true, Some(client)) if answer.link.can_tunnel() => Ok((answer, Some(client))),
        (true, _) => Err(Failure::BadResponse.into()),
        (false, _) => Ok((answer, None)),
    }
}

// Refuses what has two meanings, and makes the target relative.
fn check(peer: &Peer, request: &mut Request<ClientBody>) -> Result<(), Failure> {
    if request.version() == Version::HTTP_2 {
        return http2::settle(request);
    }
    if request.method() == Method::CONNECT {
        return Err(Failure::Forbidden);
    }
    let headers = request.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let is_plain =
            coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        if !is_plain {
            return Err(Failure::BadRequest);
        }
        match peer.seat.framing(request.method()) {
            Framing::Once => {}
            Framing::Twice => return Err(Failure::BadRequest),
            // Should somebody in front go by a length that was not seen, nothing of his is taken for the next request.
            Framing::Unknown => peer.seat.end_with_this(),
        }
    }
    let mut hosts = headers.get_all(HOST).iter();
    if hosts.next().is_none() || hosts.next().is_some() {
        return Err(Failure::BadRequest);
    }
    let Some(authority) = request.uri().authority() else {
        return http2::check_path(request);
    };
    // A host and nothing else is for CONNECT.
    if request.uri().scheme().is_none() {
        return Err(Failure::BadRequest);
    }
    // The target's own host counts, not the header's.
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Failure::BadRequest)?;
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    request.headers_mut().insert(HOST, host);
    Ok(())
}

fn describe(peer: &Peer, request: &Request<ClientBody>, request_id: &RequestId) -> Details {
    Details {
        method: request.method().clone(),
        uri: request.uri().clone(),
        host: request
            .headers()
            .get(HOST)
            .cloned()
            .unwrap_or(HeaderValue::from_static("")),
        request_id: request_id.header(),
        fwd: peer.voucher.client.clone(),
    }
}

// The app that answers, whatever it will answer.
fn reach(
    peer: &Peer,
    request: &Request<ClientBody>,
    exchange: &mut Exchange,
) -> Result<Arc<LiveApp>, Failure> {
    let host = host_of(request.headers()).ok_or(Failure::BadRequest)?;
    if !peer.may_ask_for(&host) {
        return Err(Failure::Misdirected);
    }
    let live = peer.front.inner.live.load();
    let found = live.find(peer.front.port, &host, request.uri().path());
    let (app, _) = found.ok_or(Failure::UnknownHost)?;
    exchange.reached_app(app);
    Ok(Arc::clone(app))
}

fn visit(peer: &Peer, headers: &HeaderMap) -> Visit {
    let trusted = &peer.front.inner.settings.trusted_proxies;
    let name = peer.voucher.client.to_str().ok();
    let ip = name.and_then(|ip| ip.parse().ok());
    let ip = ip.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let says_https = || {
        headers
            .get("x-forwarded-proto")
            .is_some_and(|v| v == "https")
    };
    let is_tls = peer.front.tls.is_some();
    let scheme = if is_tls || peer.voucher.is_trusted && says_https() {
        Scheme::Https
    } else {
        Scheme::Http
    };
    Visit {
        client: Visit::client(ip, headers, trusted),
        scheme,
        port: peer.front.port,
    }
}

fn host_of(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    headers.get(HOST)?.to_str().ok().and_then(host::normalise)
}

// Tries one upstream after the other, as long as the request is still whole.
async fn send(
    peer: &Peer,
    mut request: Request<RequestBody>,
    exchange: &mut Exchange,
) -> Result<Answer, Failure> {
    let settings = Arc::clone(exchange.settings());
    let mut tried = Vec::new();
    let mut last = None;
    loop {
        let picked =
            pick(peer, &request, &tried, exchange).map_err(|failure| last.unwrap_or(failure))?;
        let upstream = Arc::clone(&picked.upstream);
        exchange.picked(picked);
        match ask(&settings, &upstream, request, exchange).await {
            Ok((response, link)) => {
                return Ok(Answer {
                    response,
                    link,
                    upstream,
                });
            }
            Err(Miss::Final(failure)) => return Err(failure),
            Err(Miss::TryAnother(again, failure)) => {
                tried.push(upstream.address);
                exchange.missed(&upstream);
                last = Some(failure);
                request = *again;
            }
        }
    }
}

fn pick(
    peer: &Peer,
    request: &Request<RequestBody>,
    tried: &[SocketAddr],
    exchange: &mut Exchange,
) -> Result<Picked, Failure> {
    let host = host_of(request.headers()).ok_or(Failure::BadRequest)?;
    let wanted = exchange.shape().and_then(|shape| shape.wanted);
    for _ in 0..LOOKS {
        let live = peer.front.inner.live.load();
        let path = exchange.path().unwrap_or(request.uri().path());
        let (app, port) = live
            .find(peer.front.port, &host, path)
            .ok_or(Failure::UnknownHost)?;
        exchange.reached_app(app);
        match app.pick(port, Wish { tried, wanted }) {
            Ok(picked) => return Ok(picked),
            Err(NoPick::Exhausted) => return Err(excuse(app)),
            Err(NoPick::Outdated) => {}
        }
    }
    Err(Failure::NoWeb)
}

fn excuse(app: &LiveApp) -> Failure {
    match app.state {
        AppState::Serving | AppState::NoWeb => Failure::NoWeb,
        AppState::NeverDeployed => Failure::NeverDeployed,
        AppState::Crashed => Failure::Crashed,
    }
}

// Asks one upstream: on a pooled connection if there is one, else, or if that one turns out to be dead, on a new one.
async fn ask(
    settings: &RouterSettings,
    upstream: &UpstreamState,
    mut request: Request<RequestBody>,
    exchange: &mut Exchange,
) -> Result<(Response<Incoming>, Box<Link>), Miss> {
    let spare = Spare::of(&request);
    let max_rest = match spare {
        Some(_) => settings.pool_idle_timeout,
        None => SURELY_OPEN.min(settings.pool_idle_timeout),
    };
    if let Some(mut link) = upstream.take_link(max_rest) {
        exchange.connected(Duration::ZERO);
        let sent = link.send(request, settings).await;
        match (sent, &spare) {
            (Ok(response), _) => return Ok((response, link)),
            (Err(SendError::Unsent(again)), _) => request = *again,
            (Err(SendError::NoByte), Some(spare)) => request = again(spare)?,
            (Err(error), _) => return Err(Miss::Final(error.failure())),
        }
    }
    let start = Instant::now();
    let mut link = match Link::connect(upstream, settings.connect_timeout).await {
        Ok(link) => link,
        Err(failure) => {
            upstream.refused();
            return Err(Miss::TryAnother(Box::new(request), failure));
        }
    };
    upstream.accepted();
    exchange.connected(start.elapsed());
    let sent = link.send(request, settings).await;
    match (sent, spare) {
        (Ok(response), _) => Ok((response, link)),
        (Err(SendError::Unsent(again)), _) => Err(Miss::TryAnother(again, Failure::Closed)),
        (Err(SendError::NoByte), Some(spare)) => {
            Err(Miss::TryAnother(Box::new(again(&spare)?), Failure::Closed))
        }
        (Err(error), _) => Err(Miss::Final(error.failure())),
    }
}

fn again(spare: &Spare) -> Result<Request<RequestBody>, Miss> {
    spare.request().ok_or(Miss::Final(Failure::Closed))
}

fn respond(
    peer: &Peer,
    answer: Answer,
    mut exchange: Box<Exchange>,
    busy: Busy,
) -> Response<ResponseBody> {
    let inner = &peer.front.inner;
    let (mut parts, incoming) = answer.response.into_parts();
    let link = answer.link.after(&parts);
    head::prepare_response(&mut parts.headers, inner.via.as_ref(), None);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let squeezer = match (exchange.policy(), exchange.shape()) {
        (Some(policy), Some(shape)) => shape.answer(policy, &mut parts, answer.upstream.id),
        _ => None,
    };
    close_if_last(peer, &mut parts.headers);
    exchange.answered(parts.status);
    let body = LinkedBody::new(incoming, link, answer.upstream, exchange.settings());
    Response::from_parts(parts, ResponseBody::app(body, exchange, busy, squeezer))
}

fn close_if_last(peer: &Peer, headers: &mut HeaderMap) {
    if peer.seat.is_last() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

async fn respond_upgraded(
    peer: &Arc<Peer>,
    answer: Answer,
    client: OnUpgrade,
    mut exchange: Box<Exchange>,
    busy: Busy,
) -> Response<ResponseBody> {
    let front = &peer.front;
    let (mut parts, _) = answer.response.into_parts();
    let protocol = parts.headers.get(http::header::UPGRADE).cloned();
    head::prepare_response(&mut parts.headers, front.inner.via.as_ref(), protocol);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    exchange.answered(parts.status);
    if let Some((upstream, early)) = answer.link.into_tunnel().await {
        let tunnel = Tunnel {
            client,
            upstream,
            early,
            exchange,
        };
        front.tasks.spawn(tunnel::run(tunnel, Arc::clone(peer)));
    }
    Response::from_parts(parts, ResponseBody::page(bytes::Bytes::new(), busy))
}
