//! Who may come in by SSH.

use russh::keys::{HashAlg, PublicKey};
use sarsen_domain::{KeyName, SshKey};
use tokio::io::AsyncReadExt;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::report;
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "ssh-keys:add",
        "[--limited] <name> [<path-to-key>]",
        Keys,
        "Adds a public key (from standard input, or a file on the host); it may do everything, or nothing yet (--limited)",
        add
    ),
    verb!(
        "ssh-keys:authorized",
        "[<type>] [<key>]",
        Keys,
        "Prints lines for OpenSSH's sshd (its AuthorizedKeysCommand)",
        authorized
    ),
    verb!(
        "ssh-keys:list",
        "[--format text|json] [<name>]",
        Keys,
        "Lists the keys that may log in",
        list
    ),
    verb!(
        "ssh-keys:remove",
        "[--fingerprint FINGERPRINT] [<name>]",
        Keys,
        "Removes a key",
        remove
    ),
];

/// A key file is far smaller; more than this is something else.
const KEY_MAX: u64 = 64 * 1024;

async fn add(control: &Control, call: &mut Call) -> Outcome {
    let name = KeyName::parse(call.args.get(0).unwrap_or_default())?;
    let mut text = String::new();
    match call.args.get(1) {
        None | Some("-") => {
            call.take_stdin()
                .take(KEY_MAX)
                .read_to_string(&mut text)
                .await?;
        }
        Some(path) => {
            let file = tokio::fs::File::open(call.file(path)?).await;
            let file = file.map_err(|error| {
                Failure::new(format!("Cannot read {}: {error}", path.escape_debug()))
            })?;
            file.take(KEY_MAX).read_to_string(&mut text).await?;
        }
    }
    let key = parse_key(name, &text)?;
    if call.args.has("--limited") {
        control.store.ssh_keys().add_limited(&key).await?;
    } else {
        control.store.ssh_keys().add(&key).await?;
    }
    call.out.line(&key.fingerprint).await
}

/// Reads the first line that is a key of an OpenSSH public key file.
pub fn parse_key(name: KeyName, text: &str) -> Outcome<SshKey> {
    if text.contains("PRIVATE KEY") {
        return Err(Failure::new(
            "This is a private key: give the public one (the file that ends in .pub), and keep this one to yourself",
        ));
    }
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let key = line.and_then(|line| PublicKey::from_openssh(line).ok()).ok_or_else(|| {
        Failure::new("This is not a public SSH key: a line such as 'ssh-ed25519 AAAA… you@host' is needed")
    })?;
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let mut bare = key;
    bare.set_comment("");
    let public_key = bare
        .to_openssh()
        .map_err(|error| Failure::new(error.to_string()))?
        .trim()
        .to_owned();
    Ok(SshKey {
        name,
        fingerprint,
        public_key,
    })
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let mut keys = control.store.ssh_keys().list().await?;
    if let Some(name) = call.args.get(0) {
        keys.retain(|key| key.name.as_str() == name);
    }
    if report::wants_json(call)? {
        let rows: Vec<_> = keys
            .iter()
            .map(|key| {
                serde_json::json!({
                    "fingerprint": key.fingerprint, "name": key.name.as_str(), "public-key": key.public_key,
                    "SSHCOMMAND_ALLOWED_KEYS": ALLOWED,
                })
            })
            .collect();
        return call
            .out
            .line(&serde_json::Value::Array(rows).to_string())
            .await;
    }
    if keys.is_empty() {
        return Err(Failure::new("No public keys found"));
    }
    let lines: String = keys
        .iter()
        .map(|key| {
            format!(
                "{} NAME=\"{}\" SSHCOMMAND_ALLOWED_KEYS=\"{ALLOWED}\"\n",
                key.fingerprint, key.name
            )
        })
        .collect();
    call.out.bytes(lines.as_bytes()).await
}

/// Whoever logs in with one of these keys gets to us and nowhere else. What is between the quotes is run by the login
/// shell, so nothing goes in there that a shell would take apart.
async fn authorized(control: &Control, call: &mut Call) -> Outcome {
    let mut keys = control.store.ssh_keys().list().await?;
    if let (Some(kind), Some(key)) = (call.args.get(0), call.args.get(1)) {
        let offered = format!("{kind} {key}");
        keys.retain(|known| known.public_key == offered);
    }
    let program = control.settings.binary.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    if !program.chars().all(plain) {
        return Err(Failure::new(format!(
            "sshd cannot be told to run {}: install the program under a path of plain letters",
            program.escape_debug()
        )));
    }
    let line = |key: &SshKey| {
        let (fingerprint, public_key, name) = (&key.fingerprint, &key.public_key, &key.name);
        format!("restrict,pty,command=\"{program} ssh-entry {fingerprint}\" {public_key} {name}\n")
    };
    let lines: String = keys.iter().map(line).collect();
    call.out.bytes(lines.as_bytes()).await
}

/// What every key is held to; shown because scripts that read Dokku's list expect the field.
const ALLOWED: &str = "no-agent-forwarding,no-user-rc,no-X11-forwarding,no-port-forwarding";

async fn remove(control: &Control, call: &mut Call) -> Outcome {
    let keys = control.store.ssh_keys();
    let removed = match (call.args.value("--fingerprint"), call.args.get(0)) {
        (Some(fingerprint), None) => keys.remove_by_fingerprint(fingerprint).await?,
        (None, Some(name)) => keys.remove_by_name(&KeyName::parse(name)?).await?,
        _ => {
            return Err(Failure::new(
                "Give a key's name, or --fingerprint and its fingerprint",
            ));
        }
    };
    call.out
        .header(&format!("Removed the key of {}", removed.name))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn keys_are_kept_without_their_comment() {
        let name = || KeyName::parse("ada").unwrap();
        let key = parse_key(name(), &format!("# mine\n{KEY} ada@example\n")).unwrap();
        assert_eq!(key.public_key, KEY);
        assert!(key.fingerprint.starts_with("SHA256:"));
        assert!(parse_key(name(), "hello").is_err());
        let private = parse_key(name(), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap_err();
        assert!(private.message.contains("private key"));
    }
}
