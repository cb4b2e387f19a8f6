//! What is said of a request's token: found, verified, and asked about.

use session_gate_protocol::{
    CheckReply, CheckRequest, CheckedCredential, DenyReason, Fingerprint, OpaqueToken, OwnToken,
};

use super::{Decision, Effect, Held, MAX_USED, Next, Surroundings};
use crate::{
    config::Config,
    cors,
    credential::{self, Credential, Source},
    feed::{Asked, Follower, Verdict},
    headers::Headers,
    host::Host,
    metric::{CacheOutcome, Counter},
    now::Now,
    permit::{self, Identity, LiveSession, Permit, ServedSession},
    readings::RequestReadings,
    route::Authentication,
    token::{Refusal, Revocation, VerifiedClaims},
};

/// What comes before the token itself is looked at.
pub(super) enum Found {
    Permit(Permit),
    Token(Credential),
}

/// An answer of the sidecar's about a credential: none where it said nothing that could be used.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it says.
    pub reply: Option<CheckReply>,
    /// When it was asked.
    pub asked: Asked,
}

/// Everything that can be said before the token itself is looked at.
pub(super) fn find_token(
    request: &Headers,
    readings: &RequestReadings,
    held: &Held,
    config: &Config,
) -> Result<Found, DenyReason> {
    let route = &held.route.policy;
    if route.require_https && !held.client.https {
        return Err(DenyReason::HttpsRequired);
    }
    // A framework that is asked for another method would act upon it: that is no preflight.
    let is_preflight = cors::is_preflight(request) && !readings.overridden;
    if let Some(permit) = is_preflight.then(|| permit::preflight(route, held.client.origin.as_deref())).flatten() {
        return Ok(Found::Permit(permit));
    }
    if route.authentication == Authentication::Public {
        return permit::without_credential(route).map(Found::Permit);
    }
    let parameter = route.token_query_parameter.as_deref();
    let Some(credential) = credential::find(request, &config.cookie, parameter)? else {
        return permit::without_credential(route).map(Found::Permit);
    };
    if credential.source == Source::Cookie && !config.csrf.allows(request, readings, held.client.https) {
        return Err(DenyReason::CsrfRefused);
    }
    if credential.token.len() > config.max_token_bytes {
        return Err(DenyReason::TokenTooLarge);
    }
    Ok(Found::Token(credential))
}

/// Whether the client is on the block list, as far as is known: nobody is asked, whatever happens.
pub(super) fn check_block<H: Host>(held: &Held, around: &Surroundings<'_, H>) -> Result<(), DenyReason> {
    let visitor = held.visitor(around);
    let blocked = around.feed.as_deref().is_some_and(|feed| feed.blocks(&visitor, around.now.wall));
    if blocked { Err(DenyReason::Blocked) } else { Ok(()) }
}

/// The token itself: signature, issuer, audience, time, and what the route asks of it.
pub(super) fn judge_token<H: Host>(
    held: &Held,
    around: &mut Surroundings<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    if let Some(claims) = around.cache.get(&held.token) {
        effects.push(Effect::Count(Counter::TokenCache(CacheOutcome::Hit)));
        return judge_claims(held, claims, around);
    }
    effects.push(Effect::Count(Counter::TokenCache(CacheOutcome::Miss)));
    if around.config.issuers.accept_opaque() && OpaqueToken::looks_like_one(&held.token) {
        return judge_opaque(held, around);
    }
    match around.config.issuers.verify(&held.token, around.keys, around.host) {
        Ok(claims) => {
            around.cache.insert(&held.token, claims.clone(), around.now.wall);
            judge_claims(held, claims, around)
        }
        Err(Refusal::Deny(reason)) => Err(reason),
        // No failure mode here: a token that cannot be verified says nothing at all.
        Err(Refusal::KeyMissing) if around.keys_may_come && around.full_of_keyless => Err(DenyReason::Overloaded),
        Err(Refusal::KeyMissing) if around.keys_may_come => Ok(Next::AwaitKeys),
        Err(Refusal::KeyMissing) if around.keys.is_none() => Err(DenyReason::KeysUnavailable),
        Err(Refusal::KeyMissing) => Err(DenyReason::TokenKeyUnknown),
    }
}

