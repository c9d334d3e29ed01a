//! Buildpacks in gzipped tars: fetched by curl, never unpacked on this host.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::child::{FETCH_LIMIT, complaint, program};
use super::{Fetcher, PackFiles};
use crate::archive::{self, Input};

/// Bytes, packed.
const SIZE_LIMIT: u64 = 200 << 20;

const REDIRECTS: usize = 5;

impl Fetcher {
    /// A URL's content in a file without a name. Each redirect is followed by us, so that each host is looked at.
    pub(super) async fn download(&self, url: &str) -> Result<File, String> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            match tokio::time::timeout(FETCH_LIMIT, self.request(&url)).await {
                Err(_) => return Err("curl took too long".to_owned()),
                Ok(Err(why)) => return Err(why),
                Ok(Ok(Response::Content(file))) => return Ok(file),
                Ok(Ok(Response::Redirect(next))) => url = next,
            }
        }
        Err(format!("more than {REDIRECTS} redirects"))
    }

    async fn request(&self, url: &str) -> Result<Response, String> {
        let endpoint = self.guard.check(url).await?;
        let mut curl = program("curl", &self.cache);
        // The first argument makes curl ignore configuration files.
        curl.args([
            "--disable",
            "--silent",
            "--show-error",
            "--fail",
            "--globoff",
        ])
        .args(["--proto", "=https,http", "--connect-timeout", "20"])
        .args(["--speed-limit", "1000", "--speed-time", "30"])
        .args(["--write-out", "%{stderr}\n%{http_code} %{redirect_url}"])
        .args(["--resolve", &endpoint.pin()])
        .args(["--", url]);
        let failed = |error: io::Error| format!("curl could not be run: {error}");
        let mut child = curl.spawn().map_err(failed)?;
        let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("curl could not be run".to_owned());
        };
        let file = tempfile::tempfile().map_err(failed)?;
        let mut sink = tokio::fs::File::from_std(file);
        let mut said = Vec::new();
        let mut content = stdout.take(SIZE_LIMIT + 1);
        let (copied, heard) = tokio::join!(
            tokio::io::copy(&mut content, &mut sink),
            stderr.read_to_end(&mut said)
        );
        heard.map_err(failed)?;
        if copied.map_err(failed)? > SIZE_LIMIT {
            return Err(format!("it is larger than {} MB", SIZE_LIMIT >> 20));
        }
        sink.flush().await.map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        let said_text = String::from_utf8_lossy(&said);
        let (messages, last) = said_text.rsplit_once('\n').unwrap_or(("", &said_text));
        if !status.success() {
            return Err(complaint(messages.as_bytes(), "curl"));
        }
        match last.split_once(' ') {
            Some((code, next)) if code.starts_with('3') && !next.is_empty() => {
                Ok(Response::Redirect(next.to_owned()))
            }
            Some((code, _)) if code.starts_with('2') => {
                Ok(Response::Content(sink.into_std().await))
            }
            _ => Err(format!("the server answered {last}")),
        }
    }
}

enum Response {
    Content(File),
    Redirect(String),
}

/// Looks through the archive once, to find out whether it holds a buildpack and how deep.
pub(super) async fn open(file: File) -> Result<PackFiles, String> {
    let opened = tokio::task::spawn_blocking(move || {
        let mut file = file;
        file.rewind()?;
        let strip = depth(gunzip(file.try_clone()?))?;
        file.rewind()?;
        let input = Input::Reader(Box::new(gunzip(file)));
        Ok(strip.map(|strip| PackFiles::Tree { input, strip }))
    });
    let opened: io::Result<Option<PackFiles>> = opened.await.map_err(|error| error.to_string())?;
    opened
        .map_err(|error| format!("it is no gzipped tar: {error}"))?
        .ok_or_else(|| "there is no bin/compile in the archive".to_owned())
}

fn gunzip(file: File) -> impl Read + Send {
    MultiGzDecoder::new(BufReader::new(file))
}

/// How many folders lie above `bin/compile`: none, or the one that code hosts put around everything.
fn depth(reader: impl Read) -> io::Result<Option<usize>> {
    // A small file can unpack to a huge one: what would be refused later is not read to its end now.
    let mut archive = tar::Archive::new(reader.take(archive::BUILDPACK.bytes));
    for entry in archive.entries()? {
        let path = entry?.path()?.into_owned();
        let depth = path
            .components()
            .filter(|part| !matches!(part, Component::CurDir))
            .count();
        if path.ends_with(Path::new("bin/compile")) && (depth == 2 || depth == 3) {
            return Ok(Some(depth - 2));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(paths: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for path in paths {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            builder.append_data(&mut header, path, io::empty()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn finds_how_deep_a_buildpack_lies() {
        for (paths, expected) in [
            (&["bin/detect", "bin/compile"][..], Some(0)),
            (&["x-main/README", "x-main/bin/compile"], Some(1)),
            (&["a/b/bin/compile"], None),
            (&["etc/shadow", "mybin/compile"], None),
            (&[], None),
        ] {
            assert_eq!(depth(&archive(paths)[..]).unwrap(), expected, "{paths:?}");
        }
    }
}
