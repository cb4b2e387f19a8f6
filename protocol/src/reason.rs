use serde::{Deserialize, Serialize};

/// Why a request was refused: a closed set. Its name is the metric's label, the access log's field
/// and the `code` of the reply's body. What each is answered with is decided in one place,
/// `session_gate_policy::denial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// The host is not valid: it has user information (RFC 9113, section 8.3.1), escapes, or is not ASCII.
    AuthorityInvalid,
    /// The client or the user is on the block list.
    Blocked,
    /// The route asks for a credential and the request has none.
    CredentialMissing,
    /// The request has more than one credential beside cookies (RFC 6750, section 2).
    CredentialRepeated,
    /// The credential is a cookie and the request may come from another site.
    CsrfRefused,
    /// The request has two session cookies with different values.
    DuplicateCookie,
    /// Envoy has no route to the sidecar for one of the gate's own endpoints.
    EndpointUnrouted,
    /// The route serves https only.
    HttpsRequired,
    /// No key of the token's issuer has been loaded yet.
    KeysUnavailable,
    /// A limit cannot be asked about, and its `store_away` says to refuse then.
    LimitUnavailable,
    /// Too many logins of that account, or from that address, have failed: none is let through for a while.
    LoginLocked,
    /// The method is not valid (RFC 9110, section 9.1).
    MethodInvalid,
    /// No rule matches, and `default_rule` is `deny`.
    NoRule,
    /// A CORS preflight of an origin that the route does not allow.
    OriginRefused,
    /// More requests wait for the sidecar than this worker holds.
    Overloaded,
    /// Two upstreams might read the path differently, and the rules differ for their readings.
    PathAmbiguous,
    /// The path is no path (RFC 3986, section 3.3).
    PathInvalid,
    /// A rate limit or a limit of requests in flight is used up (RFC 6585, section 4).
    RateLimited,
    /// The token lacks a scope (RFC 6750, section 3.1).
    ScopeInsufficient,
    /// What the application says of a session is not allowed on its route, or cannot be done.
    SessionCommandRefused,
    /// The session's time is over.
    SessionExpired,
    /// What the application says of a session cannot be read (RFC 9651).
    SessionHeaderInvalid,
    /// The user who logs in has as many sessions as allowed.
    SessionLimitReached,
    /// The route asks for a session and the token has none.
    SessionMissing,
    /// The session waits for its second factor (RFC 9470).
    #[serde(rename = "session_pending_2fa")]
    SessionPending2fa,
    /// The session is suspended.
    SessionSuspended,
    /// The session was ended.
    SessionTerminated,
    /// There is no such session.
    SessionUnknown,
    /// The sidecar, or its store, did not answer as it should.
    StoreUnavailable,
    /// The token's algorithm is not the one of its key, or none that is known.
    TokenAlgorithmRefused,
    /// The token is for somebody else.
    TokenAudienceRefused,
    /// A claim that this route needs is missing, or cannot be used.
    TokenClaimUnusable,
    /// The token's time is over.
    TokenExpired,
    /// The token's issuer is none of the configured ones.
    TokenIssuerUnknown,
    /// No key of the issuer has the token's key id.
    TokenKeyUnknown,
    /// The token is no JWT to the letter of RFC 7515 and 7519.
    TokenMalformed,
    /// The token's time has not begun.
    TokenNotYetValid,
    /// The token was revoked.
    TokenRevoked,
    /// The signature is not that of the key.
    TokenSignatureInvalid,
    /// The token is longer than the configured limit.
    TokenTooLarge,
    /// The token is of another kind than an access token (RFC 8725, section 3.11).
    TokenTypeRefused,
    /// The sidecar knows no such opaque token.
    TokenUnknown,
}

