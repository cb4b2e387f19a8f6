//! Whether the sidecar can be asked, said in Envoy's log. To clients a wrong cluster name or credential looks like a
//! sidecar that is down, and one that is down like a gate that refuses.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use log::warn;

/// For how long there is no good answer before it is said.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much time lies between two lines at least: two replicas of which one is wrong would fill the log.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// What keeps calls from being answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Envoy has no such cluster.
    NoCluster,
    /// The sidecar refuses the filter's credential, with this status.
    Refused(u16),
    /// It does not answer.
    Silent,
    /// It answers, or Envoy for it, with a status of 500 or more.
    Failing(u16),
}

/// What is known about one configuration's sidecar.
#[derive(Default)]
pub(crate) struct Reach {
    cluster: RefCell<String>,
    /// Since when there was no good answer, on the host's monotonic clock.
    failing_since: Cell<Option<Duration>>,
    /// What was said last, and when.
    said: Cell<Option<(Option<Trouble>, Duration)>>,
}

impl Reach {
    /// A call to that cluster was made, or could not be.
    pub(crate) fn on_call(&self, cluster: &str, was_made: bool, now: Duration) {
        if *self.cluster.borrow() != cluster {
            cluster.clone_into(&mut self.cluster.borrow_mut());
        }
        if !was_made {
            self.say(Some(Trouble::NoCluster), now);
        }
    }

    /// A call was answered with that status; `None`: it was not.
    pub(crate) fn on_reply(&self, status: Option<u16>, now: Duration) {
        let trouble = match status {
            Some(status @ (401 | 403)) => return self.say(Some(Trouble::Refused(status)), now),
            Some(status @ 500..) => Trouble::Failing(status),
            Some(_) => {
                self.failing_since.set(None);
                return self.say(None, now);
            }
            None => Trouble::Silent,
        };
        let since = self.failing_since.get().unwrap_or(now);
        self.failing_since.set(Some(since));
        if now.saturating_sub(since) >= PATIENCE {
            self.say(Some(trouble), now);
        }
    }

    fn say(&self, trouble: Option<Trouble>, now: Duration) {
        let said = self.said.get();
        let is_news = said.map_or(trouble.is_some(), |(said, _)| said != trouble);
        let is_early = said.is_some_and(|(_, at)| now.saturating_sub(at) < BETWEEN_LINES);
        // What is good again is said at once: somebody waits for it. So the next trouble has to wait.
        if !is_news || (is_early && trouble.is_some()) {
            return;
        }
        self.said.set(Some((trouble, now)));
        let cluster = self.cluster.borrow();
        match trouble {
            Some(Trouble::NoCluster) => warn!(
                "session_gate: there is no cluster {cluster:?} to reach the sidecar by: correct sidecar.cluster, or \
                 define the cluster"
            ),
            Some(Trouble::Refused(status)) => warn!(
                "session_gate: the sidecar behind the cluster {cluster:?} answers {status} to the filter: set \
                 sidecar.credential to one of its filter credentials"
            ),
            Some(Trouble::Silent) => warn!(
                "session_gate: the sidecar behind the cluster {cluster:?} does not answer: routes do what their \
                 failure_mode says"
            ),
            Some(Trouble::Failing(status)) => warn!(
                "session_gate: the sidecar behind the cluster {cluster:?} answers {status}, or Envoy for it: the \
                 cluster has no healthy endpoint, or the sidecar cannot read its store"
            ),
            None => warn!("session_gate: the sidecar behind the cluster {cluster:?} answers again"),
        }
    }
}
