//! What is kept of a session's refresh tokens, in Redis: a field of the session's record.

use session_gate_protocol::{SessionId, SessionStatus, UnixSeconds};

use super::client::RedisStore;
use super::scripts;
use super::values::{parsed, secs};
use crate::store::{RefreshPut, RefreshRecord, StoreError, StoreErrorKind};

impl RedisStore {
    pub(super) async fn read_refresh(&self, id: &SessionId) -> Result<Option<RefreshRecord>, StoreError> {
        let keys = [&*self.keys.session(id), &self.keys.cut_offs(&id.tag())];
        let (now, text): (u64, Option<String>) =
            parsed(self.run(&scripts::REFRESH, &keys, &[], self.deadline()).await?)?;
        Ok(text.map(|text| RefreshRecord { text, now: UnixSeconds(now) }))
    }

    pub(super) async fn write_refresh(
        &self,
        id: &SessionId,
        before: Option<&str>,
        after: &str,
    ) -> Result<RefreshPut, StoreError> {
        let keys = [&*self.keys.session(id), &self.keys.cut_offs(&id.tag())];
        let resolution = secs(self.settings.activity_resolution);
        let arguments = [before.unwrap_or_default(), after, &resolution];
        let outcome: String = parsed(self.run(&scripts::PUT_REFRESH, &keys, &arguments, self.deadline()).await?)?;
        Ok(match outcome.as_str() {
            "done" => RefreshPut::Done,
            "changed" => RefreshPut::Changed,
            "unknown" => RefreshPut::NotFound,
            status => RefreshPut::Refused(
                SessionStatus::from_name(status).ok_or_else(|| StoreError::of_kind(StoreErrorKind::Corrupt))?,
            ),
        })
    }
}