/// An opaque token that this worker has not seen: only the sidecar can read it.
fn judge_opaque<H: Host>(held: &Held, around: &Surroundings<'_, H>) -> Decision {
    let feed = around.feed.as_deref();
    let is_unknown = feed.is_some_and(|feed| feed.is_unknown(held.text(), around.now.monotonic));
    if is_unknown || OpaqueToken::parse(&held.token).is_err() {
        return Err(DenyReason::TokenUnknown);
    }
    if around.full {
        return Err(DenyReason::Overloaded);
    }
    let question = question(CheckedCredential::Opaque { token: held.token.to_string() }, held, around)?;
    Ok(Next::Ask(None, question))
}

/// A token that was verified, now or before.
fn judge_claims<H: Host>(held: &Held, claims: VerifiedClaims, around: &mut Surroundings<'_, H>) -> Decision {
    let route = &held.route.policy;
    claims.check_time(around.now.wall)?;
    permit::check_session(route, &claims)?;
    if let Some(permit) = Permit::without_session(route, &claims) {
        let feed = around.feed.as_deref();
        let refused = feed.and_then(|feed| feed.against(held.text(), &claims, around.now.wall));
        return refused.map_or(permit.map(Next::Pass), Err);
    }
    let Some(feed) = around.feed.as_deref() else { return ask_store(held, claims, around) };
    match feed.judge(held.text(), &claims, around.now) {
        Verdict::Ask => ask_store(held, claims, around),
        Verdict::Deny(reason) => Err(reason),
        Verdict::Live(proof) => {
            let identity = identify(held, claims, feed, None, around.now);
            if route.require_session && identity.session.is_none() {
                return ask_store(held, identity.claims, around);
            }
            let permit = Permit::with_session(route, identity, LiveSession::from_feed(proof))?;
            note_use(&permit, around);
            Ok(Next::Pass(permit))
        }
    }
}

/// As whom the request is served, as far as is known; `said` is what the sidecar has just answered.
fn identify(held: &Held, claims: VerifiedClaims, feed: &Follower, said: Option<&CheckReply>, now: Now) -> Identity {
    let said = said.and_then(|reply| reply.session.as_ref());
    let session = match claims.revocation() {
        Revocation::Check => claims.session_id().zip(claims.names().session),
        Revocation::Feed if held.route.policy.require_session => said
            .or_else(|| feed.session_of_user(&claims, now))
            .map(|session| session.session_id.as_str())
            .map(|id| (id, Fingerprint::of_session(id))),
        Revocation::Feed | Revocation::None => None,
    };
    let session = session.map(|(id, name)| ServedSession { id: id.to_owned(), name });
    let scopes = feed.scopes(&claims, said);
    Identity { claims, scopes, session }
}

fn note_use<H: Host>(permit: &Permit, around: &mut Surroundings<'_, H>) {
    if let Some(session) = permit.identity().and_then(|identity| identity.session.as_ref())
        && around.used.len() < MAX_USED
        && !around.used.contains(&session.id)
    {
        around.used.insert(session.id.clone());
    }
}

/// The feed cannot tell: the sidecar is asked, if this worker may hold one more request.
fn ask_store<H: Host>(held: &Held, claims: VerifiedClaims, around: &Surroundings<'_, H>) -> Decision {
    let question = question(credential_of(held, &claims)?, held, around);
    match question {
        Ok(question) if !around.full => Ok(Next::Ask(Some(claims), question)),
        Ok(_) => after_failure(held, claims, DenyReason::Overloaded, around).map(Next::Pass),
        Err(reason) => after_failure(held, claims, reason, around).map(Next::Pass),
    }
}

/// The store could not be asked. What the feed has told against the token holds, its session's suspension
/// too: that may have been lifted, but only the sidecar could say so.
fn after_failure<H: Host>(
    held: &Held,
    claims: VerifiedClaims,
    reason: DenyReason,
    around: &Surroundings<'_, H>,
) -> Result<Permit, DenyReason> {
    let Some(feed) = around.feed.as_deref() else { return Err(reason) };
    let identity = identify(held, claims, feed, None, around.now);
    let is_suspended = identity.session.as_ref().is_some_and(|session| feed.suspends(session.name));
    let permit = Permit::after_failure(&held.route.policy, identity, reason, feed.age(around.now.monotonic))?;
    if is_suspended { Err(DenyReason::SessionSuspended) } else { Ok(permit) }
}

