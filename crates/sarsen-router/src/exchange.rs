//! The account of one request: who served it, how it ended, and the line about it in the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, StatusCode, Uri};

use crate::access_log::line::Line;
use crate::failure::Failure;
use crate::host;
use crate::live::{LiveApp, Picked};
use crate::policy::admit::Scheme;
use crate::policy::shape::Shape;
use crate::policy::{LogForm, Policy};
use crate::router::Inner;
use crate::settings::RouterSettings;
use crate::upstream::{InFlight, UpstreamState};

/// Closed by [`Self::finish`] or [`Self::fail`]; dropped open, it was the client that left.
#[derive(Debug)]
pub(crate) struct Exchange {
    inner: Arc<Inner>,
    app: Option<Arc<LiveApp>>,
    upstream: Option<Arc<UpstreamState>>,
    in_flight: Option<InFlight>,
    details: Option<Box<Details>>,
    shape: Option<Shape>,
    scheme: Scheme,
    // The path that the client asked for, when the app is asked for another.
    asked_for: Option<Box<str>>,
    started: Instant,
    connect: Option<Duration>,
    status: Option<StatusCode>,
    bytes: u64,
    closed: bool,
}

/// What only the log wants to know.
#[derive(Debug)]
pub(crate) struct Details {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) host: HeaderValue,
    pub(crate) request_id: HeaderValue,
    pub(crate) fwd: HeaderValue,
}

impl Exchange {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            app: None,
            upstream: None,
            in_flight: None,
            details: None,
            shape: None,
            scheme: Scheme::Http,
            asked_for: None,
            started: Instant::now(),
            connect: None,
            status: None,
            bytes: 0,
            closed: false,
        }
    }

    pub(crate) fn describe(&mut self, details: impl FnOnce() -> Details) {
        if self.inner.settings.access_log.is_on() {
            self.details = Some(Box::new(details()));
        }
    }

    /// The addresses that the request came along.
    pub(crate) fn came_along(&mut self, chain: HeaderValue) {
        if let Some(details) = &mut self.details {
            details.fwd = chain;
        }
    }

    pub(crate) fn reached_app(&mut self, app: &Arc<LiveApp>) {
        self.app = Some(Arc::clone(app));
    }

    /// The app's policy has let the request in.
    pub(crate) fn admitted(&mut self, shape: Shape) {
        self.shape = Some(shape);
    }

    pub(crate) fn shape(&self) -> Option<Shape> {
        self.shape
    }

    pub(crate) fn policy(&self) -> Option<&Policy> {
        self.app.as_ref().map(|app| &*app.policy)
    }

    pub(crate) fn came_by(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The app will see another path than this one.
    pub(crate) fn asked_for(&mut self, path: &str) {
        self.asked_for = Some(path.into());
    }

    /// The path that leads to the app, if it is not the one that the app sees.
    pub(crate) fn path(&self) -> Option<&str> {
        self.asked_for.as_deref()
    }

    /// Another container is asked, because this one did not take the request.
    pub(crate) fn missed(&self, upstream: &UpstreamState) {
        upstream.instance.miss();
        if let Some(app) = &self.app {
            app.counters.count_retry();
            app.note_failure(upstream);
        }
    }

    pub(crate) fn picked(&mut self, picked: Picked) {
        self.upstream = Some(picked.upstream);
        self.in_flight = Some(picked.in_flight);
    }

    pub(crate) fn connected(&mut self, took: Duration) {
        self.connect = Some(took);
    }

    pub(crate) fn settings(&self) -> &Arc<RouterSettings> {
        match &self.app {
            Some(app) => &app.settings,
            None => &self.inner.settings,
        }
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(crate) fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// The count at the container, for a tunnel to carry on.
    pub(crate) fn take_in_flight(&mut self) -> Option<InFlight> {
        self.in_flight.take()
    }

    /// The response is complete.
    pub(crate) fn finish(&mut self) {
        self.close(None);
    }

    /// The response will not be complete.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.close(Some(failure));
    }

    fn close(&mut self, failure: Option<Failure>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.in_flight = None;
        let status = match (failure, self.status) {
            // The client left: what it would have got says little.
            (Some(Failure::ClientGone), _) => Failure::ClientGone.status(),
            (_, Some(status)) => status,
            (Some(failure), None) => failure.status(),
            (None, None) => StatusCode::OK,
        };
        self.count(failure, status);
        self.log(failure, status);
    }

    fn count(&self, failure: Option<Failure>, status: StatusCode) {
        let Some(app) = &self.app else {
            let counters = &self.inner.counters;
            let counter = match failure {
                Some(Failure::UnknownHost) => &counters.unknown_host,
                _ => &counters.bad_requests,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            return;
        };
        app.counters.count(status, self.bytes);
        if status != StatusCode::SWITCHING_PROTOCOLS {
            app.counters.count_time(self.started.elapsed());
        }
        match failure {
            Some(failure) if failure.is_upstreams() => {
                app.counters.count_error();
                app.counters.count_upstream_error();
                if let Some(upstream) = &self.upstream {
                    app.note_failure(upstream);
                    if failure.is_a_loss() {
                        upstream.instance.lose();
                    }
                }
            }
            Some(failure) if !failure.is_wanted() => app.counters.count_error(),
            Some(_) => {}
            None => {
                if let Some(upstream) = &self.upstream {
                    upstream.succeeded();
                }
            }
        }
    }

    fn log(&self, failure: Option<Failure>, status: StatusCode) {
        let Some(details) = &self.details else {
            return;
        };
        let form = self.policy().map_or(LogForm::Heroku, |policy| policy.log);
        let host = details.host.to_str().ok().and_then(host::normalise);
        let path = details.uri.path_and_query().map_or("", |p| p.as_str());
        let line = Line {
            at: SystemTime::now(),
            app: self.app.as_ref().map_or("", |app| app.name.as_str()),
            failure,
            method: details.method.as_str(),
            path: path.as_bytes(),
            host: host.as_deref().unwrap_or_default(),
            request_id: details.request_id.as_bytes(),
            fwd: details.fwd.as_bytes(),
            dyno: self.upstream.as_ref().map_or("", |u| u.dyno.as_str()),
            connect: self.connect,
            service: self.upstream.as_ref().map(|_| self.started.elapsed()),
            status: status.as_u16(),
            bytes: self.status.map(|_| self.bytes),
            protocol: match self.scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
            },
        };
        match form {
            LogForm::Heroku => self.inner.settings.access_log.write(&line.to_string()),
            LogForm::Json => self.inner.settings.access_log.write(&line.to_json()),
            LogForm::Off => {}
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.fail(Failure::ClientGone);
    }
}

/// Counts and logs a request that could not be read; the parser has answered it.
pub(crate) fn unreadable(inner: &Inner, client: &HeaderValue, error: &hyper::Error) {
    inner.counters.bad_requests.fetch_add(1, Ordering::Relaxed);
    let status = if error.is_parse_too_large() {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else {
        StatusCode::BAD_REQUEST
    };
    let line = Line {
        at: SystemTime::now(),
        app: "",
        failure: Some(Failure::BadRequest),
        method: "",
        path: b"",
        host: "",
        request_id: b"",
        fwd: client.as_bytes(),
        dyno: "",
        connect: None,
        service: None,
        status: status.as_u16(),
        bytes: None,
        protocol: "http",
    };
    if inner.settings.access_log.is_on() {
        inner.settings.access_log.write(&line.to_string());
    }
}
