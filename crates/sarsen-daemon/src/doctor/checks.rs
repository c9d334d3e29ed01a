//! What can be looked at without the engine.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use sarsen_store::{Store, StoreError};

use super::Finding;
use crate::config::{Config, Loaded};
use crate::probe::ask;

const GIB: u64 = 1 << 30;
/// Below this a build is likely to fail.
const SPACE_FAIL: u64 = GIB;
const SPACE_WARN: u64 = 5 * GIB;
/// How long a look through the database may take.
const LOOK: Duration = Duration::from_secs(20);
/// 1 January 2026: a clock before that has never been set.
const NEVER_SET: Duration = Duration::from_secs(1_767_225_600);

pub(super) fn configuration(loaded: &Loaded) -> Finding {
    match &loaded.file {
        Some(path) => Finding::ok(format!("configuration: {}", path.display())),
        None => {
            Finding::ok("configuration: defaults, as there is no file ('sarsen setup' makes one)")
        }
    }
}

/// Whether the daemon answers, as a finding and as a fact.
pub(super) fn daemon(config: &Config) -> (Finding, bool) {
    let place = config.control.socket.display();
    match ask(&config.control.socket, &["version"]) {
        Ok(Some(answer)) if answer.code == 0 => {
            let version = answer.stdout.trim();
            let own = env!("CARGO_PKG_VERSION");
            if version.contains(own) {
                (
                    Finding::ok(format!("daemon: answers at {place} ({version})")),
                    true,
                )
            } else {
                let what = format!("daemon: {version} answers, but this program is {own}");
                (
                    Finding::warn(what, "restart the daemon: systemctl restart sarsen"),
                    true,
                )
            }
        }
        Ok(Some(answer)) => {
            let what = format!(
                "daemon: answers at {place} with exit code {}: {}",
                answer.code,
                answer.stderr.trim()
            );
            (
                Finding::fail(what, "restart the daemon, and look into its log"),
                true,
            )
        }
        Ok(None) => {
            let advice = "start it: systemctl start sarsen, or sarsen serve";
            (
                Finding::warn(format!("daemon: not running (nobody at {place})"), advice),
                false,
            )
        }
        Err(error) => {
            let advice = "run this as root, or as a member of the socket's group";
            (
                Finding::fail(format!("daemon: cannot ask at {place}: {error}"), advice),
                false,
            )
        }
    }
}

pub(super) fn data(config: &Config) -> Vec<Finding> {
    let root = &config.data_dir;
    if !root.exists() {
        return vec![can_be_made(root)];
    }
    if !root.is_dir() {
        let what = format!("data: {} is no folder", root.display());
        return vec![Finding::fail(what, "move it away, or set data_dir")];
    }
    let mut findings = Vec::new();
    let writable = access(
        root,
        AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK,
    )
    .is_ok();
    findings.push(if writable {
        Finding::ok(format!("data: {}", root.display()))
    } else {
        let advice = "run this as the user that the daemon runs as";
        Finding::fail(
            format!("data: {} cannot be written", root.display()),
            advice,
        )
    });
    findings.extend(seal_key(&root.join("seal.key")));
    findings.extend(space(root));
    findings
}

/// Asked of the system by making a folder for a moment: rights alone do not tell of file systems that take none.
fn can_be_made(root: &Path) -> Finding {
    let above = root.ancestors().find(|folder| folder.exists());
    let above = above.unwrap_or(Path::new("/"));
    let probe = above.join(format!(".sarsen-doctor-{}", std::process::id()));
    match fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)) {
        Ok(()) => Finding::warn(
            format!("data: {} is not there yet", root.display()),
            "the first start, or 'sarsen setup', makes it",
        ),
        Err(error) => Finding::fail(
            format!(
                "data: {} is not there, and cannot be made in {}: {error}",
                root.display(),
                above.display()
            ),
            "run this as the user that the daemon runs as, or set data_dir to a folder on a disk",
        ),
    }
}

/// Whether the start would take the database and its key. Only for when no daemon has them open.
pub(super) async fn database(config: &Config) -> Option<Finding> {
    let db = config.data_dir.join("sarsen.db");
    let key = config.data_dir.join("seal.key");
    let look = Store::examine(&db, &key);
    match tokio::time::timeout(LOOK, look).await {
        Ok(Ok(true)) => Some(Finding::ok("database: whole, and the key fits")),
        Ok(Ok(false)) => None,
        Ok(Err(error)) => {
            let advice = if matches!(error, StoreError::Sealed(_)) {
                "the daemon does not start without it: put the right seal.key back"
            } else {
                "the daemon does not start with it: run the version that wrote it, or put it back from a backup"
            };
            Some(Finding::fail(
                format!("database: {}: {error}", db.display()),
                advice,
            ))
        }
        Err(_) => Some(Finding::warn(
            format!(
                "database: {} is too large to look through here",
                db.display()
            ),
            "look yourself: sqlite3 FILE 'PRAGMA quick_check'",
        )),
    }
}

