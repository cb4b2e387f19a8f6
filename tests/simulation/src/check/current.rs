//! Workers that stay current whatever the store refuses.

use super::{Case, Promise, Verdict, broken};

impl Case<'_> {
    /// Where nothing is ever wrong but that the store refuses changes, a worker is current that its sidecar knows.
    pub(super) fn judge_current(&self) -> Verdict {
        if !self.must_be_current || self.is_current() {
            return Ok(());
        }
        let age = self.mind.age(self.now, self.clock);
        broken(Promise::Current, format!("what the worker knows is {age:?} old, and the store can be read"))
    }
}
