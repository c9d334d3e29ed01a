//! One-time links into the dashboard, and the sessions that come of them. In memory: a restart asks everybody for a new
//! link.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// How long a link can be used.
const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a session lasts, used or not.
const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Whoever asks for more links makes the oldest ones void.
const MOST_LINKS: usize = 32;
const MOST_SESSIONS: usize = 256;

/// Links that wait and sessions that last. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LoginLinks(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    links: Passes,
    sessions: Passes,
}

/// Only hashes are kept: what can be read from our memory opens nothing.
#[derive(Debug, Default)]
struct Passes(VecDeque<Pass>);

#[derive(Debug)]
struct Pass {
    hash: [u8; 32],
    actor: String,
    expires: Instant,
}

impl LoginLinks {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token for a link, good once within 15 minutes, in the name of whoever asked for it.
    pub fn issue(&self, actor: &str) -> String {
        self.lock()
            .links
            .add(actor, Instant::now(), LINK_LIFE, MOST_LINKS)
    }

    /// Uses a token up; gives the id of a new session.
    pub fn redeem(&self, token: &str) -> Option<String> {
        self.redeem_at(token, Instant::now())
    }

    /// Whose session this is, while it lasts.
    pub fn session(&self, id: &str) -> Option<String> {
        self.session_at(id, Instant::now())
    }

    /// Ends a session.
    pub fn end(&self, id: &str) {
        // Whoever it was is gone either way.
        drop(self.lock().sessions.take(id, Instant::now()));
    }

    fn redeem_at(&self, token: &str, now: Instant) -> Option<String> {
        let mut inner = self.lock();
        let actor = inner.links.take(token, now)?;
        Some(inner.sessions.add(&actor, now, SESSION_LIFE, MOST_SESSIONS))
    }

    fn session_at(&self, id: &str, now: Instant) -> Option<String> {
        self.lock()
            .sessions
            .find(id, now)
            .map(|pass| pass.actor.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passes {
    fn add(&mut self, actor: &str, now: Instant, life: Duration, most: usize) -> String {
        self.0.retain(|pass| pass.expires > now);
        while self.0.len() >= most {
            self.0.pop_front();
        }
        let text = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        self.0.push_back(Pass {
            hash: hash(&text),
            actor: actor.to_owned(),
            expires: now + life,
        });
        text
    }

    fn find(&self, text: &str, now: Instant) -> Option<&Pass> {
        let wanted = hash(text);
        self.0
            .iter()
            .filter(|pass| pass.expires > now)
            .find(|pass| is_same(&pass.hash, &wanted))
    }

    fn take(&mut self, text: &str, now: Instant) -> Option<String> {
        let found = self.find(text, now)?.hash;
        let place = self.0.iter().position(|pass| pass.hash == found)?;
        self.0.remove(place).map(|pass| pass.actor)
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Takes as long for a near miss as for any other.
fn is_same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter()
        .zip(right)
        .fold(0, |difference, (left, right)| difference | (left ^ right))
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_one_session_once() {
        let logins = LoginLinks::new();
        let token = logins.issue("ada");
        assert_eq!(logins.session(&token), None, "a link is no session");
        let session = logins.redeem(&token).unwrap();
        assert_eq!(logins.session(&session).as_deref(), Some("ada"));
        assert_eq!(logins.redeem(&token), None);
        logins.end(&session);
        assert_eq!(logins.session(&session), None);
        for wrong in ["", "x", &session, &token[1..]] {
            assert_eq!(logins.redeem(wrong), None);
        }
    }

    #[test]
    fn both_grow_old() {
        let logins = LoginLinks::new();
        let start = Instant::now();
        let (first, second) = (logins.issue("a"), logins.issue("b"));
        assert!(
            logins
                .redeem_at(&first, start + LINK_LIFE + Duration::from_secs(5))
                .is_none()
        );
        let session = logins.redeem_at(&second, start + LINK_LIFE / 2).unwrap();
        assert!(logins.session_at(&session, start + SESSION_LIFE).is_some());
        assert!(
            logins
                .session_at(&session, start + SESSION_LIFE + LINK_LIFE)
                .is_none()
        );
    }

    #[test]
    fn their_number_is_bounded() {
        let logins = LoginLinks::new();
        let first = logins.issue("a");
        let tokens: Vec<_> = (0..MOST_LINKS).map(|_| logins.issue("b")).collect();
        assert_eq!(logins.redeem(&first), None);
        assert_eq!(
            tokens
                .iter()
                .filter(|token| logins.redeem(token).is_some())
                .count(),
            MOST_LINKS
        );
        assert_eq!(logins.lock().sessions.0.len(), MOST_LINKS);
    }

    #[test]
    fn nothing_secret_is_kept_or_shown() {
        let logins = LoginLinks::new();
        let token = logins.issue("ada");
        assert_eq!(token.len(), 43);
        assert!(!format!("{logins:?}").contains(&token));
    }
}
