//! What happens to one request: check, route, send to an upstream, answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::OwnedSemaphorePermit;

use crate::body::{RequestBody, ResponseBody};
use crate::client_io::{Busy, Seat};
use crate::exchange::{Details, Exchange};
use crate::failure::Failure;
use crate::head::{self, RequestId, Voucher};
use crate::host;
use crate::link::{Link, LinkedBody, SendError};
use crate::listener::Front;
use crate::live::{LiveApp, NoPick, Picked};
use crate::page::{self, Taste};
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
    /// Counts the connection, or the tunnel that it became.
    pub(crate) _permit: OwnedSemaphorePermit,
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

/// Serves one request.
pub(crate) async fn handle(
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let busy = peer.seat.sit();
    let taste = Taste::of(request.headers());
    let request_id = head::request_id(request.headers());
    let mut exchange = Box::new(Exchange::new(Arc::clone(&peer.front.inner)));
    match forward(&peer, request, &request_id, &mut exchange).await {
        Ok((answer, None)) => Ok(respond(&peer, answer, exchange, busy)),
        Ok((answer, Some(client))) => {
            Ok(respond_upgraded(&peer, answer, client, exchange, busy).await)
        }
        Err(failure) => {
            exchange.fail(failure);
            let page = page::failure(failure, taste, &request_id.header());
            Ok(page.map(|page| ResponseBody::page(page, busy)))
        }
    }
}

async fn forward(
    peer: &Peer,
    mut request: Request<Incoming>,
    request_id: &RequestId,
    exchange: &mut Exchange,
) -> Result<(Answer, Option<OnUpgrade>), Failure> {
    let checked = check(peer, &mut request);
    exchange.describe(|| describe(peer, &request, request_id));
    checked?;
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
    exchange.came_along(chain);
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    let request = Request::from_parts(parts, RequestBody::new(incoming));
    let answer = send(peer, request, exchange).await?;
    let is_upgrade = answer.response.status() == StatusCode::SWITCHING_PROTOCOLS;
    match (is_upgrade, client) {
        (true, Some(client)) => Ok((answer, Some(client))),
        (true, None) => Err(Failure::BadResponse),
        (false, _) => Ok((answer, None)),
    }
}

// Refuses what has two meanings, and makes the target relative.
fn check(peer: &Peer, request: &mut Request<Incoming>) -> Result<(), Failure> {
    if request.method() == Method::CONNECT {
        return Err(Failure::Forbidden);
    }
    let headers = request.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let is_plain =
            coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        if !is_plain || peer.seat.head_has_content_length() {
            return Err(Failure::BadRequest);
        }
    }
    let mut hosts = headers.get_all(HOST).iter();
    if hosts.next().is_none() || hosts.next().is_some() {
        return Err(Failure::BadRequest);
    }
    let Some(authority) = request.uri().authority() else {
        return Ok(());
    };
    // The target's own host counts, not the header's.
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Failure::BadRequest)?;
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    request.headers_mut().insert(HOST, host);
    Ok(())
}

fn describe(peer: &Peer, request: &Request<Incoming>, request_id: &RequestId) -> Details {
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

// Tries one upstream after the other, as long as the request is still whole.
async fn send(
    peer: &Peer,
    mut request: Request<RequestBody>,
    exchange: &mut Exchange,
) -> Result<Answer, Failure> {
    let settings = &peer.front.inner.settings;
    let mut tried = Vec::new();
    let mut last = None;
    loop {
        let picked =
            pick(peer, &request, &tried, exchange).map_err(|failure| last.unwrap_or(failure))?;
        let upstream = Arc::clone(&picked.upstream);
        exchange.picked(picked);
        match ask(settings, &upstream, request, exchange).await {
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
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(host::normalise)
        .ok_or(Failure::BadRequest)?;
    for _ in 0..LOOKS {
        let live = peer.front.inner.live.load();
        let (app, port) = live
            .find(peer.front.port, &host)
            .ok_or(Failure::UnknownHost)?;
        exchange.reached_app(app);
        match app.pick(port, tried) {
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
    let mut link = match Link::connect(upstream.address, settings.connect_timeout).await {
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
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    exchange.answered(parts.status);
    let body = LinkedBody::new(incoming, link, answer.upstream, &inner.settings);
    Response::from_parts(parts, ResponseBody::app(body, exchange, busy))
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
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    exchange.answered(parts.status);
    let (upstream, early) = answer.link.into_tunnel().await;
    let tunnel = Tunnel {
        client,
        upstream,
        early,
        exchange,
    };
    front.tasks.spawn(tunnel::run(tunnel, Arc::clone(peer)));
    Response::from_parts(parts, ResponseBody::page(bytes::Bytes::new(), busy))
}
