//! What scripts take and reply.

use std::time::Duration;

use redis::FromRedisValue;

use crate::store::{MAX_LIFETIME, StoreError, StoreErrorKind};

/// Whole seconds, as the scripts take them.
pub(super) fn secs(duration: Duration) -> String {
    duration.min(MAX_LIFETIME).as_secs().to_string()
}

/// What Redis replied.
pub(super) fn parsed<T: FromRedisValue>(value: redis::Value) -> Result<T, StoreError> {
    T::from_redis_value(value).map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))
}
