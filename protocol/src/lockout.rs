//! How guessing passwords is slowed down: failed logins are counted by account and by address, and beyond a number of them
//! no login of that account, or from that address, is let through for a while. A device that has logged in before has a
//! budget of its own, so that nobody can lock an account's owner out.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::UnixSeconds;

/// Longest name of an account that is looked at, in bytes: of a longer one the beginning counts.
pub const MAX_ACCOUNT_BYTES: usize = 1024;

/// What every device token begins with, so that nobody takes it for a credential.
pub const DEVICE_PREFIX: &str = "sgd_";

/// How many device tokens of a request are looked at.
pub const MAX_DEVICE_TOKENS: usize = 4;

/// What counts of a name that somebody has typed: of one that is longer than any account's the beginning, without the spaces
/// before it, which an application may pass over.
pub fn bounded_account(name: &str) -> &str {
    if name.len() <= MAX_ACCOUNT_BYTES {
        return name;
    }
    let name = name.trim();
    name.get(..name.floor_char_boundary(MAX_ACCOUNT_BYTES)).unwrap_or_default()
}

/// In a command: the lock is asked first, in the same call, and counts.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginGuard {
    /// The device token that the request has brought, whatever it is worth; of several the first [`MAX_DEVICE_TOKENS`], with
    /// spaces between: a sibling host may have set one of that name beside the gate's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_token: Option<String>,
    /// Whether a login gives the client a new device token.
    #[serde(default)]
    pub issue_device_token: bool,
}

impl fmt::Debug for LoginGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_token, issue_device_token } = self;
        f.debug_struct("LoginGuard")
            .field("device_token", &device_token.as_ref().map(|_| "…"))
            .field("issue_device_token", issue_device_token)
            .finish()
    }
}

/// What marks a device from which an account has been logged in to: no credential, but its failed logins are counted apart.
/// `Debug` hides the token itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceToken {
    /// The token.
    pub token: String,
    /// For how many seconds it is of use.
    pub max_age: u64,
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, max_age } = self;
        f.debug_struct("DeviceToken").field("token", &"…").field("max_age", max_age).finish()
    }
}

/// Body of `POST /v1/logins/failed`: a login has failed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewLoginFailure {
    /// Whose login has failed: the user's id; of an account that does not exist what was typed.
    pub account: String,
    /// The client's address; none: failures of its address are not counted.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub ip_address: Option<IpAddr>,
    /// The device token that the client has shown.
    #[serde(default)]
    pub device_token: Option<String>,
}

impl fmt::Debug for NewLoginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account: _, ip_address, device_token } = self;
        f.debug_struct("NewLoginFailure")
            .field("ip_address", ip_address)
            .field("device_token", &device_token.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

/// Reply of `POST /v1/logins/failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginFailure {
    /// Whether it counts. If not, the account or the address was locked: answer as to any login while it is.
    pub counted: bool,
    /// Until when logins are refused now; none: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<UnixSeconds>,
    /// In how many seconds that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// Reply of `GET /v1/lockouts/{account}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lockout {
    /// Whether logins from devices that are not known are refused.
    pub locked: bool,
    /// Until when; none: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<UnixSeconds>,
    /// How many failed logins count at the moment.
    pub failures: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_lacks_the_tokens() {
        let guard = LoginGuard { device_token: Some("secret".to_owned()), issue_device_token: true };
        let token = DeviceToken { token: "secret".to_owned(), max_age: 1 };
        let failure: NewLoginFailure = serde_json::from_str(r#"{"account":"secret","device_token":"secret"}"#).unwrap();
        let shown = format!("{guard:?} {token:?} {failure:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
