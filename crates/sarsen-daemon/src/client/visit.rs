//! The command that OpenSSH's sshd starts for who logged in with a key: hands what was asked for over to the daemon,
//! and says whose key it was. The daemon looks up the rest.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::{Environment, FAILURE, Screen, Streams, converse};
use crate::wire::{Call, Run, Visit};

/// Runs as `sarsen ssh-entry FINGERPRINT`.
pub fn visit(socket: &Path, fingerprint: &str, environment: Environment<'_>) -> u8 {
    let Some(mut streams) = Streams::standard() else {
        return FAILURE;
    };
    let text = |name| environment(name).and_then(|value| value.into_string().ok());
    // Without a command somebody wants a shell, which there is none of; help is nearest.
    let asked = text("SSH_ORIGINAL_COMMAND").unwrap_or_default();
    let argv = match sarsen_ssh::words_of(&asked) {
        Ok(argv) => argv,
        Err(complaint) => {
            streams.complain(&complaint);
            return FAILURE;
        }
    };
    let screen = Screen::of_stdin(text("TERM"));
    let call = Call::Visit(Visit {
        fingerprint: fingerprint.to_owned(),
        source: source(text("SSH_CONNECTION").as_deref()),
        run: Run {
            argv,
            terminal: screen.as_ref().map(Screen::describe),
            git_protocol: text("GIT_PROTOCOL"),
            folder: None,
            variables: BTreeMap::new(),
        },
    });
    converse(socket, call, &mut streams, screen.as_ref())
}

/// The client's address: the first of the four words that sshd sets.
fn source(connection: Option<&str>) -> IpAddr {
    let first = connection.and_then(|text| text.split(' ').next()?.parse().ok());
    first.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_the_clients_address() {
        let of = |text: &str| source(Some(text)).to_string();
        assert_eq!(of("10.1.2.3 50000 10.0.0.1 22"), "10.1.2.3");
        assert_eq!(of("2001:db8::1 50000 ::1 22"), "2001:db8::1");
        assert_eq!(of("UNKNOWN"), "0.0.0.0");
        assert_eq!(source(None).to_string(), "0.0.0.0");
    }
}
