//! One-time links into the dashboard, and the sessions that come of them. They outlive the daemon; of what opens them
//! only hashes are kept.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sarsen_store::{Holder, NewEvent, NewSession, SessionRecord};

use super::secrets;
use super::{WebActor, WebPass};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::session::Actor;
use crate::time::now;

/// How long a link can be used.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a session lasts unused, and used.
const IDLE_LIFE: i64 = 12 * 3600;
const WHOLE_LIFE: i64 = 7 * 24 * 3600;
/// How often it gets another secret, and how long the one before is good for requests under way.
const ROTATION: i64 = 3600;
const GRACE: i64 = 60;
/// Its use is noted no more often than this.
const NOTE_EVERY: i64 = 60;
/// Whoever asks for more makes the oldest ones void.
const MOST_LINKS: usize = 32;
const MOST_SESSIONS: usize = 256;
/// So much is kept of what a browser calls itself.
const AGENT_MAX: usize = 200;

/// Who wants to sign in, and from where.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    pub token: &'a str,
    pub source: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: &'a str,
}

/// What a link came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The secret of a new session.
    Session(String),
    /// No such link, or it was used, or it is too old.
    Nothing,
    /// Too many wrong ones came from there.
    Wait,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct WebSession {
    pub id: i64,
    pub actor: Actor,
    /// What forms must carry.
    pub csrf: String,
    /// The secret that takes the shown one's place from now on.
    pub rotated: Option<String>,
}

/// Whether a look at a session may change its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A page is asked for, whose answer can carry a new cookie.
    MayRotate,
    Only,
}

impl Control {
    /// A token for a link, good once within 15 minutes, in the name of whoever asks for it.
    pub async fn issue_link(&self, holder: &Holder) -> Outcome<String> {
        let token = secrets::make();
        let life = i64::try_from(LINK_LIFE.as_secs()).unwrap_or_default();
        self.store
            .web_sessions()
            .add_link(&secrets::hash(&token), holder, now() + life, MOST_LINKS)
            .await?;
        Ok(token)
    }

    /// Uses a link up. The session always gets a secret of its own, whatever the browser had.
    pub async fn sign_in(&self, sign_in: SignIn<'_>) -> Outcome<Opened> {
        let SignIn {
            token,
            source,
            agent,
        } = sign_in;
        let at = Instant::now();
        let link = secrets::hash(token);
        if !self.store.web_sessions().has_link(&link).await? {
            // A good one opens the door even then: others at the same address have closed it.
            let closed = self.throttle.is_closed(source, at);
            self.throttle.wrong(source, at);
            return Ok(if closed {
                Opened::Wait
            } else {
                Opened::Nothing
            });
        }
        let (secret, csrf) = (secrets::make(), secrets::make());
        let agent: String = agent
            .chars()
            .filter(|character| !character.is_control())
            .take(AGENT_MAX)
            .collect();
        let web = self.store.web_sessions();
        let new = NewSession {
            hash: secrets::hash(&secret),
            csrf: &csrf,
            source,
            agent: &agent,
        };
        let Some(holder) = web.redeem(&link, &new, now()).await? else {
            self.throttle.wrong(source, at);
            return Ok(Opened::Nothing);
        };
        self.note_sign_in(&holder, source).await?;
        let now = now();
        web.prune(now - WHOLE_LIFE, now - IDLE_LIFE, MOST_SESSIONS)
            .await?;
        Ok(Opened::Session(secret))
    }

    async fn note_sign_in(&self, holder: &Holder, source: Option<IpAddr>) -> Outcome {
        let detail = serde_json::json!({ "exit_code": 0, "door": "dashboard" });
        let event = NewEvent {
            actor: holder.name(),
            source_ip: source,
            action: "dashboard:sign-in",
            object: "",
            detail: &detail,
        };
        Ok(self.store.events().append(event).await?)
    }

    /// Whose session this is, while it lasts.
    pub async fn web_session(
        &self,
        secret: &str,
        source: Option<IpAddr>,
        look: Look,
    ) -> Outcome<Option<WebSession>> {
        let web = self.store.web_sessions();
        let hash = secrets::hash(secret);
        let Some(record) = web.find(&hash).await? else {
            return Ok(None);
        };
        let now = now();
        if !is_good(&record, now) {
            return Ok(None);
        }
        let rights = self.rights_of(&record.holder, None).await?;
        if !rights.any() {
            return Ok(None);
        }
        let mut rotated = None;
        if look == Look::MayRotate && !record.is_previous && now - record.rotated_at >= ROTATION {
            let new = secrets::make();
            if web.rotate(&hash, &secrets::hash(&new), now).await? {
                rotated = Some(new);
            }
        } else if now - record.seen_at >= NOTE_EVERY {
            web.seen(record.id, now).await?;
        }
        Ok(Some(WebSession {
            id: record.id,
            actor: Actor::Web(WebActor {
                fingerprint: self.fingerprint_of(&record.holder).await?,
                holder: record.holder,
                pass: WebPass::Session(record.id),
                source,
                limit: None,
                rights,
            }),
            csrf: record.csrf,
            rotated,
        }))
    }

    /// Ends a session.
    pub async fn sign_out(&self, id: i64) -> Outcome {
        self.store.web_sessions().end(id).await?;
        Ok(())
    }

    /// The sessions that this one may see and end: its own; somebody on the host, everybody's.
    pub(crate) async fn sessions_of(&self, actor: &Actor) -> Outcome<Vec<SessionRecord>> {
        let now = now();
        let mut sessions = self.store.web_sessions().list().await?;
        sessions.retain(|record| {
            now - record.created_at < WHOLE_LIFE && now - record.seen_at < IDLE_LIFE
        });
        if let Some(own) = own_only(actor) {
            sessions.retain(|record| record.holder == own);
        }
        Ok(sessions)
    }
}

/// Whoever may see but what is his own; nobody for those who may see all: people on the host and admins.
pub(crate) fn own_only(actor: &Actor) -> Option<Holder> {
    let all = actor
        .rights()
        .is_none_or(|rights| rights.everywhere == Some(sarsen_domain::Right::Admin));
    (!all).then(|| actor.holder())
}

fn is_good(record: &SessionRecord, now: i64) -> bool {
    let fresh = now - record.created_at < WHOLE_LIFE && now - record.seen_at < IDLE_LIFE;
    // The secret before the last one only for what was under way: later it is in other hands.
    fresh && (!record.is_previous || now - record.rotated_at < GRACE)
}

impl From<&Actor> for Holder {
    fn from(actor: &Actor) -> Self {
        actor.holder()
    }
}

/// Who cannot sign in says why.
pub(crate) fn refuse_without_rights(actor: &Actor) -> Outcome {
    if actor.rights().is_some_and(|rights| !rights.any()) {
        return Err(Failure::new(format!(
            "The key of {} may do nothing: somebody on the host gives it rights with 'access:add'",
            actor.name()
        )));
    }
    Ok(())
}
