//! What a route's application may say of sessions.

use serde::Deserialize;

/// What a route's application may say of sessions by headers of its answers. What is not named here is not followed.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawSessionCommands {
    /// Which commands are followed. Required.
    pub allow: Vec<RawSessionCommand>,
    /// The scopes that the application may give. Default: none.
    pub scopes: Vec<String>,
    /// What it may say that a user has proved (RFC 8176): `pwd`, `otp`. Default: nothing.
    pub amr: Vec<String>,
    /// The classes of sessions that it may choose. Default: none.
    pub classes: Vec<String>,
    /// Whether it may name another user than the one signed in, on a route with `authentication: required`.
    pub switch_user: bool,
    /// Whether answers to GET requests are followed too: of page loads that come back from an identity provider, and of
    /// logouts that are links which the user has followed on a page of the same origin.
    pub on_navigation: bool,
    /// How the client gets its token. Default: `cookie`.
    pub token: Option<RawTokenDelivery>,
    /// Where a login names its account: the lock is then asked before the application sees it as well. With `login_failed`
    /// in `allow`. Default: nowhere but in the answer.
    pub account_from: Option<RawAccountSource>,
    /// Whether an answer must repeat the `x-session-nonce` of its request: one that a cache has kept cannot.
    pub require_nonce: bool,
    /// What a browser is told to clear at logout (`Clear-Site-Data`). Default: nothing.
    pub clear_site_data: Vec<RawSiteData>,
}

/// What an application may say of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawSessionCommand {
    /// `x-session-elevate`: the signed-in user has proved more.
    Elevate,
    /// `x-session-login`: a user has logged in.
    Login,
    /// `x-session-login-failed`: a login has failed. It counts, and the lock is asked before a login or an elevation.
    LoginFailed,
    /// `x-session-logout`: sessions end.
    Logout,
    /// `x-session-password-changed`: a password was changed.
    PasswordChanged,
}

/// Where a login names its account.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawAccountSource {
    /// In `Authorization: Basic`, as its user-id (RFC 7617).
    Basic,
    /// In the header of that name.
    Header(String),
    /// In dynamic metadata, where a filter before this one has read it in the body.
    Metadata(RawMetadataKey),
}

/// A text in dynamic metadata.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawMetadataKey {
    /// The namespace that the filter writes to.
    pub namespace: String,
    /// The key in it.
    pub key: String,
}

/// How a client gets its token.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawTokenDelivery {
    /// In the session cookie.
    Cookie,
    /// In the header `x-session-token`.
    Header,
}

/// What a browser may be told to clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawSiteData {
    /// What it has cached of this origin.
    Cache,
    /// All cookies of the whole registrable domain, those of sibling hosts too.
    Cookies,
    /// What pages of this origin have stored.
    Storage,
}
