//! The line about a connection, or about a client that sends datagrams.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::line::{Millis, Stamp};
use crate::failure::Failure;
use crate::live::LiveApp;
use crate::policy::LogForm;
use crate::router::Inner;

/// What the line says.
#[derive(Debug)]
pub(crate) struct RawLine<'a> {
    pub(crate) at: SystemTime,
    pub(crate) app: &'a str,
    pub(crate) failure: Option<Failure>,
    /// `tcp` or `udp`
    pub(crate) protocol: &'a str,
    /// The host's.
    pub(crate) port: u16,
    pub(crate) fwd: String,
    pub(crate) dyno: &'a str,
    pub(crate) connect: Option<Duration>,
    pub(crate) service: Duration,
    /// In both directions.
    pub(crate) bytes: u64,
}

impl RawLine<'_> {
    /// Writes it the way that the app's owner wants.
    pub(crate) fn write(&self, inner: &Inner, app: &LiveApp) {
        let log = &inner.settings.access_log;
        if !log.is_on() {
            return;
        }
        match app.policy.log {
            LogForm::Heroku => log.write(&self.to_string()),
            LogForm::Json => log.write(&self.to_json()),
            LogForm::Off => {}
        }
    }

    fn to_json(&self) -> String {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let mut object = serde_json::json!({
            "time": Stamp(self.at).to_string(),
            "app": self.app,
            "protocol": self.protocol,
            "port": self.port,
            "fwd": self.fwd,
            "dyno": self.dyno,
            "connect_ms": self.connect.map(millis),
            "service_ms": millis(self.service),
            "bytes": self.bytes,
        });
        if let (Some(failure), Some(fields)) = (self.failure, object.as_object_mut()) {
            fields.insert("code".to_owned(), failure.code().into());
            fields.insert("desc".to_owned(), failure.summary().into());
        }
        format!("{object}\n")
    }
}

impl fmt::Display for RawLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[router]: ", Stamp(self.at), self.app)?;
        match self.failure {
            None => f.write_str("at=info")?,
            Some(failure) => write!(
                f,
                "at=error code={} desc=\"{}\"",
                failure.code(),
                failure.summary()
            )?,
        }
        writeln!(
            f,
            " port={} fwd=\"{}\" dyno={} connect={} service={} bytes={} protocol={}",
            self.port,
            self.fwd,
            self.dyno,
            Millis(self.connect),
            Millis(Some(self.service)),
            self.bytes,
            self.protocol
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>() -> RawLine<'a> {
        RawLine {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_709_210_096_007),
            app: "shop",
            failure: None,
            protocol: "tcp",
            port: 5432,
            fwd: "1.2.3.4".to_owned(),
            dyno: "web.1",
            connect: Some(Duration::from_millis(1)),
            service: Duration::from_millis(1800),
            bytes: 13,
        }
    }

    #[test]
    fn a_line_reads_like_that_of_a_request() {
        assert_eq!(
            line().to_string(),
            "2024-02-29T12:34:56.007Z shop[router]: at=info port=5432 fwd=\"1.2.3.4\" dyno=web.1 connect=1ms \
             service=1800ms bytes=13 protocol=tcp\n"
        );
        let refused = RawLine {
            failure: Some(Failure::Refused),
            dyno: "",
            connect: None,
            ..line()
        };
        let text = refused.to_string();
        assert!(
            text.contains("at=error code=H21 desc=\"Backend connection refused\" port=5432"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&refused.to_json()).unwrap();
        assert_eq!(json["code"], "H21");
        assert_eq!(json["connect_ms"], serde_json::Value::Null);
        assert_eq!(json["service_ms"], 1800.0);
    }
}
