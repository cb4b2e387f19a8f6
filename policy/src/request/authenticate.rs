//! Who sends a request: its token found, verified, and asked about.

use std::rc::Rc;

use session_gate_protocol::{CheckRequest, CheckVerdict, CheckedCredential, DenyReason, OpaqueToken};

use super::{
    admit::{Admission, admit},
    ask::credential_of,
    context::{MAX_USED, StepContext},
    effect::Effect,
    event::CheckOutcome,
    pending::{Decision, Next, PendingRequest},
    permit::Permit,
    renew::{self, Revival},
    room::Unverified,
};
use crate::{
    host::Host,
    http::{
        credential::{self, Source},
        headers::Headers,
        interpretations::RequestInterpretations,
    },
    knowledge::{
        Identity, Said, ServedSession,
        standing::{Evidence, Standing, refusal_of, standing},
    },
    metric::{CacheOutcome, Counter},
    routing::Authentication,
    sidecar::renewals::Renewal,
    token::{Refusal, VerifiedClaims},
};

/// What comes before the token itself is looked at.
pub(super) enum Found {
    Permit(Permit),
    /// The request holds it by now.
    Token,
}

/// Everything that can be said before the token itself is looked at.
pub(super) fn find_token<H: Host>(
    request: &Headers,
    readings: &RequestInterpretations,
    held: &mut PendingRequest,
    cx: &StepContext<'_, H>,
) -> Result<Found, DenyReason> {
    let (route, config) = (&held.route.policy, cx.config);
    if cx.requires_https(route) && !held.style.scheme.is_https() {
        return Err(DenyReason::HttpsRequired);
    }
    // A login form of another site's would log its visitor in as somebody else, cookie or not.
    if held.command.as_ref().is_some_and(|command| command.is_forged()) {
        return Err(DenyReason::CsrfRefused);
    }
    if route.endpoint.is_some() && !reaches_sidecar(cx) {
        return Err(DenyReason::EndpointUnrouted);
    }
    if matches!(route.authentication, Authentication::Public | Authentication::Refused) {
        return Permit::without_credential(route).map(Found::Permit);
    }
    let parameter = route.token_query_parameter.as_deref();
    let Some(offer) = credential::offered(request, &config.cookie.name, parameter)? else {
        return Permit::without_credential(route).map(Found::Permit);
    };
    held.source = Some(offer.source);
    let token = offer.token()?;
    held.is_cross_site = offer.source == Source::Cookie && !config.csrf.allows(request, readings, held.style.scheme);
    // Where a token is optional, a cookie that has come along may count as none: that is known once it was judged.
    if held.is_cross_site && route.authentication == Authentication::Required {
        return Err(DenyReason::CsrfRefused);
    }
    if token.len() > config.max_token_bytes {
        return Err(DenyReason::TokenTooLarge);
    }
    held.token = token.into();
    Ok(Found::Token)
}

/// Whether Envoy would send the request to the sidecar: what it is sent is not for another upstream.
fn reaches_sidecar<H: Host>(cx: &StepContext<'_, H>) -> bool {
    let cluster = cx.host.cluster(cx.id);
    cx.config.sidecar.as_ref().is_some_and(|sidecar| cluster.as_deref() == Some(sidecar.cluster.as_bytes()))
}

/// Whether the client is on the denylist, as far as is known: nobody is asked, whatever happens.
pub(super) fn check_denylist<H: Host>(held: &PendingRequest, cx: &StepContext<'_, H>) -> Result<(), DenyReason> {
    let client = held.client_info(cx);
    let blocked = cx.feed.as_deref().is_some_and(|feed| feed.blocks(&client, cx.now.wall));
    if blocked { Err(DenyReason::Blocked) } else { Ok(()) }
}

/// What must admit the request before its token is looked at, and then the token.
pub(super) fn authenticate<H: Host>(
    held: &mut PendingRequest,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    match admit(held, None, cx, effects) {
        Admission::Admit => judge_token(held, cx, effects),
        Admission::Refuse(reason) => Err(reason),
        Admission::Wait(call) => Ok(Next::AwaitTurn(call)),
    }
}

