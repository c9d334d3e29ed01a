//! Passwords before the app: HTTP's basic authentication.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use sarsen_domain::Invalid;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::Network;

/// Doubles the work with each step; 10 is some 50 ms.
const COST: u32 = if cfg!(test) { 4 } else { 10 };
/// bcrypt looks no further.
const MAX_PASSWORD: usize = 72;
/// Passwords that were right lately, per app.
const REMEMBERED: usize = 1024;
/// How long one is remembered.
const MEMORY: Duration = Duration::from_secs(300);
/// Slow checks at once per app; who sends wrong passwords waits behind others who do.
const CHECKS: usize = 2;
/// How long a check may wait for its turn.
const TURN: Duration = Duration::from_secs(5);

/// Who may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasicAuth {
    /// Those with a password. Without any, nobody comes in by one.
    pub users: Vec<AuthUser>,
    /// Addresses that need none.
    pub allowed: Vec<Network>,
}

/// A name and what its password hashes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthUser {
    /// The name.
    pub name: String,
    /// The hash.
    pub hash: PasswordHash,
}

/// A password's bcrypt hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// What is remembered of checks; it outlives a swap of the table.
#[derive(Debug)]
pub(crate) struct AuthMemory {
    // Makes the digests of no use to anybody who gets hold of them.
    salt: [u8; 16],
    right: Mutex<HashMap<[u8; 32], Instant>>,
    checks: Semaphore,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// Too many checks are waiting.
    Busy,
}

impl PasswordHash {
    /// Hashes a password; takes a while on purpose, so not for a thread that serves others.
    pub fn of(password: &str) -> Result<Self, Invalid> {
        if password.is_empty() || password.len() > MAX_PASSWORD || password.contains('\0') {
            return Err(Invalid::new(format!(
                "Invalid password: it must have 1 to {MAX_PASSWORD} bytes"
            )));
        }
        bcrypt::hash(password, COST)
            .map(Self)
            .map_err(|error| Invalid::new(format!("The password cannot be hashed: {error}")))
    }

    /// A hash that was made before.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// For the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl Default for AuthMemory {
    fn default() -> Self {
        Self {
            salt: rand::random(),
            right: Mutex::default(),
            checks: Semaphore::new(CHECKS),
        }
    }
}

impl AuthMemory {
    /// Whether a request names a user and gives the password.
    pub(crate) async fn check(&self, auth: &BasicAuth, headers: &HeaderMap) -> Verdict {
        let Some((name, password)) = headers.get(AUTHORIZATION).and_then(credentials) else {
            return Verdict::Wrong;
        };
        let Some(user) = auth.users.iter().find(|user| user.name == name) else {
            return Verdict::Wrong;
        };
        // The hash is part of it: after a change of password nothing fits any more.
        let digest = self.digest(&name, &password, &user.hash);
        if self.remembers(&digest) {
            return Verdict::Right;
        }
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, self.checks.acquire()).await else {
            return Verdict::Busy;
        };
        let hash = user.hash.clone();
        // Off the thread that serves other connections.
        let checked = tokio::task::spawn_blocking(move || {
            password.len() <= MAX_PASSWORD && bcrypt::verify(&password, &hash.0).unwrap_or(false)
        });
        match checked.await {
            Ok(true) => {
                self.remember(digest);
                Verdict::Right
            }
            Ok(false) | Err(_) => Verdict::Wrong,
        }
    }

    fn digest(&self, name: &str, password: &str, hash: &PasswordHash) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.salt);
        for part in [name, password, &hash.0] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right
            .get(digest)
            .is_some_and(|since| since.elapsed() < MEMORY)
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(digest, Instant::now());
    }
}

fn credentials(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(encoded.trim())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> HeaderMap {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Basic {encoded}").parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn the_right_password_is_checked_slowly_once_and_then_remembered() {
        let user = |name: &str, password: &str| AuthUser {
            name: name.to_owned(),
            hash: PasswordHash::of(password).unwrap(),
        };
        let mut auth = BasicAuth {
            users: vec![user("ann", "s3:cret"), user("bob", "x")],
            allowed: Vec::new(),
        };
        let memory = AuthMemory::default();
        let ask = |auth: BasicAuth, text: &'static str| {
            let memory = &memory;
            async move { memory.check(&auth, &headers(text)).await }
        };
        assert_eq!(ask(auth.clone(), "ann:s3:cret").await, Verdict::Right);
        assert_eq!(memory.right.lock().unwrap().len(), 1);
        let _none_left = memory.checks.acquire_many(CHECKS as u32).await.unwrap();
        assert_eq!(ask(auth.clone(), "ann:s3:cret").await, Verdict::Right);
        drop(_none_left);
        for wrong in ["ann:x", "bob:s3:cret", "eve:x", "ann", "", ":"] {
            assert_eq!(ask(auth.clone(), wrong).await, Verdict::Wrong, "{wrong}");
        }
        auth.users[0] = user("ann", "new");
        assert_eq!(ask(auth.clone(), "ann:s3:cret").await, Verdict::Wrong);
        assert_eq!(memory.check(&auth, &HeaderMap::new()).await, Verdict::Wrong);
    }

    #[test]
    fn passwords_that_bcrypt_would_cut_are_refused_and_hashes_not_printed() {
        assert!(PasswordHash::of(&"x".repeat(73)).is_err());
        assert!(PasswordHash::of("").is_err());
        let hash = PasswordHash::of("x").unwrap();
        assert!(hash.as_str().starts_with("$2"));
        assert!(!format!("{hash:?}").contains("$2"));
    }
}
