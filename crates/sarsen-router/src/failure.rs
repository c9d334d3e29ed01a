//! Everything that can go wrong with a request, and how it is named: Heroku's codes, HTTP's statuses.

use http::StatusCode;

/// Why a request got no answer from an app, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    UnknownHost,
    Misdirected,
    Crashed,
    Timeout,
    Closed,
    NoWeb,
    BadResponse,
    Idle,
    Interrupted,
    ConnectTimeout,
    Refused,
    Forbidden,
    BadRequest,
    ClientGone,
    ClientIdle,
    NeverDeployed,
    Maintenance,
    Unauthorized,
    Banned,
    TooLarge,
    TooMany,
}

impl Failure {
    /// Heroku's code where there is one.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown-host",
            Self::Misdirected => "misdirected",
            Self::Crashed => "H10",
            Self::Timeout => "H12",
            Self::Closed => "H13",
            Self::NoWeb => "H14",
            Self::Idle => "H15",
            Self::BadResponse => "H17",
            Self::Interrupted => "H18",
            Self::ConnectTimeout => "H19",
            Self::Refused => "H21",
            Self::Forbidden => "H25",
            Self::BadRequest => "H26",
            Self::ClientGone => "H27",
            Self::ClientIdle => "H28",
            Self::Maintenance => "H80",
            Self::NeverDeployed => "H81",
            Self::Unauthorized => "auth",
            Self::Banned => "address",
            Self::TooLarge => "body-size",
            Self::TooMany => "rate-limit",
        }
    }

    /// A few words for the log.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::UnknownHost => "No such app",
            Self::Misdirected => "Another host than in the TLS handshake",
            Self::Crashed => "App crashed",
            Self::Timeout => "Request timeout",
            Self::Closed => "Connection closed without response",
            Self::NoWeb => "No web processes running",
            Self::Idle => "Idle connection",
            Self::BadResponse => "Poorly formatted HTTP response",
            Self::Interrupted => "Server Request Interrupted",
            Self::ConnectTimeout => "Backend connection timeout",
            Self::Refused => "Backend connection refused",
            Self::Forbidden => "HTTP restriction",
            Self::BadRequest => "Request Error",
            Self::ClientGone => "Client Request Interrupted",
            Self::ClientIdle => "Client Connection Idle",
            Self::NeverDeployed => "Blank app",
            Self::Maintenance => "Maintenance mode",
            Self::Unauthorized => "Password required",
            Self::Banned => "Address not allowed",
            Self::TooLarge => "Request body too large",
            Self::TooMany => "Too many requests",
        }
    }

    /// What the client gets, or what is logged when nobody is left to get it.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Crashed | Self::NoWeb | Self::NeverDeployed | Self::Maintenance => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Timeout | Self::Idle | Self::ConnectTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Closed | Self::BadResponse | Self::Interrupted | Self::Refused => {
                StatusCode::BAD_GATEWAY
            }
            Self::Forbidden => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::ClientGone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::ClientIdle => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Banned => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// A sentence for the person who sees the page.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::UnknownHost => "There is no app at this address.",
            Self::Misdirected => "This connection was made for another address.",
            Self::Crashed => "The app at this address has stopped unexpectedly.",
            Self::Timeout => "The app took too long to answer.",
            Self::Closed => "The app closed the connection without an answer.",
            Self::NoWeb => "The app at this address is not running.",
            Self::BadResponse => "The app's answer was not understood.",
            Self::Idle | Self::Interrupted => "The app did not finish its answer.",
            Self::ConnectTimeout | Self::Refused => "The app could not be reached.",
            Self::Forbidden => "This method is not available here.",
            Self::BadRequest => "The request was not understood.",
            Self::ClientGone => "The client went away.",
            Self::ClientIdle => "The request took too long to arrive.",
            Self::NeverDeployed => "Nothing has been deployed to this app yet.",
            Self::Maintenance => "The app is down for maintenance and will be back soon.",
            Self::Unauthorized => "A user name and a password are needed here.",
            Self::Banned => "Your address may not use this app.",
            Self::TooLarge => "The request is larger than this app accepts.",
            Self::TooMany => "There were too many requests from your address.",
        }
    }

    /// Whether the app's owner wanted it so: nothing went wrong.
    pub(crate) fn is_wanted(self) -> bool {
        matches!(
            self,
            Self::Maintenance | Self::Unauthorized | Self::Banned | Self::TooLarge | Self::TooMany
        )
    }

    /// Whether the container is to blame.
    pub(crate) fn is_upstreams(self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::Closed
                | Self::BadResponse
                | Self::Idle
                | Self::Interrupted
                | Self::ConnectTimeout
                | Self::Refused
        )
    }

    /// Whether that is how a request ends whose container goes away.
    pub(crate) fn is_a_loss(self) -> bool {
        matches!(
            self,
            Self::Closed | Self::Interrupted | Self::ConnectTimeout | Self::Refused
        )
    }

    /// Whether the connection to the client is of no more use after this.
    pub(crate) fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::Forbidden
                | Self::BadRequest
                | Self::ClientGone
                | Self::ClientIdle
                | Self::UnknownHost
                | Self::TooLarge
                | Self::Misdirected
        )
    }
}