/// The token itself: signature, issuer, audience, time, and what the route asks of it.
pub(super) fn judge_token<H: Host>(
    held: &mut PendingRequest,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    if let Some((token, claims)) = cx.cache.get(&held.token) {
        // One copy of the text for the cache and all who hold it.
        held.token = token;
        effects.push(Effect::Count(Counter::TokenCache(CacheOutcome::Hit)));
        return judge_claims(held, claims, cx, effects);
    }
    effects.push(Effect::Count(Counter::TokenCache(CacheOutcome::Miss)));
    if cx.config.issuers.accept_opaque() && OpaqueToken::looks_like_one(&held.token) {
        return judge_opaque(held, cx);
    }
    match cx.config.issuers.verify(&held.token, cx.keys, cx.host) {
        Ok(claims) => {
            cx.cache.insert(Rc::clone(&held.token), claims.clone(), cx.now.wall);
            judge_claims(held, claims, cx, effects)
        }
        Err(Refusal::Deny(reason)) => Err(reason),
        // No failure mode here: a token that cannot be verified says nothing at all.
        Err(Refusal::KeyMissing) if cx.keys_may_come && cx.room.is_full_for(Unverified::Key) => {
            Err(DenyReason::Overloaded)
        }
        Err(Refusal::KeyMissing) if cx.keys_may_come => Ok(Next::AwaitKeys),
        Err(Refusal::KeyMissing) if cx.keys.is_none() => Err(DenyReason::KeysUnavailable),
        Err(Refusal::KeyMissing) => Err(DenyReason::TokenKeyUnknown),
    }
}

/// An opaque token that this worker has not seen: only the sidecar can read it.
fn judge_opaque<H: Host>(held: &PendingRequest, cx: &StepContext<'_, H>) -> Decision {
    let feed = cx.feed.as_deref();
    let is_unknown = feed.is_some_and(|feed| feed.is_unknown(held.text(), cx.now.monotonic));
    if is_unknown || OpaqueToken::parse(&held.token).is_err() {
        return Err(DenyReason::TokenUnknown);
    }
    if cx.room.is_full_for(Unverified::Opaque) {
        return Err(DenyReason::Overloaded);
    }
    let question = question(CheckedCredential::Opaque { token: held.token.to_string() }, held, cx)?;
    Ok(Next::Ask(None, question))
}

/// A token that was verified, now or before.
fn judge_claims<H: Host>(
    held: &mut PendingRequest,
    claims: VerifiedClaims,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    match renew::revive(held, &claims, cx) {
        Some(Revival::Renewed) => return judge_token(held, cx, effects),
        Some(Revival::Refused(reason)) => return Err(reason),
        Some(Revival::Wait) => return Ok(Next::Renew),
        None => {}
    }
    let session = cx.feed.as_deref().and_then(|feed| feed.session_of(&claims, cx.now));
    let needs_one = claims.need_session(held.route.policy.require_session);
    let session: Option<&ServedSession> = session.filter(|_| needs_one).map(|known| &**known);
    let identity = Identity::of(claims, session);
    judge_identity(held, identity, Evidence::Feed, cx)
}

/// The sidecar has replied with what takes the token's place, or has not.
pub(super) fn judge_renewal<H: Host>(
    held: &mut PendingRequest,
    renewal: &Renewal,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    renew::take(held, renewal, cx.config)?;
    judge_token(held, cx, effects)
}

/// Whether the identity is served, on that evidence.
pub(super) fn judge_identity<H: Host>(
    held: &PendingRequest,
    identity: Identity,
    evidence: Evidence,
    cx: &mut StepContext<'_, H>,
) -> Decision {
    match standing(&held.case(&identity, cx), evidence) {
        Standing::Refused(reason) => Err(reason),
        Standing::Served(_) if held.is_cross_site => Err(DenyReason::CsrfRefused),
        Standing::Served(proof) => {
            let permit = Permit::of(identity, &proof);
            if !held.route.policy.background {
                note_use(&permit, cx);
            }
            Ok(Next::Pass(permit))
        }
        Standing::Unknown => {
            let credential = credential_of(held.text(), &identity.claims, &held.route.policy);
            match question(credential.ok_or(DenyReason::TokenClaimUnusable)?, held, cx) {
                Ok(question) if !cx.room.is_full() => Ok(Next::Ask(Some(identity), question)),
                Ok(_) => judge_identity(held, identity, Evidence::Failed(DenyReason::Overloaded), cx),
                Err(reason) => judge_identity(held, identity, Evidence::Failed(reason), cx),
            }
        }
    }
}

