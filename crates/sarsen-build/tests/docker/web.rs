//! A web server for buildpacks: git's own CGI program, and files.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Serves `root/…` as files, `root/X.git` to git, and redirects `/to?URL`.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    _stop: DropGuard,
}

impl Web {
    pub(crate) async fn start(root: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let tasks = TaskTracker::new();
        let handlers = tasks.clone();
        tasks.spawn(stop.run_until_cancelled_owned(async move {
            while let Ok((connection, _)) = listener.accept().await {
                handlers.spawn(answer(connection, root.clone()));
            }
        }));
        Self {
            address,
            _stop: guard,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

async fn answer(connection: TcpStream, root: PathBuf) {
    let mut connection = BufReader::new(connection);
    let mut line = String::new();
    connection.read_line(&mut line).await.unwrap();
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or("/"));
    let mut headers = std::collections::BTreeMap::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.unwrap();
    let reply = if path == "/to" {
        format!("HTTP/1.1 302 Found\r\nLocation: {query}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
    } else if path.contains(".git/") {
        let mut git = Command::new("git");
        git.arg("http-backend")
            .env("GIT_PROJECT_ROOT", &root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_LENGTH", length.to_string())
            .env(
                "CONTENT_TYPE",
                headers.get("content-type").map_or("", String::as_str),
            )
            .env(
                "HTTP_CONTENT_ENCODING",
                headers.get("content-encoding").map_or("", String::as_str),
            )
            .env(
                "GIT_PROTOCOL",
                headers.get("git-protocol").map_or("", String::as_str),
            );
        [
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n".to_vec(),
            cgi(git, &body).await,
        ]
        .concat()
    } else {
        match std::fs::read(root.join(path.trim_start_matches('/'))) {
            Ok(content) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    content.len()
                );
                [head.into_bytes(), content].concat()
            }
            Err(_) => {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
            }
        }
    };
    // The client may have seen enough.
    connection.write_all(&reply).await.ok();
}

async fn cgi(mut program: Command, body: &[u8]) -> Vec<u8> {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(body).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap().stdout
}
