//! A session's token goes on as another one: asked for while the upstream works, and told to the client with an answer.
//!
//! A cookie's token whose time is over, but not its session's, is renewed before anything else: its request waits. The
//! client is told only with an answer that no shared cache may keep, and only while nothing is known against the session.

use std::rc::Rc;

use session_gate_protocol::{DenyReason, SessionToken};

use super::{context::StepContext, effect::Effect, pending::PendingRequest, room::Unverified};
use crate::{
    config::Config,
    host::Host,
    http::{
        credential::{Source, is_b64token},
        headers::{HeaderChange, Headers},
        session_headers::TOKEN,
    },
    ids::{CallId, Callout},
    knowledge::{Identity, standing::refusal_of},
    response::caching,
    sidecar::renewals::Renewal,
    token::VerifiedClaims,
};

/// What becomes of a request's token with its answer.
#[derive(Debug, Default)]
pub(super) enum TokenRenewal {
    /// It stays.
    #[default]
    No,
    /// It is due: what takes its place may be known when the answer leaves.
    Due,
    /// This has taken its place already.
    Done(Rc<SessionToken>),
}

impl TokenRenewal {
    /// What becomes of the token of a request that is admitted. The sidecar is asked where it is due.
    pub(super) fn of<H: Host>(
        held: &mut PendingRequest,
        identity: &Identity,
        cx: &mut StepContext<'_, H>,
        effects: &mut Vec<Effect>,
    ) -> Self {
        if let Some(successor) = held.renewed.take() {
            return Self::Done(successor);
        }
        if !is_due(&identity.claims, held.source, cx) {
            return Self::No;
        }
        if let Some(call) = cx.renewals.ask_ahead(&held.token, cx.sender, cx.now.monotonic) {
            send(call, &held.token, false, cx, effects);
        }
        Self::Due
    }

    /// What tells the client of it. The session of the `token` is a good one at this moment.
    pub(super) fn tell<H: Host>(
        &self,
        token: &str,
        source: Option<Source>,
        answer: &Headers,
        cx: &StepContext<'_, H>,
    ) -> Option<Vec<HeaderChange>> {
        let successor = match self {
            Self::No => return None,
            Self::Done(successor) => successor,
            Self::Due => match cx.renewals.known(token, cx.now.monotonic)? {
                Renewal::Successor(successor) => successor,
                Renewal::Refused(_) | Renewal::Failed => return None,
            },
        };
        if !is_token(successor, cx.config) {
            return None;
        }
        let private = caching::for_one_client(answer)?;
        match source? {
            // The application's own cookie of that name is a later login of its making.
            Source::Cookie if cx.config.cookie.is_set_by(answer) => None,
            Source::Cookie => {
                let line = cx.config.cookie.keep(&successor.token, successor.max_age)?;
                Some(private.into_iter().chain([HeaderChange::add("set-cookie", line)]).collect())
            }
            Source::Authorization => {
                // A browser's own cache would give the header to whoever logs in there next.
                let mut changes = caching::never_stored(answer);
                changes.push(HeaderChange::set(TOKEN, successor.token.as_str()));
                if answer.has("access-control-allow-origin") {
                    changes.push(HeaderChange::add("access-control-expose-headers", TOKEN));
                }
                Some(changes)
            }
            Source::Query => None,
        }
    }
}

/// Whether a token ends soon, and not because its session does. One in a query is not renewed: its client could not be
/// told.
fn is_due<H: Host>(claims: &VerifiedClaims, source: Option<Source>, cx: &StepContext<'_, H>) -> bool {
    if !claims.is_renewable() || !matches!(source, Some(Source::Cookie | Source::Authorization)) {
        return false;
    }
    let threshold = cx.refresh_threshold().as_secs_f64();
    let ends_before_session = claims.session_ends().is_none_or(|ends| claims.expires_at() < ends.as_f64());
    threshold > 0.0 && ends_before_session && claims.expires_at() - cx.now.wall.as_f64() <= threshold
}

/// What comes before a token whose time is over.
pub(super) enum Revival {
    /// The request holds its successor by now.
    Renewed,
    /// It stays as it is, and is refused.
    Refused(DenyReason),
    /// The sidecar is to be asked for the successor.
    Wait,
}

/// Of a token that was verified: what comes first, where its time is over and not its session's, and it comes in a
/// cookie.
pub(super) fn revive<H: Host>(
    held: &mut PendingRequest,
    claims: &VerifiedClaims,
    cx: &StepContext<'_, H>,
) -> Option<Revival> {
    let can_be = held.source == Some(Source::Cookie)
        && held.renewed.is_none()
        && !held.is_cross_site
        && claims.is_renewable()
        && claims.check_time(cx.now.wall) == Err(DenyReason::TokenExpired)
        && claims.session_ends().is_none_or(|ends| ends > cx.now.wall)
        && !cx.refresh_threshold().is_zero();
    if !can_be || is_known_against(claims, cx) {
        return None;
    }
    Some(match cx.renewals.known(&held.token, cx.now.monotonic) {
        Some(known) => match take(held, known, cx.config) {
            Ok(()) => Revival::Renewed,
            Err(reason) => Revival::Refused(reason),
        },
        None if cx.room.is_full_for(Unverified::Expired) => Revival::Refused(DenyReason::Overloaded),
        None => Revival::Wait,
    })
}

fn is_known_against<H: Host>(claims: &VerifiedClaims, cx: &StepContext<'_, H>) -> bool {
    let has_ended = || {
        let feed = cx.feed.as_deref()?;
        let (_, names) = claims.own_session()?;
        Some(feed.revocations().has_ended(&names))
    };
    has_ended().unwrap_or(true)
}

/// Has the request wait for its new token.
pub(super) fn wait<H: Host>(held: &PendingRequest, cx: &mut StepContext<'_, H>, effects: &mut Vec<Effect>) -> CallId {
    let (call, is_new) = cx.renewals.wait(&held.token, cx.id, cx.sender, cx.now.monotonic);
    if is_new {
        send(call, &held.token, true, cx, effects);
    }
    call
}

/// The sidecar has spoken, or could not be asked: then nobody knows whether the session lives. The request holds the
/// new token from here on.
pub(super) fn take(held: &mut PendingRequest, renewal: &Renewal, config: &Config) -> Result<(), DenyReason> {
    match renewal {
        Renewal::Successor(successor) if is_token(successor, config) => {
            held.token = successor.token.as_str().into();
            held.renewed = Some(Rc::clone(successor));
            Ok(())
        }
        Renewal::Successor(_) | Renewal::Failed => Err(DenyReason::StoreUnavailable),
        Renewal::Refused(verdict) => Err(match refusal_of(*verdict) {
            // It may be used, but not be renewed.
            DenyReason::StoreUnavailable => DenyReason::TokenExpired,
            // We have verified it: the sidecar lacks its key, for now.
            DenyReason::TokenUnknown => DenyReason::StoreUnavailable,
            reason => reason,
        }),
    }
}

/// Whether what the sidecar has given can be a token, and one that is accepted here.
pub(super) fn is_token(given: &SessionToken, config: &Config) -> bool {
    is_b64token(given.token.as_bytes()) && given.token.len() <= config.max_token_bytes
}

fn send<H: Host>(call: CallId, token: &str, waits: bool, cx: &StepContext<'_, H>, effects: &mut Vec<Effect>) {
    let http = cx.config.sidecar.as_ref().and_then(|sidecar| sidecar.renewal(token, waits));
    effects.extend(http.map(|http| Effect::Call(Callout::Renewal(call), http)));
}