fn note_use<H: Host>(permit: &Permit, cx: &mut StepContext<'_, H>) {
    if let Some(session) = permit.identity().and_then(|identity| identity.session.as_ref())
        && cx.used.len() < MAX_USED
        && !cx.used.contains(&session.id)
    {
        cx.used.insert(session.id.clone());
    }
}

/// The question about a credential, as it is sent. Where the feed is not current, the denylist that is
/// known here may not be, either.
fn question<H: Host>(
    credential: CheckedCredential,
    held: &PendingRequest,
    cx: &StepContext<'_, H>,
) -> Result<Vec<u8>, DenyReason> {
    let client = held.client_info(cx);
    let is_current = cx.feed.as_deref().is_some_and(|feed| feed.is_current(cx.now));
    let address = if is_current { None } else { client.address() };
    let user_agent = (!is_current && !client.user_agent.is_empty()).then(|| client.user_agent.to_owned());
    let background = held.route.policy.background;
    serde_json::to_vec(&CheckRequest { credential, address, user_agent, background })
        .map_err(|_| DenyReason::StoreUnavailable)
}

/// What the sidecar says of the credential; a reply that says nothing is a failure.
pub(super) fn judge_reply<H: Host>(
    held: &PendingRequest,
    identity: Option<Identity>,
    outcome: &CheckOutcome,
    cx: &mut StepContext<'_, H>,
) -> Decision {
    note_unknown(held, identity.is_some(), outcome, cx);
    let identity = match identity {
        Some(identity) => {
            // Its token may be forgotten by now: the keys have changed since it was read.
            drop(read_opaque(held, outcome, cx));
            identity
        }
        None => Identity::of(read_opaque(held, outcome, cx)?, None),
    };
    let Some(reply) = &outcome.reply else {
        return judge_identity(held, identity, Evidence::Failed(DenyReason::StoreUnavailable), cx);
    };
    if let Some(feed) = cx.feed.as_deref_mut().filter(|_| reply.verdict == CheckVerdict::Live) {
        let said =
            Said { session: reply.session.as_ref(), is_use: !held.route.policy.background, asked: &outcome.asked };
        feed.note_live(held.text(), &identity.claims, &said, cx.now.wall);
    }
    let identity = identity.confirmed(reply, outcome.asked.clone());
    judge_identity(held, identity, Evidence::Checked(reply.verdict), cx)
}

/// There is no such opaque token, or not any more: what was known of it when that was asked is forgotten.
fn note_unknown<H: Host>(held: &PendingRequest, was_known: bool, outcome: &CheckOutcome, cx: &mut StepContext<'_, H>) {
    let is_unknown = outcome.reply.as_ref().is_some_and(|reply| reply.verdict == CheckVerdict::CredentialUnknown);
    if let Some(feed) = cx.feed.as_deref_mut().filter(|_| is_unknown) {
        feed.note_unknown(held.text(), cx.now.monotonic);
        if was_known {
            cx.cache.remove(&held.token);
        }
    }
}

/// The claims of an opaque token that the sidecar was asked about.
fn read_opaque<H: Host>(
    held: &PendingRequest,
    outcome: &CheckOutcome,
    cx: &mut StepContext<'_, H>,
) -> Result<VerifiedClaims, DenyReason> {
    let reply = outcome.reply.as_ref().ok_or(DenyReason::StoreUnavailable)?;
    let said = reply.claims.as_ref().ok_or_else(|| refusal_of(reply.verdict))?;
    let claims = cx.config.issuers.accept(said)?;
    cx.cache.insert(Rc::clone(&held.token), claims.clone(), cx.now.wall);
    Ok(claims)
}
