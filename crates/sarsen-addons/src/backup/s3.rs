//! Files in a bucket of an S3 storage. Requests are signed by `rusty-s3` and sent by the HTTP client that is here anyway;
//! signed addresses are as good as passwords, so messages never show them.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rusty_s3::actions::{CreateMultipartUpload, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use sarsen_domain::Secret;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::AddonError;

/// A file is sent in pieces of this size, held in memory one at a time; the protocol allows ten thousand of them.
const PART: usize = 32 << 20;
/// How long a signature is good for.
const SIGNED: Duration = Duration::from_secs(3600);
/// One request takes no longer.
const LIMIT: Duration = Duration::from_secs(900);
/// What is read of an answer that is not a file.
const ANSWER_MAX: usize = 64 << 10;

/// Who we are to a storage, and where it is.
#[derive(Debug, Clone)]
pub struct S3Access {
    pub key_id: String,
    pub secret: Secret<String>,
    pub region: String,
    /// Amazon's own when there is none.
    pub endpoint: Option<String>,
}

/// A bucket that can be reached.
pub struct S3Storage {
    bucket: Bucket,
    credentials: Credentials,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl S3Storage {
    /// A bucket; nothing is asked yet.
    pub fn new(access: &S3Access, bucket: &str) -> Result<Self, AddonError> {
        let (endpoint, style) = match &access.endpoint {
            Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
            None => (
                format!("https://s3.{}.amazonaws.com", access.region),
                UrlStyle::VirtualHost,
            ),
        };
        let odd = |why: &dyn std::fmt::Display| {
            AddonError::Storage(format!("The S3 endpoint cannot be used: {why}"))
        };
        let url = endpoint.parse().map_err(|error| odd(&error))?;
        let (name, region) = (bucket.to_owned(), access.region.clone());
        let bucket = Bucket::new(url, style, name, region).map_err(|error| odd(&error))?;
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| odd(&error))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            bucket,
            credentials: Credentials::new(&access.key_id, access.secret.expose()),
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    pub(super) async fn put(&self, file: &Path, key: &str) -> Result<(), AddonError> {
        let mut file = File::open(file).await.map_err(local)?;
        let size = file.metadata().await.map_err(local)?.len();
        if size <= PART as u64 {
            let body = read_part(&mut file).await?;
            let action = self.bucket.put_object(Some(&self.credentials), key);
            self.send(Method::PUT, action.sign(SIGNED).as_str(), body)
                .await?;
            return Ok(());
        }
        let action = self
            .bucket
            .create_multipart_upload(Some(&self.credentials), key);
        let answer = self
            .send(Method::POST, action.sign(SIGNED).as_str(), Bytes::new())
            .await?;
        let answer = text_of(answer).await?;
        let upload = CreateMultipartUpload::parse_response(&answer).map_err(|_| {
            AddonError::Storage("The S3 storage's answer makes no sense".to_owned())
        })?;
        let id = upload.upload_id();
        let sent = self.send_parts(&mut file, key, id).await;
        if sent.is_err() {
            let action = self
                .bucket
                .abort_multipart_upload(Some(&self.credentials), key, id);
            let url = action.sign(SIGNED);
            let aborted = self.send(Method::DELETE, url.as_str(), Bytes::new());
            if let Err(error) = aborted.await {
                tracing::warn!(%error, "parts of a backup that failed stay in the bucket");
            }
        }
        sent
    }

    async fn send_parts(&self, file: &mut File, key: &str, id: &str) -> Result<(), AddonError> {
        let mut tags = Vec::new();
        for number in 1_u16.. {
            let part = read_part(file).await?;
            if part.is_empty() {
                break;
            }
            let action = self
                .bucket
                .upload_part(Some(&self.credentials), key, number, id);
            let answer = self
                .send(Method::PUT, action.sign(SIGNED).as_str(), part)
                .await?;
            let tag = answer.headers().get(header::ETAG);
            let tag = tag.and_then(|tag| tag.to_str().ok());
            let none = || AddonError::Storage("The S3 storage gave a part no tag".to_owned());
            tags.push(tag.ok_or_else(none)?.trim_matches('"').to_owned());
        }
        let tags = tags.iter().map(String::as_str);
        let action = self
            .bucket
            .complete_multipart_upload(Some(&self.credentials), key, id, tags);
        let url = action.sign(SIGNED);
        let answer = self
            .send(Method::POST, url.as_str(), action.body().into())
            .await?;
        // This one request may fail after it was said to succeed.
        match text_of(answer).await? {
            text if text.contains("<Error>") => Err(AddonError::Storage(format!(
                "The S3 storage does not put the parts together: {}",
                reason(&text)
            ))),
            _ => Ok(()),
        }
    }

    pub(super) async fn get(&self, key: &str, to: &Path) -> Result<(), AddonError> {
        let action = self.bucket.get_object(Some(&self.credentials), key);
        let answer = self
            .send(Method::GET, action.sign(SIGNED).as_str(), Bytes::new())
            .await?;
        let mut file = File::create_new(to).await.map_err(local)?;
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreachable(&error))?;
            if let Some(bytes) = frame.data_ref() {
                file.write_all(bytes).await.map_err(local)?;
            }
        }
        file.flush().await.map_err(local)
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), AddonError> {
        let action = self.bucket.delete_object(Some(&self.credentials), key);
        let url = action.sign(SIGNED);
        let sent = self.send(Method::DELETE, url.as_str(), Bytes::new());
        sent.await.map(|_| ())
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, AddonError> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::CONTENT_LENGTH, body.len())
            .body(Full::new(body));
        let odd = |_| AddonError::Storage("The S3 endpoint cannot be used".to_owned());
        let answer = self.client.request(request.map_err(odd)?);
        let answer = tokio::time::timeout(LIMIT, answer).await;
        let answer = answer.map_err(|_| unreachable(&"it takes too long"))?;
        let answer = answer.map_err(|error| unreachable(&innermost(&error)))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = text_of(answer).await.unwrap_or_default();
        Err(refused(status, &text))
    }
}

async fn read_part(file: &mut File) -> Result<Bytes, AddonError> {
    let mut part = Vec::new();
    let read = file.take(PART as u64).read_to_end(&mut part).await;
    read.map_err(local)?;
    Ok(part.into())
}

async fn text_of(answer: http::Response<Incoming>) -> Result<String, AddonError> {
    let body = http_body_util::Limited::new(answer.into_body(), ANSWER_MAX);
    let bytes = body.collect().await.map_err(|error| unreachable(&error))?;
    Ok(String::from_utf8_lossy(&bytes.to_bytes()).into_owned())
}

fn refused(status: StatusCode, text: &str) -> AddonError {
    AddonError::Storage(format!(
        "The S3 storage refuses with {status}: {}",
        reason(text)
    ))
}

/// The storage's own word for it: `NoSuchBucket: The specified bucket does not exist`.
fn reason(text: &str) -> String {
    let field = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    let words: Vec<_> = ["Code", "Message"].into_iter().filter_map(field).collect();
    if words.is_empty() {
        return "it does not say why".to_owned();
    }
    words.join(": ")
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn unreachable(why: &dyn std::fmt::Display) -> AddonError {
    AddonError::Storage(format!("The S3 storage does not answer: {why}"))
}

fn local(source: std::io::Error) -> AddonError {
    let what = "The backup's file on this host".to_owned();
    AddonError::File { what, source }
}

#[cfg(test)]
mod tests;