impl DenyReason {
    /// Every reason, in the order of their names.
    pub const ALL: [Self; 42] = [
        Self::AuthorityInvalid,
        Self::Blocked,
        Self::CredentialMissing,
        Self::CredentialRepeated,
        Self::CsrfRefused,
        Self::DuplicateCookie,
        Self::EndpointUnrouted,
        Self::HttpsRequired,
        Self::KeysUnavailable,
        Self::LimitUnavailable,
        Self::LoginLocked,
        Self::MethodInvalid,
        Self::NoRule,
        Self::OriginRefused,
        Self::Overloaded,
        Self::PathAmbiguous,
        Self::PathInvalid,
        Self::RateLimited,
        Self::ScopeInsufficient,
        Self::SessionCommandRefused,
        Self::SessionExpired,
        Self::SessionHeaderInvalid,
        Self::SessionLimitReached,
        Self::SessionMissing,
        Self::SessionPending2fa,
        Self::SessionSuspended,
        Self::SessionTerminated,
        Self::SessionUnknown,
        Self::StoreUnavailable,
        Self::TokenAlgorithmRefused,
        Self::TokenAudienceRefused,
        Self::TokenClaimUnusable,
        Self::TokenExpired,
        Self::TokenIssuerUnknown,
        Self::TokenKeyUnknown,
        Self::TokenMalformed,
        Self::TokenNotYetValid,
        Self::TokenRevoked,
        Self::TokenSignatureInvalid,
        Self::TokenTooLarge,
        Self::TokenTypeRefused,
        Self::TokenUnknown,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorityInvalid => "authority_invalid",
            Self::Blocked => "blocked",
            Self::CredentialMissing => "credential_missing",
            Self::CredentialRepeated => "credential_repeated",
            Self::CsrfRefused => "csrf_refused",
            Self::DuplicateCookie => "duplicate_cookie",
            Self::EndpointUnrouted => "endpoint_unrouted",
            Self::HttpsRequired => "https_required",
            Self::KeysUnavailable => "keys_unavailable",
            Self::LimitUnavailable => "limit_unavailable",
            Self::LoginLocked => "login_locked",
            Self::MethodInvalid => "method_invalid",
            Self::NoRule => "no_rule",
            Self::OriginRefused => "origin_refused",
            Self::Overloaded => "overloaded",
            Self::PathAmbiguous => "path_ambiguous",
            Self::PathInvalid => "path_invalid",
            Self::RateLimited => "rate_limited",
            Self::ScopeInsufficient => "scope_insufficient",
            Self::SessionCommandRefused => "session_command_refused",
            Self::SessionExpired => "session_expired",
            Self::SessionHeaderInvalid => "session_header_invalid",
            Self::SessionLimitReached => "session_limit_reached",
            Self::SessionMissing => "session_missing",
            Self::SessionPending2fa => "session_pending_2fa",
            Self::SessionSuspended => "session_suspended",
            Self::SessionTerminated => "session_terminated",
            Self::SessionUnknown => "session_unknown",
            Self::StoreUnavailable => "store_unavailable",
            Self::TokenAlgorithmRefused => "token_algorithm_refused",
            Self::TokenAudienceRefused => "token_audience_refused",
            Self::TokenClaimUnusable => "token_claim_unusable",
            Self::TokenExpired => "token_expired",
            Self::TokenIssuerUnknown => "token_issuer_unknown",
            Self::TokenKeyUnknown => "token_key_unknown",
            Self::TokenMalformed => "token_malformed",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenRevoked => "token_revoked",
            Self::TokenSignatureInvalid => "token_signature_invalid",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenTypeRefused => "token_type_refused",
            Self::TokenUnknown => "token_unknown",
        }
    }
}

/// Why a request was let through: a closed set, in metrics and the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowReason {
    /// Authentication is optional on the route and the request had no credential.
    Anonymous,
    /// The token is good, the store could not be asked, and the route's `failure_mode` is `allow`.
    FailureMode,
    /// The token is good and nothing was known against it when the feed was last heard of, and the
    /// route's `failure_mode` is `last_known`.
    LastKnown,
    /// A CORS preflight, which the filter has answered; it never carries a credential.
    Preflight,
    /// The route is public.
    Public,
    /// The token is good, and so is its session, where its issuer's tokens have one.
    Token,
}

impl AllowReason {
    /// Every reason, in the order of their names.
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::FailureMode, Self::LastKnown, Self::Preflight, Self::Public, Self::Token];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::FailureMode => "failure_mode",
            Self::LastKnown => "last_known",
            Self::Preflight => "preflight",
            Self::Public => "public",
            Self::Token => "token",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_name_and_the_lists_are_sorted_and_complete() {
        for reason in DenyReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for reason in AllowReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert!(DenyReason::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
        assert!(AllowReason::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
        assert!(DenyReason::ALL.is_sorted_by(|a, b| (*a as usize) + 1 == *b as usize));
    }
}
