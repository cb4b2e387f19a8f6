//! How long anything takes at most, and how often anything is tried.

use std::time::Duration;

/// What a step costs its caller at most: connecting, waiting for a connection and for the answer
/// included. A filter that asks waits for it with a client's request in its hand, and can do better
/// than wait: its failure mode says what.
pub const STEP_TIMEOUT: Duration = Duration::from_millis(250);

/// What an attempt to connect may take, TLS and login included. No caller waits for all of it.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Between the beginnings of two attempts to connect, and the same after several: soon enough to be back within a second.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(200);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// How often an idle connection is tried, so that a loss is noticed before a caller needs it.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);

/// What a heartbeat may take until the connection is given up.
pub(super) const HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(250);

/// How often it is asked anew who is the master, while a server is used that its replicas have left.
pub(super) const DESERTED_FOR: Duration = Duration::from_secs(5);