/// A key that others can read protects nothing.
fn seal_key(path: &Path) -> Option<Finding> {
    let meta = fs::metadata(path).ok()?;
    let mode = meta.permissions().mode() & 0o777;
    Some(if mode & 0o077 == 0 {
        Finding::ok("key: private; keep a copy of it with your backups")
    } else {
        let advice = format!("chmod 600 {}", path.display());
        Finding::fail(
            format!("key: {} can be read by others ({mode:o})", path.display()),
            advice,
        )
    })
}

fn space(root: &Path) -> Option<Finding> {
    let disk = statvfs(root).ok()?;
    #[expect(clippy::useless_conversion, reason = "narrower on some targets")]
    let free = u64::from(disk.blocks_available()) * u64::from(disk.fragment_size());
    let what = format!("disk: {} GB free for {}", free / GIB, root.display());
    let advice = "remove old apps, or images nobody uses: docker image prune";
    Some(match free {
        ..SPACE_FAIL => Finding::fail(what, advice),
        SPACE_FAIL..SPACE_WARN => Finding::warn(what, advice),
        _ => Finding::ok(what),
    })
}

pub(super) fn ports(config: &Config) -> Vec<Finding> {
    let listed = |key, list: &[_]| {
        list.iter()
            .map(move |address| (key, *address))
            .collect::<Vec<_>>()
    };
    let mut wanted = listed("ssh.listen", &config.ssh.listen);
    wanted.extend(listed("http.listen", &config.http.listen));
    wanted.extend(listed("https.listen", &config.https.listen));
    wanted.extend(listed("web.listen", config.web.listen.as_slice()));
    let check = |(key, address)| match TcpListener::bind(address) {
        Ok(_) => Finding::ok(format!("port: {address} is free ({key})")),
        Err(error) => {
            let port = std::net::SocketAddr::port(&address);
            let advice = format!(
                "see what holds it with 'ss -ltnp sport = :{port}', or set {key} to another one"
            );
            Finding::fail(
                format!("port: cannot listen on {address} ({key}): {error}"),
                advice,
            )
        }
    };
    wanted.into_iter().map(check).collect()
}

pub(super) fn clock() -> Finding {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) if since > NEVER_SET => Finding::ok("clock: set"),
        _ => Finding::fail(
            "clock: years behind",
            "set it, for instance with: timedatectl set-ntp true",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn an_open_key_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        assert_eq!(seal_key(&path), None);
        fs::write(&path, [0; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let finding = seal_key(&path).unwrap();
        assert_eq!(finding.grade, Grade::Fail);
        assert!(finding.to_string().contains("-> chmod 600 "), "{finding}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(seal_key(&path).unwrap().grade, Grade::Ok);
    }

    #[tokio::test]
    async fn what_keeps_the_daemon_from_starting_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: folder.path().to_owned(),
            ..Config::default()
        };
        let (db, key) = (
            folder.path().join("sarsen.db"),
            folder.path().join("seal.key"),
        );
        assert_eq!(database(&config).await, None);
        Store::open(&db, &key).await.unwrap().close().await;
        assert_eq!(database(&config).await.unwrap().grade, Grade::Ok);
        let right = fs::read(&key).unwrap();
        fs::write(&key, [1; 32]).unwrap();
        let finding = database(&config).await.unwrap();
        assert_eq!(finding.grade, Grade::Fail);
        assert!(finding.to_string().contains("does not fit"), "{finding}");
        fs::remove_file(&key).unwrap();
        let finding = database(&config).await.unwrap();
        assert!(finding.to_string().contains("is missing"), "{finding}");
        fs::write(&key, right).unwrap();
        fs::write(&db, vec![b'?'; 8192]).unwrap();
        let finding = database(&config).await.unwrap();
        assert_eq!(finding.grade, Grade::Fail);
        assert!(finding.to_string().contains("backup"), "{finding}");
    }

    #[test]
    fn a_data_folder_that_cannot_be_made_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        for (data_dir, grade) in [
            (folder.path().join("a/b"), Grade::Warn),
            ("/proc/sarsen/data".into(), Grade::Fail),
            ("/proc/version".into(), Grade::Fail),
        ] {
            config.data_dir = data_dir;
            assert_eq!(data(&config)[0].grade, grade, "{:?}", config.data_dir);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_taken_port_is_found_with_its_setting() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.http.listen = vec![taken.local_addr().unwrap()];
        let findings = ports(&config);
        let finding = findings
            .iter()
            .find(|finding| finding.what.contains("http.listen"))
            .unwrap();
        assert_eq!(finding.grade, Grade::Fail);
    }

    #[test]
    fn nobody_at_the_socket_is_no_failure() {
        let mut config = Config::default();
        config.control.socket = "/nonexistent/control.sock".into();
        let (finding, running) = daemon(&config);
        assert_eq!((finding.grade, running), (Grade::Warn, false));
    }
}
