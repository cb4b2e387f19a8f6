//! Which refusals say of the credential itself that it is of no use, whatever it is used for, and how surely.

use session_gate_protocol::DenyReason;

/// What a refusal says of the credential itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialVerdict {
    /// It is of no use, and no clock, key or store can change that: a browser may forget it.
    Dead,
    /// It is of no use here and now: its key may come, its time too, and another route may ask less of it.
    Unusable,
}

/// What a refusal for that reason says of the credential itself. None: nothing, be it that the store could not be asked,
/// or that the session is suspended, waits for its second factor, or is a good one.
pub(super) const fn verdict_on_credential(reason: DenyReason) -> Option<CredentialVerdict> {
    Some(match reason {
        DenyReason::DuplicateCookie
        | DenyReason::SessionExpired
        | DenyReason::SessionTerminated
        | DenyReason::SessionUnknown
        | DenyReason::TokenAlgorithmRefused
        | DenyReason::TokenAudienceRefused
        | DenyReason::TokenExpired
        | DenyReason::TokenIssuerUnknown
        | DenyReason::TokenMalformed
        | DenyReason::TokenRevoked
        | DenyReason::TokenSignatureInvalid
        | DenyReason::TokenTooLarge
        | DenyReason::TokenTypeRefused
        | DenyReason::TokenUnknown => CredentialVerdict::Dead,
        DenyReason::TokenClaimUnusable | DenyReason::TokenKeyUnknown | DenyReason::TokenNotYetValid => {
            CredentialVerdict::Unusable
        }
        DenyReason::AuthorityInvalid
        | DenyReason::Blocked
        | DenyReason::CredentialMissing
        | DenyReason::CredentialRepeated
        | DenyReason::CsrfRefused
        | DenyReason::EndpointUnrouted
        | DenyReason::HttpsRequired
        | DenyReason::KeysUnavailable
        | DenyReason::LimitUnavailable
        | DenyReason::LoginLocked
        | DenyReason::MethodInvalid
        | DenyReason::NoRule
        | DenyReason::OriginRefused
        | DenyReason::Overloaded
        | DenyReason::PathAmbiguous
        | DenyReason::PathInvalid
        | DenyReason::RateLimited
        | DenyReason::ScopeInsufficient
        | DenyReason::SessionCommandRefused
        | DenyReason::SessionHeaderInvalid
        | DenyReason::SessionLimitReached
        | DenyReason::SessionMissing
        | DenyReason::SessionPending2fa
        | DenyReason::SessionSuspended
        | DenyReason::StoreUnavailable => return None,
    })
}
