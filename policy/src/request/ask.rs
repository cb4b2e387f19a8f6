//! Questions to the sidecar about credentials.

use std::rc::Rc;

use session_gate_protocol::{CheckedCredential, OpaqueToken, OwnToken};

use super::{context::StepContext, effect::Effect};
use crate::{
    host::Host,
    ids::{CallId, Callout},
    metric::Counter,
    routing::RoutePolicy,
    sidecar::{checks::Asking, in_flight::Asked},
    token::{Revocation, TokenText, VerifiedClaims},
};

/// What the sidecar is asked about. It knows its own tokens by a `jti` and sessions by a `sid` of its own making; of
/// others it is told all claims. An opaque one without a session is good only while the store has it: once that has lost
/// its data, nobody could revoke it any more. None: the token has no such `jti`.
pub(super) fn credential_of(
    token: TokenText<'_>,
    claims: &VerifiedClaims,
    route: &RoutePolicy,
) -> Option<CheckedCredential> {
    if claims.revocation() == Revocation::Feed {
        let all = claims.all(token)?;
        return Some(CheckedCredential::Foreign {
            claims: all,
            require_session: claims.need_session(route.require_session),
        });
    }
    let token_id = claims.token_id()?.parse().ok()?;
    let session_id = claims.own_session().map(|(id, _)| id.clone());
    if session_id.is_none() && OpaqueToken::looks_like_one(token.0) {
        return Some(CheckedCredential::Opaque { token: token.0.to_owned() });
    }
    Some(CheckedCredential::Own(OwnToken { user_id: claims.subject().clone(), session_id, token_id }))
}

/// Asks the sidecar about a credential, unless another request has asked the same already.
pub(super) fn ask<H: Host>(question: &[u8], cx: &mut StepContext<'_, H>, effects: &mut Vec<Effect>) -> CallId {
    let epoch = cx.feed.as_deref().and_then(|feed| feed.epoch().map(Rc::from));
    let asked = Asked { at: cx.now.monotonic, epoch };
    let timeout = cx.config.sidecar.as_ref().map(|sidecar| sidecar.timeout).unwrap_or_default();
    match cx.checks.join_or_start(cx.id, cx.sender, question, asked, timeout) {
        Asking::Joined(call) => {
            effects.push(Effect::Count(Counter::CheckShared));
            call
        }
        Asking::Started(call) => {
            let http = cx.config.sidecar.as_ref().map(|sidecar| sidecar.check(question.to_vec()));
            effects.extend(http.map(|http| Effect::Call(Callout::Check(call), http)));
            call
        }
    }
}
