//! An app's lines of the access log.

use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::control::Control;
use crate::failure::{Failure, Outcome, STOPPING};
use crate::table::Call;

/// So much of the end of the file is looked through.
const LOOK_BACK: u64 = 4 * 1024 * 1024;
/// And so many lines of it are shown.
const LINES: usize = 100;
/// Between two looks at a file that is followed.
const PAUSE: Duration = Duration::from_millis(250);

/// Which lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Failed,
}

/// Shows the last lines, and the next ones with `--tail`.
pub(super) async fn show(control: &Control, call: &mut Call, which: Which) -> Outcome {
    let app = call.app()?;
    let path = control.settings.access_log.clone().ok_or_else(|| {
        Failure::new("There is no access log: set http.access_log in the daemon's configuration")
    })?;
    let mut reader = Reader::open(&path).await?;
    let mine = |line: &&str| is_of(line, app.as_str(), which);
    let text = reader.read(&path).await?;
    let lines: Vec<&str> = text.lines().filter(mine).collect();
    let skip = lines.len().saturating_sub(LINES);
    for line in lines.iter().skip(skip) {
        call.out.line(line).await?;
    }
    if !call.args.has("--tail") {
        return Ok(());
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = call.gone.cancelled() => return Ok(()),
            () = control.shutdown.cancelled() => return Err(Failure::new(STOPPING)),
        }
        let text = reader.read(&path).await?;
        for line in text.lines().filter(mine) {
            call.out.line(line).await?;
        }
    }
}

/// Reads on in a file that may be rotated.
struct Reader {
    file: File,
    at: u64,
    // A line whose end is not written yet.
    rest: Vec<u8>,
}

impl Reader {
    async fn open(path: &Path) -> Outcome<Self> {
        let file = File::open(path).await.map_err(|error| unreadable(&error))?;
        let length = file.metadata().await.map_err(|error| unreadable(&error))?;
        let at = length.len().saturating_sub(LOOK_BACK);
        Ok(Self {
            file,
            at,
            rest: Vec::new(),
        })
    }

    /// The whole lines that were written since.
    async fn read(&mut self, path: &Path) -> Outcome<String> {
        // A new file of this name is shorter than what was read of the old one.
        let length = tokio::fs::metadata(path).await.map_or(0, |file| file.len());
        if length < self.at {
            *self = Self::open(path).await?;
        }
        let mut bytes = std::mem::take(&mut self.rest);
        let seek = self.file.seek(SeekFrom::Start(self.at)).await;
        seek.map_err(|error| unreadable(&error))?;
        let mut part = (&mut self.file).take(LOOK_BACK);
        let read = part.read_to_end(&mut bytes).await;
        self.at += read.map_err(|error| unreadable(&error))? as u64;
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        self.rest = bytes.split_off(end);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(format!("Cannot read the access log: {error}"))
}

/// Lines are Heroku's behind a time and `APP[router]:`, or objects of JSON.
fn is_of(line: &str, app: &str, which: Which) -> bool {
    if line.starts_with('{') {
        let Ok(object) = serde_json::from_str::<serde_json::Value>(line) else {
            return false;
        };
        let field = |name: &str| object.get(name);
        let failed = field("status").and_then(serde_json::Value::as_u64);
        return field("app").is_some_and(|own| own == app)
            && (which == Which::All || failed.is_some_and(|status| status >= 500));
    }
    let mut words = line.split(' ').skip(1);
    let source = words.next().and_then(|word| word.strip_suffix("[router]:"));
    source == Some(app) && (which == Which::All || words.next() == Some("at=error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_app_and_outcome() {
        let line = "2026-01-31T23:59:59.123Z shop[router]: at=info method=GET path=\"/ x[router]: at=error\"";
        assert!(is_of(line, "shop", Which::All));
        assert!(!is_of(line, "shop", Which::Failed));
        assert!(!is_of(line, "x", Which::All));
        let failed = "2026-01-31T23:59:59.123Z shop[router]: at=error code=H14";
        assert!(is_of(failed, "shop", Which::Failed));
        let json = r#"{"app":"shop","status":503,"path":"/"}"#;
        assert!(is_of(json, "shop", Which::Failed) && !is_of(json, "sho", Which::All));
    }

    #[tokio::test]
    async fn a_file_is_followed_through_its_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, "one\ntwo").unwrap();
        let mut reader = Reader::open(&path).await.unwrap();
        assert_eq!(reader.read(&path).await.unwrap(), "one\n");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(reader.read(&path).await.unwrap(), "two\nthree\n");
        assert_eq!(reader.read(&path).await.unwrap(), "");
        std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(reader.read(&path).await.unwrap(), "new\n");
    }
}
