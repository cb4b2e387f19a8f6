//! Workers that stay current whatever the store refuses.

use std::time::Duration;

use super::{Case, Promise, Verdict, broken};

/// How often a sidecar looks for its last record while the store refuses another: by so much older is what it says.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

impl Case<'_> {
    /// Where nothing is ever wrong but that the store refuses changes, a worker is current that its sidecar knows.
    pub(super) fn judge_current(&self) -> Verdict {
        let age = self.mind.age(self.now, self.clock);
        if !self.must_be_current || age.is_some_and(|age| age <= self.settings.max_staleness + LOOKS_EVERY) {
            return Ok(());
        }
        broken(Promise::Current, format!("what the worker knows is {age:?} old, and the store can be read"))
    }
}
