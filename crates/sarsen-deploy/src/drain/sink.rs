//! Places that lines go to, as people write them: a URL, or the form that Dokku's users know from Vector.

use std::collections::BTreeMap;
use std::fmt;

use hyper::Uri;
use sarsen_domain::Invalid;

/// A place that keeps lines.
#[derive(Clone, PartialEq, Eq)]
pub enum Sink {
    /// POST, some lines at a time.
    Http { uri: Uri, codec: Codec },
    /// RFC 5424, a message per line.
    Syslog {
        transport: Transport,
        host: String,
        port: u16,
    },
    /// A file of this name among the drains' files.
    File { name: String },
}

/// What is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// A JSON object per line.
    NdJson,
    /// A JSON list of objects.
    Json,
    /// The lines themselves.
    Text,
}

/// How syslog messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    /// Each message says its length.
    Tcp,
    /// The same inside TLS.
    Tls,
}

impl Sink {
    /// `https://…`, `syslog+tcp://host:port`, `file://name`, or `KIND://?option=value&…`
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (kind, rest) = text.split_once("://").ok_or_else(|| {
            invalid("write it as https://host/path, syslog+tcp://host:port or file://name")
        })?;
        if text.len() > 4096 || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(invalid("it holds blanks or is too long"));
        }
        if let Some(options) = rest.strip_prefix('?') {
            return Self::of_options(kind, &parse_options(options)?);
        }
        match kind {
            "http" | "https" => Self::http(text, Codec::NdJson),
            "syslog" | "syslog+udp" => Self::syslog(Transport::Udp, rest),
            "syslog+tcp" => Self::syslog(Transport::Tcp, rest),
            "syslog+tls" => Self::syslog(Transport::Tls, rest),
            "file" => Self::file(rest),
            other => Err(unknown(other)),
        }
    }

    fn of_options(kind: &str, options: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        let known: &[&str] = match kind {
            "http" => &["uri", "method", "encoding[codec]"],
            "socket" => &["address", "mode", "tls[enabled]"],
            "file" => &["path", "encoding[codec]"],
            other => return Err(unknown(other)),
        };
        if let Some(option) = options.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(invalid(&format!(
                "the option '{option}' is not known: use {}",
                known.join(", ")
            )));
        }
        let needed = |key: &str| {
            options
                .get(key)
                .ok_or_else(|| invalid(&format!("the option '{key}' is needed")))
        };
        let codec = options.get("encoding[codec]").map(String::as_str);
        match kind {
            "http" => {
                if options.get("method").is_some_and(|method| method != "post") {
                    return Err(invalid("the method can only be post"));
                }
                let codec = match codec {
                    None | Some("json") => Codec::Json,
                    Some("ndjson") => Codec::NdJson,
                    Some("text") => Codec::Text,
                    Some(other) => {
                        return Err(invalid(&format!(
                            "the codec '{other}' is not known: use json, ndjson or text"
                        )));
                    }
                };
                Self::http(needed("uri")?, codec)
            }
            "socket" => Self::syslog(socket_transport(options)?, needed("address")?),
            _ if codec.is_some_and(|codec| codec != "text") => {
                Err(invalid("files are written as text"))
            }
            _ => Self::file(needed("path")?),
        }
    }

    fn http(text: &str, codec: Codec) -> Result<Self, Invalid> {
        let uri: Uri = text
            .parse()
            .map_err(|_| invalid(&format!("'{}' is no URL", text.escape_debug())))?;
        if uri.host().is_none_or(str::is_empty)
            || !matches!(uri.scheme_str(), Some("http" | "https"))
        {
            return Err(invalid("an address such as https://host/path is needed"));
        }
        Ok(Self::Http { uri, codec })
    }

    fn syslog(transport: Transport, address: &str) -> Result<Self, Invalid> {
        let address = address.trim_end_matches('/');
        let parts = address.rsplit_once(':');
        let parsed = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match parsed {
            Some((host, port)) if port > 0 && !host.is_empty() && !host.contains(['/', '@']) => {
                Ok(Self::Syslog {
                    transport,
                    host: host.trim_matches(['[', ']']).to_owned(),
                    port,
                })
            }
            _ => Err(invalid("an address such as host:514 is needed")),
        }
    }

    /// The text of a sink as people may see it: without passwords and without the values of queries.
    pub fn masked(text: &str) -> String {
        let Some((kind, options)) = text.split_once("://?") else {
            return masked_url(text);
        };
        let shown = options.split('&').map(|pair| match pair.split_once('=') {
            Some(("uri", value)) => {
                let url = decoded(value).unwrap_or_default();
                format!("uri={}", masked_url(&url))
            }
            _ => pair.to_owned(),
        });
        format!("{kind}://?{}", shown.collect::<Vec<_>>().join("&"))
    }

    /// Only a name: whoever sets a drain is not to write anywhere on the host.
    fn file(name: &str) -> Result<Self, Invalid> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(legal)
        {
            return Err(invalid(
                "a file is given by its name alone, such as file://shop.log; it is written to logs/drains in the data directory",
            ));
        }
        Ok(Self::File {
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Sink {
    /// Without passwords and queries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { uri, .. } => {
                let scheme = uri.scheme_str().unwrap_or_default();
                let (host, path) = (uri.host().unwrap_or_default(), uri.path());
                match uri.port_u16() {
                    Some(port) => write!(f, "{scheme}://{host}:{port}{path}"),
                    None => write!(f, "{scheme}://{host}{path}"),
                }
            }
            Self::Syslog {
                transport,
                host,
                port,
            } => match transport {
                Transport::Tcp => write!(f, "syslog+tcp://{host}:{port}"),
                Transport::Tls => write!(f, "syslog+tls://{host}:{port}"),
                Transport::Udp => write!(f, "syslog+udp://{host}:{port}"),
            },
            Self::File { name } => write!(f, "file://{name}"),
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands for a secret.
const MASK: &str = "***";

fn masked_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host = match authority.rsplit_once('@') {
        // Whoever gives no password may give a token in place of the name.
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{MASK}@{host}"),
            None => format!("{MASK}@{host}"),
        },
        None => authority.to_owned(),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let masked = query.split('&').filter(|pair| !pair.is_empty());
    let masked = masked.map(|pair| match pair.split_once('=') {
        Some((key, _)) => format!("{key}={MASK}"),
        None => MASK.to_owned(),
    });
    let query = masked.collect::<Vec<_>>().join("&");
    let query = if query.is_empty() {
        query
    } else {
        format!("?{query}")
    };
    format!("{scheme}://{host}{path}{query}")
}

fn socket_transport(options: &BTreeMap<String, String>) -> Result<Transport, Invalid> {
    let option = |key: &str| options.get(key).map(String::as_str);
    match (option("mode"), option("tls[enabled]")) {
        (Some("tcp"), Some("true")) => Ok(Transport::Tls),
        (Some("tcp"), None | Some("false")) => Ok(Transport::Tcp),
        (Some("udp"), None | Some("false")) => Ok(Transport::Udp),
        (Some("udp"), Some("true")) => Err(invalid("TLS needs the mode tcp")),
        (Some("tcp" | "udp"), Some(_)) => {
            Err(invalid("the option 'tls[enabled]' must be true or false"))
        }
        _ => Err(invalid("the option 'mode' must be tcp or udp")),
    }
}

fn invalid(why: &str) -> Invalid {
    Invalid::new(format!("Invalid log sink: {why}"))
}

fn unknown(kind: &str) -> Invalid {
    invalid(&format!(
        "'{}' is not supported: use http, https, syslog+tls, syslog+tcp, syslog+udp, socket or file",
        kind.escape_debug()
    ))
}

fn parse_options(text: &str) -> Result<BTreeMap<String, String>, Invalid> {
    let mut options = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| invalid("options are written as key=value, joined by &"))?;
        options.insert(decoded(key)?, decoded(value)?);
    }
    Ok(options)
}

/// `%3A` is a colon.
fn decoded(text: &str) -> Result<String, Invalid> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(|b| b.and_then(|b| char::from(b).to_digit(16)));
        match digits {
            [Some(high), Some(low)] => bytes.extend(u8::try_from(high * 16 + low)),
            _ => return Err(invalid("a % is followed by two hex digits")),
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))
}
