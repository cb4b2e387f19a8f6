//! Whether the account that a login names is locked, asked before its upstream sees it: that need not compare a password
//! then. What counts is decided when the answer comes, so nobody is kept waiting, or out, by a sidecar that is away.

use std::time::Duration;

use session_gate_protocol::{DenyReason, LoginGuard, SessionCommand, SessionCommandRequest};

use super::{
    authenticate::check_denylist, context::StepContext, effect::Effect, pending::PendingRequest, permit::Permit,
    room::Unverified,
};
use crate::{
    host::Host,
    ids::{CallId, Callout},
    knowledge::standing::{Evidence, Standing, standing},
    routing::TokenDelivery,
    sidecar::{checks::Asking, in_flight::Asked},
};

/// Asks the sidecar, where the route says so and the request names an account. None: nothing is to be waited for.
pub(super) fn ask<H: Host>(
    held: &PendingRequest,
    permit: &Permit,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Option<CallId> {
    let sidecar = cx.config.sidecar.as_ref()?;
    let account = held.command.as_ref()?.account.as_ref()?;
    let is_full = match permit.identity() {
        Some(_) => cx.room.is_full(),
        None => cx.room.is_full_for(Unverified::Login),
    };
    if is_full {
        return None;
    }
    let is_browsers = held.route.policy.session_commands.as_ref().is_some_and(|it| it.token == TokenDelivery::Cookie);
    let question = serde_json::to_vec(&SessionCommandRequest {
        command: SessionCommand::LoginAttempt { account: account.name.clone() },
        token: None,
        ip_address: held.client_info(cx).address(),
        user_agent: None,
        guard: Some(LoginGuard { device_token: account.device_token.clone(), issue_device_token: is_browsers }),
    });
    let asked = Asked { at: cx.now.monotonic, epoch: None };
    match cx.locks.join_or_start(cx.id, cx.sender, question.as_ref().ok()?, asked, sidecar.timeout) {
        Asking::Joined(call) => Some(call),
        Asking::Started(call) => {
            effects.push(Effect::Call(Callout::LoginLock(call), sidecar.login_lock(question.ok()?)));
            Some(call)
        }
    }
}

/// The sidecar has said for how long logins are refused; none: they are not, or it could not be asked. What has been taken
/// back meanwhile is not served, and what is not known any more as the route says for a sidecar that is away, but where the
/// sidecar has just been asked about it.
pub(super) fn judge<H: Host>(
    held: &mut PendingRequest,
    permit: Permit,
    locked_for: Option<u64>,
    cx: &StepContext<'_, H>,
) -> Result<Permit, DenyReason> {
    check_denylist(held, cx)?;
    if let Some(seconds) = locked_for {
        held.limit_record.retry = Some(Duration::from_secs(seconds));
        return Err(DenyReason::LoginLocked);
    }
    match refusal(held, &permit, cx) {
        // As for any cookie of a login that is over.
        Some(reason) => Permit::after_login(reason, held.source, &held.route.policy),
        None => Ok(permit),
    }
}

fn refusal<H: Host>(held: &PendingRequest, permit: &Permit, cx: &StepContext<'_, H>) -> Option<DenyReason> {
    let identity = permit.identity()?;
    let case = held.case(identity, cx);
    let timeout = cx.config.sidecar.as_ref().map(|sidecar| sidecar.timeout).unwrap_or_default();
    let is_fresh = |asked: &Asked| cx.now.monotonic.saturating_sub(asked.at) <= timeout * 2;
    let standing = match standing(&case, Evidence::Feed) {
        Standing::Unknown if identity.confirmed.as_ref().is_some_and(is_fresh) => return None,
        Standing::Unknown => standing(&case, Evidence::Failed(DenyReason::StoreUnavailable)),
        known => known,
    };
    match standing {
        Standing::Refused(reason) => Some(reason),
        Standing::Served(_) | Standing::Unknown => None,
    }
}
