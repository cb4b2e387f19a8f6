//! Where page loads are sent that lack a login.

use serde::Deserialize;

/// Where page loads are sent that lack a login.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawLogin {
    /// The login page: a path such as `/login/`, or an absolute https URL; it may have a query. Required.
    pub url: Option<String>,
    /// The parameter that tells it which path to lead back to. Default: `next`.
    pub next_parameter: Option<String>,
    /// Where a session enters its second factor, likewise. Default: at the login page.
    pub second_factor_url: Option<String>,
}

/// A route's own, or `false`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "{url, next_parameter, second_factor_url}, or false")]
pub enum RawRouteLogin {
    /// `false`: nowhere.
    Off(bool),
    /// There.
    At(RawLogin),
}
