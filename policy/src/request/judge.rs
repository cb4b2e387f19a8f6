//! What is said of a request's token: found, verified, and asked about.

use std::collections::HashSet;

use session_gate_protocol::{CheckReply, CheckRequest, DenyReason};

use super::{Decision, Effect, Held, MAX_USED, Next, Surroundings};
use crate::{
    call::CallReply,
    config::Config,
    cors,
    credential::{self, Credential, Source},
    feed::Verdict,
    headers::Headers,
    jose::HostCrypto,
    metric::{CacheOutcome, CallOutcome, Counter},
    permit::{self, LiveSession, Permit},
    readings::RequestReadings,
    route::Authentication,
    token::{Refusal, VerifiedClaims},
};

/// What comes before the token itself is looked at.
pub(super) enum Found {
    Permit(Permit),
    Token(Credential),
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

/// The token itself: signature, issuer, audience, time, and what the route asks of it.
pub(super) fn judge_token<H: HostCrypto>(
    held: &Held,
    around: &mut Surroundings<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    let claims = match around.cache.get(&held.token) {
        Some(claims) => {
            effects.push(Effect::Count(Counter::TokenCache(CacheOutcome::Hit)));
            claims
        }
        None => {
            effects.push(Effect::Count(Counter::TokenCache(CacheOutcome::Miss)));
            match around.config.issuers.verify(&held.token, around.keys, around.host) {
                Ok(claims) => {
                    around.cache.insert(&held.token, claims.clone(), around.now.wall);
                    claims
                }
                Err(Refusal::Deny(reason)) => return Err(reason),
                // No failure mode here: a token that cannot be verified says nothing at all.
                Err(Refusal::KeyMissing) if around.keys_may_come && around.full_of_keyless => {
                    return Err(DenyReason::Overloaded);
                }
                Err(Refusal::KeyMissing) if around.keys_may_come => return Ok(Next::AwaitKeys),
                Err(Refusal::KeyMissing) if around.keys.is_none() => return Err(DenyReason::KeysUnavailable),
                Err(Refusal::KeyMissing) => return Err(DenyReason::TokenKeyUnknown),
            }
        }
    };
    claims.check_time(around.now.wall)?;
    permit::check_route(&held.route.policy, &claims)?;
    if let Some(permit) = Permit::without_session(&claims) {
        return Ok(Next::Pass(permit));
    }
    match around.feed.as_deref().map_or(Verdict::Ask, |feed| feed.judge(&claims, around.now.monotonic)) {
        Verdict::Ask => ask_store(held, claims, around),
        Verdict::Deny(reason) => Err(reason),
        Verdict::Live(proof) => {
            note_use(&claims, around.used);
            Ok(Next::Pass(Permit::with_session(claims, LiveSession::from_feed(proof))))
        }
    }
}

fn note_use(claims: &VerifiedClaims, used: &mut HashSet<String>) {
    if let Some(session) = claims.session_id()
        && used.len() < MAX_USED
        && !used.contains(session)
    {
        used.insert(session.to_owned());
    }
}

/// The feed cannot tell: the sidecar is asked, if this worker may hold one more request.
fn ask_store<H: HostCrypto>(held: &Held, claims: VerifiedClaims, around: &Surroundings<'_, H>) -> Decision {
    let question = check_request(&claims)?;
    match around.config.sidecar.as_ref().and_then(|sidecar| sidecar.check(&question)) {
        Some(call) if !around.full => Ok(Next::AskStore(claims, call)),
        Some(_) => after_failure(held, claims, DenyReason::Overloaded, around).map(Next::Pass),
        None => after_failure(held, claims, DenyReason::StoreUnavailable, around).map(Next::Pass),
    }
}

/// The sidecar knows its own tokens by a `jti` and sessions by a `sid` of its own making.
fn check_request(claims: &VerifiedClaims) -> Result<CheckRequest, DenyReason> {
    let token_id = claims.token_id().and_then(|id| id.parse().ok()).ok_or(DenyReason::TokenClaimUnusable)?;
    let session_id = claims.session_id().map(str::parse).transpose().map_err(|_| DenyReason::TokenClaimUnusable)?;
    Ok(CheckRequest { user_id: claims.subject().clone(), session_id, token_id })
}

/// What the store says of the session; a reply that says nothing is a failure.
pub(super) fn judge_session<H: HostCrypto>(
    held: &Held,
    claims: VerifiedClaims,
    reply: &CallReply,
    around: &mut Surroundings<'_, H>,
    effects: &mut Vec<Effect>,
) -> Decision {
    // Its time may have run out while the request was held, and the feed may know more by now.
    claims.check_time(around.now.wall)?;
    let monotonic = around.now.monotonic;
    if let Some(Verdict::Deny(reason)) = around.feed.as_deref().map(|feed| feed.judge(&claims, monotonic)) {
        return Err(reason);
    }
    let route = &held.route.policy;
    let permit = match reply.json::<CheckReply>() {
        Some(CheckReply { verdict }) => {
            effects.push(Effect::Count(Counter::Check(CallOutcome::Answered)));
            let proof = LiveSession::from_verdict(verdict, route)?;
            if let Some(feed) = around.feed.as_deref_mut() {
                feed.note_live(&claims, monotonic);
            }
            Permit::with_session(claims, proof)
        }
        None => {
            effects.push(Effect::Count(Counter::Check(CallOutcome::Failed)));
            after_failure(held, claims, DenyReason::StoreUnavailable, around)?
        }
    };
    Ok(Next::Pass(permit))
}

/// Nobody could be asked. What the feed has told against the token holds, its session's suspension too:
/// that may have been lifted, but only the sidecar could say so.
fn after_failure<H: HostCrypto>(
    held: &Held,
    claims: VerifiedClaims,
    failed_with: DenyReason,
    around: &Surroundings<'_, H>,
) -> Result<Permit, DenyReason> {
    let feed = around.feed.as_deref();
    let is_suspended = feed.is_some_and(|feed| feed.suspends(&claims));
    let age = feed.and_then(|feed| feed.age(around.now.monotonic));
    let permit = Permit::after_failure(&held.route.policy, claims, failed_with, age)?;
    if is_suspended { Err(DenyReason::SessionSuspended) } else { Ok(permit) }
}
