//! Tokens of programs.

use std::net::IpAddr;
use std::time::Instant;

use sarsen_domain::Rights;
use sarsen_store::{ApiToken, Holder, NewToken};

use super::sessions::own_only;
use super::{WebActor, WebPass, secrets};
use crate::control::Control;
use crate::failure::Outcome;
use crate::session::Actor;
use crate::time::now;

/// What every token begins with, so that scanners for secrets know one when they see it.
const PREFIX: &str = "sarsen_";
/// Its use is noted no more often than this.
const NOTE_EVERY: i64 = 60;

/// What a shown token came to.
#[derive(Debug, Clone)]
pub enum Shown {
    Actor(Actor),
    /// No such token, or it is too old, or its holder may do nothing any more.
    Nothing,
    /// Too many wrong ones came from there.
    Wait,
}

impl Control {
    /// Makes a token; it is shown once.
    pub(crate) async fn create_token(
        &self,
        name: &str,
        holder: &Holder,
        limit: &Rights,
        expires_at: Option<i64>,
    ) -> Outcome<String> {
        let secret = format!("{PREFIX}{}", secrets::make());
        let new = NewToken {
            name,
            hash: secrets::hash(&secret),
            holder,
            limit,
            expires_at,
        };
        self.store.api_tokens().create(&new).await?;
        Ok(secret)
    }

    /// Who shows this token.
    pub async fn token_actor(&self, secret: &str, source: Option<IpAddr>) -> Outcome<Shown> {
        let at = Instant::now();
        let found = self.store.api_tokens().find(&secrets::hash(secret)).await?;
        let now = now();
        let good = found.filter(|token| token.expires_at.is_none_or(|end| end > now));
        let Some(token) = good else {
            let closed = self.throttle.is_closed(source, at);
            self.throttle.wrong(source, at);
            return Ok(if closed { Shown::Wait } else { Shown::Nothing });
        };
        let rights = self.rights_of(&token.holder, Some(&token.limit)).await?;
        if !rights.any() {
            return Ok(Shown::Nothing);
        }
        if token.used_at.is_none_or(|used| now - used >= NOTE_EVERY) {
            self.store.api_tokens().used(token.id, now).await?;
        }
        Ok(Shown::Actor(Actor::Web(WebActor {
            fingerprint: self.fingerprint_of(&token.holder).await?,
            holder: token.holder,
            pass: WebPass::Token(token.id),
            source,
            limit: Some(token.limit),
            rights,
        })))
    }

    /// The tokens that this one may see and take back.
    pub(crate) async fn tokens_of(&self, actor: &Actor) -> Outcome<Vec<ApiToken>> {
        let mut tokens = self.store.api_tokens().list().await?;
        if let Some(own) = own_only(actor) {
            tokens.retain(|token| token.holder == own);
        }
        Ok(tokens)
    }
}
