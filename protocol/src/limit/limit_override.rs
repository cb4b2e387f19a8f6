//! A limit of its own for one key: `PUT /v1/limits/overrides/{key}`.

use serde::{Deserialize, Serialize};

use crate::UnixSeconds;

/// Body of `PUT /v1/limits/overrides/{key}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct NewLimitOverride {
    /// How many requests each quota of the limit allows this key, in their order: 1 to 8 numbers, each 1 to
    /// 1,000,000,000. Quotas beyond these stay as they are. A bucket that has its own `burst` keeps it. Required.
    pub requests: Vec<u64>,
    /// For how many seconds; none: until it is removed.
    pub duration: Option<u64>,
    /// Why, for whoever reads the list: at most 256 bytes.
    pub note: Option<String>,
}

/// An override in force, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitOverrideData {
    /// Of which key.
    pub key: String,
    /// How many requests each quota allows it.
    pub requests: Vec<u64>,
    /// Until when; none: until it is removed.
    pub expires_at: Option<UnixSeconds>,
    /// Why.
    pub note: Option<String>,
}
