//! `authorized_keys`, as Dokku's sshcommand writes it: a forced command with `NAME="…"`, then the key.

use std::path::Path;

use sarsen_domain::{KeyName, SshKey};

use super::report::Report;
use super::tree::Tree;
use crate::verbs::ssh_keys::parse_key;

/// The keys and the lines that they stand on.
pub(super) fn read(tree: &Tree, report: &mut Report) -> Vec<(SshKey, usize)> {
    report.section("keys");
    let text = tree
        .root_text(Path::new(".ssh/authorized_keys"), report)
        .unwrap_or_default();
    let mut keys = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
    {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match key(line) {
            Ok(key) => keys.push((key, number)),
            Err(why) => report.left_out(&format!("line {number} of authorized_keys: {why}")),
        }
    }
    keys
}

fn key(line: &str) -> Result<SshKey, String> {
    let name = name(line).ok_or("it has no NAME, so it is not one of Dokku's")?;
    let name = KeyName::parse(name).map_err(|error| error.0)?;
    let key = behind_options(line).ok_or("a quote is not closed")?;
    parse_key(name, key).map_err(|failure| failure.message)
}

/// Dokku writes `NAME=\"ada\"` inside the quotes of the forced command.
fn name(line: &str) -> Option<&str> {
    let rest = line.split_once("NAME=")?.1.trim_start_matches(['\\', '"']);
    rest.split(['\\', '"', ' '])
        .next()
        .filter(|name| !name.is_empty())
}

/// What follows the options: they end at the first blank outside of quotes.
fn behind_options(line: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return line.get(at..).map(str::trim_start),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn names_and_keys_come_out_of_forced_commands() {
        let line = format!(
            "command=\"FINGERPRINT=SHA256:x NAME=\\\"ada\\\" `cat /home/dokku/.sshcommand` $SSH_ORIGINAL_COMMAND\",\
             no-agent-forwarding,no-user-rc,no-X11-forwarding,no-port-forwarding {KEY} ada@laptop"
        );
        let found = key(&line).unwrap();
        assert_eq!(
            (found.name.as_str(), found.public_key.as_str()),
            ("ada", KEY)
        );
        for wrong in [
            KEY.to_owned(),
            line.replace("ada\\", "a;b\\"),
            line.replace(KEY, "ssh-ed25519 AAAA"),
            "command=\"NAME=\\\"x\\\" open".to_owned(),
        ] {
            assert!(key(&wrong).is_err(), "{wrong}");
        }
    }
}
