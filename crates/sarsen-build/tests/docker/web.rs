//! A web server for buildpacks: git's own CGI program, and files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    async fn read(connection: &mut BufReader<TcpStream>) -> Self {
        let line = read_line(connection).await;
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = BTreeMap::new();
        while let Some((name, value)) = read_line(connection).await.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length");
        let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
        connection.read_exact(&mut body).await.unwrap();
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body,
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

async fn read_line(connection: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    connection.read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}

async fn answer(connection: TcpStream, root: PathBuf) {
    let mut connection = BufReader::new(connection);
    let request = Request::read(&mut connection).await;
    let reply = if request.path == "/to" {
        let location = format!("Location: {}\r\n", request.query);
        response("302 Found", &location, b"")
    } else if request.path.contains(".git/") {
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n".to_vec();
        [head, cgi(&request, &root).await].concat()
    } else {
        match std::fs::read(root.join(request.path.trim_start_matches('/'))) {
            Ok(content) => response("200 OK", "", &content),
            Err(_) => response("404 Not Found", "", b""),
        }
    };
    // The client may have seen enough.
    connection.write_all(&reply).await.ok();
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

async fn cgi(request: &Request, root: &Path) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&request.body).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap().stdout
}