/// The question about a credential, as it is sent. Where the feed is not current, the block list that is
/// known here may not be, either.
fn question<H: Host>(
    credential: CheckedCredential,
    held: &Held,
    around: &Surroundings<'_, H>,
) -> Result<Vec<u8>, DenyReason> {
    let visitor = held.visitor(around);
    let is_current = around.feed.as_deref().is_some_and(|feed| feed.is_current(around.now.monotonic));
    let address = if is_current { None } else { visitor.address() };
    let user_agent = (!is_current && !visitor.user_agent.is_empty()).then(|| visitor.user_agent.to_owned());
    serde_json::to_vec(&CheckRequest { credential, address, user_agent }).map_err(|_| DenyReason::StoreUnavailable)
}

/// The sidecar knows its own tokens by a `jti` and sessions by a `sid` of its own making; of others it is
/// told all claims.
fn credential_of(held: &Held, claims: &VerifiedClaims) -> Result<CheckedCredential, DenyReason> {
    let unusable = DenyReason::TokenClaimUnusable;
    if claims.revocation() == Revocation::Feed {
        let claims = claims.all(held.text()).ok_or(unusable)?;
        return Ok(CheckedCredential::Foreign { claims, require_session: held.route.policy.require_session });
    }
    let token_id = claims.token_id().and_then(|id| id.parse().ok()).ok_or(unusable)?;
    let session_id = claims.session_id().map(str::parse).transpose().map_err(|_| unusable)?;
    Ok(CheckedCredential::Own(OwnToken { user_id: claims.subject().clone(), session_id, token_id }))
}

/// What the sidecar says of the credential; an answer that says nothing is a failure.
pub(super) fn judge_answer<H: Host>(
    held: &Held,
    claims: Option<VerifiedClaims>,
    answer: &Answer,
    around: &mut Surroundings<'_, H>,
) -> Decision {
    let claims = match claims {
        Some(claims) => claims,
        None => read_opaque(held, answer, around)?,
    };
    // Its time may have run out while the request was held, and the feed may know more by now.
    claims.check_time(around.now.wall)?;
    if let Some(reason) = known_against(held, &claims, around) {
        return Err(reason);
    }
    let Some(reply) = &answer.reply else {
        return after_failure(held, claims, DenyReason::StoreUnavailable, around).map(Next::Pass);
    };
    let route = &held.route.policy;
    let proof = LiveSession::from_verdict(reply.verdict, route)?;
    let now = around.now;
    let Some(feed) = around.feed.as_deref_mut() else { return Err(DenyReason::StoreUnavailable) };
    feed.note_live(held.text(), &claims, reply.session.as_ref(), &answer.asked, now.wall);
    let identity = identify(held, claims, feed, Some(reply), now);
    match &identity.session {
        Some(session) => feed.against_session(session.name, now.monotonic).map_or(Ok(()), Err)?,
        None if route.require_session => return Err(DenyReason::SessionMissing),
        None => {}
    }
    Permit::with_session(route, identity, proof).map(Next::Pass)
}

/// What the feed knows against a token by now.
fn known_against<H: Host>(held: &Held, claims: &VerifiedClaims, around: &Surroundings<'_, H>) -> Option<DenyReason> {
    let feed = around.feed.as_deref()?;
    match feed.judge(held.text(), claims, around.now) {
        Verdict::Deny(reason) => Some(reason),
        Verdict::Ask | Verdict::Live(_) => None,
    }
}

/// The claims of an opaque token that the sidecar was asked about.
fn read_opaque<H: Host>(
    held: &Held,
    answer: &Answer,
    around: &mut Surroundings<'_, H>,
) -> Result<VerifiedClaims, DenyReason> {
    let Some(reply) = &answer.reply else { return Err(DenyReason::StoreUnavailable) };
    let Some(said) = &reply.claims else {
        if let (DenyReason::TokenUnknown, Some(feed)) = (refused(reply, held), around.feed.as_deref_mut()) {
            feed.note_unknown(held.text(), around.now.monotonic);
        }
        return Err(refused(reply, held));
    };
    let claims = around.config.issuers.accept(said)?;
    around.cache.insert(&held.token, claims.clone(), around.now.wall);
    Ok(claims)
}

/// Why the sidecar says nothing more of an opaque token.
fn refused(reply: &CheckReply, held: &Held) -> DenyReason {
    LiveSession::from_verdict(reply.verdict, &held.route.policy).err().unwrap_or(DenyReason::StoreUnavailable)
}
