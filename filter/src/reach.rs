//! Whether the sidecar can be asked at all, said in Envoy's log. To clients a wrong cluster name or credential
//! looks like a sidecar that is down.

use std::cell::{Cell, RefCell};

use log::warn;

/// What keeps every call from being answered, until somebody mends a configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Envoy has no such cluster.
    NoCluster,
    /// The sidecar refuses the filter's credential, with this status.
    Refused(u16),
}

/// What is known about one configuration's sidecar.
#[derive(Default)]
pub(crate) struct Reach {
    cluster: RefCell<String>,
    trouble: Cell<Option<Trouble>>,
}

impl Reach {
    /// A call to that cluster was made, or could not be.
    pub(crate) fn on_call(&self, cluster: &str, was_made: bool) {
        if *self.cluster.borrow() != cluster {
            cluster.clone_into(&mut self.cluster.borrow_mut());
        }
        if !was_made {
            self.set(Some(Trouble::NoCluster));
        }
    }

    /// A call was answered with that status; `None`: it was not.
    pub(crate) fn on_reply(&self, status: Option<u16>) {
        match status {
            Some(status @ (401 | 403)) => self.set(Some(Trouble::Refused(status))),
            Some(_) => self.set(None),
            None => {}
        }
    }

    fn set(&self, trouble: Option<Trouble>) {
        if self.trouble.replace(trouble) == trouble {
            return;
        }
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
            None => warn!("session_gate: the sidecar behind the cluster {cluster:?} answers again"),
        }
    }
}
