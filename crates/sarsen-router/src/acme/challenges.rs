//! HTTP-01: the authority fetches a text under a path that only it knows.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};

const PATH: &str = "/.well-known/acme-challenge/";

/// The texts that are expected now. Clones are handles to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<ArcSwap<Texts>>);

type Texts = HashMap<Box<str>, Bytes>;

impl Challenges {
    /// Answers a token with this text until the guard is dropped.
    #[must_use = "the challenge is answered until this is dropped"]
    pub fn answer_token(&self, token: &str, text: &str) -> TokenGuard {
        let token: Box<str> = token.into();
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.0.rcu(|all| {
            let mut all = Texts::clone(all);
            all.insert(token.clone(), text.clone());
            all
        });
        TokenGuard {
            challenges: self.clone(),
            token,
        }
    }

    /// The answer to a request for a token that is expected. Anything else is the app's business, which may well get
    /// certificates of its own.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let token = request.uri().path().strip_prefix(PATH)?;
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return None;
        }
        let text = self.0.load().get(token)?.clone();
        let mut answer = Response::new(text);
        let headers = answer.headers_mut();
        let kind = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(answer)
    }
}

/// A token that is being answered.
#[derive(Debug)]
pub struct TokenGuard {
    challenges: Challenges,
    token: Box<str>,
}

impl Drop for TokenGuard {
    fn drop(&mut self) {
        self.challenges.0.rcu(|all| {
            let mut all = Texts::clone(all);
            all.remove(&self.token);
            all
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(challenges: &Challenges, method: Method, path: &str) -> Option<Bytes> {
        let request = Request::builder().method(method).uri(path);
        let answer = challenges.answer(&request.body(()).unwrap())?;
        Some(answer.into_body())
    }

    #[test]
    fn a_token_is_answered_while_its_guard_lives() {
        let challenges = Challenges::default();
        let path = "/.well-known/acme-challenge/abc";
        assert_eq!(ask(&challenges, Method::GET, path), None);
        let guard = challenges.answer_token("abc", "abc.thumb");
        let text = ask(&challenges, Method::GET, path);
        assert_eq!(text.as_deref(), Some(b"abc.thumb".as_slice()));
        assert_eq!(ask(&challenges, Method::POST, path), None);
        for other in [
            "/",
            "/.well-known/acme-challenge/",
            "/x/.well-known/acme-challenge/abc",
        ] {
            assert_eq!(ask(&challenges, Method::GET, other), None);
        }
        drop(guard);
        assert_eq!(ask(&challenges, Method::GET, path), None);
    }
}
