//! Rate limits.

mod limit;

pub use self::limit::{Cost, KeyPart, Limit, LimitHeaders, RequestsFrom, RouteLimits, StoreAway};
