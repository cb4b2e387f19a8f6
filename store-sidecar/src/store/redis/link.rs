//! One connection to one server, kept up by a task in the background, so that no caller ever waits
//! for it longer than a step may take.
//!
//! ```text
//! Connecting ──connected──▶ Up ──lost, or silent──▶ Connecting
//!     │                     ▲
//!   failed                  │
//!     ▼                     │
//!   Away ──connected────────┘   (tried again and again; callers fail at once meanwhile)
//! ```
//!
//! A server that hangs keeps its connections open and even accepts new ones, so silence is found out
//! by asking: after each step that ran out of time, and on every heartbeat.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::connector::{Connection, Connector};
use super::error::{Doubt, doubt, store_error};
use super::timing::{DESERTED_FOR, HEARTBEAT, HEARTBEAT_TIMEOUT, LONGEST_PAUSE, RETRY_PAUSE};
use crate::critical;
use crate::store::{StoreError, StoreErrorKind};

pub(super) struct Link {
    state: watch::Receiver<State>,
    doubts: mpsc::Sender<Doubted>,
    supervisor: tokio::task::AbortHandle,
}

#[derive(Clone)]
enum State {
    /// The first attempt, or the first since the connection was lost.
    Connecting,
    Up(Established),
    /// The last attempt failed.
    Away(Away),
}

#[derive(Clone)]
struct Established {
    connection: Connection,
    /// Tells doubts about this connection from late ones about those before it.
    number: u64,
}

/// Why there is no connection.
#[derive(Clone, Debug, Error)]
#[error("Redis is away: {cause}")]
struct Away {
    kind: StoreErrorKind,
    cause: Arc<str>,
}

struct Doubted {
    number: u64,
    doubt: Doubt,
}

/// The time that a step has is over.
#[derive(Debug, Error)]
#[error("no answer from Redis in the time that a step has")]
struct OutOfTime;

impl Link {
    /// Starts to connect and does not wait for it. A server that takes longer to answer than a step may is silent.
    pub(super) fn start(connector: Connector, step_timeout: Duration) -> Self {
        let (state_sender, state) = watch::channel(State::Connecting);
        // One doubt is enough to act upon.
        let (doubts, doubts_receiver) = mpsc::channel(1);
        let supervisor = Supervisor {
            connector,
            patience: HEARTBEAT_TIMEOUT.max(step_timeout),
            state: state_sender,
            doubts: doubts_receiver,
        };
        let supervisor = critical::spawn("the keeping of the connection to Redis", supervisor.run());
        Self { state, doubts, supervisor }
    }

    /// Sends a command and waits for its answer until `deadline` at most, whatever state Redis and
    /// the network are in. `asking`: the server is about to take over the command's slot.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        asking: bool,
        deadline: Instant,
    ) -> Result<T, QueryError> {
        let mut used = None;
        let answer = timeout_at(deadline, async {
            let Established { mut connection, number } = self.connection().await?;
            used = Some(number);
            let answer = if asking { connection.query_asking(command).await } else { connection.query(command).await };
            answer.map_err(QueryError::Redis)
        })
        .await;
        let (answer, doubt) = match answer {
            Err(_) => (Err(StoreError::new(StoreErrorKind::Timeout, OutOfTime).into()), Some(Doubt::Silent)),
            Ok(Err(QueryError::Redis(error))) => {
                let doubt = doubt(&error);
                (Err(QueryError::Redis(error)), doubt)
            }
            Ok(answer) => (answer, None),
        };
        if let (Some(number), Some(doubt)) = (used, doubt) {
            // Where one waits to be looked at already, that will do.
            let _ = self.doubts.try_send(Doubted { number, doubt });
        }
        answer
    }

    async fn connection(&self) -> Result<Established, StoreError> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| !matches!(state, State::Connecting)).await;
        match state.as_deref() {
            Ok(State::Up(established)) => Ok(established.clone()),
            Ok(State::Away(away)) => Err(StoreError::new(away.kind, away.clone())),
            // The supervisor has ended: the runtime is shutting down.
            Ok(State::Connecting) | Err(_) => Err(StoreError::of_kind(StoreErrorKind::Unavailable)),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// Why a command has no answer.
#[derive(Debug)]
pub(super) enum QueryError {
    /// Redis answered with an error, or the connection failed.
    Redis(RedisError),
    /// There was no connection, or no answer in time.
    Store(StoreError),
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<QueryError> for StoreError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Redis(error) => store_error(error),
            QueryError::Store(error) => error,
        }
    }
}

/// Keeps the connection up.
struct Supervisor {
    connector: Connector,
    /// What a heartbeat may take.
    patience: Duration,
    state: watch::Sender<State>,
    doubts: mpsc::Receiver<Doubted>,
}

impl Supervisor {
    async fn run(mut self) {
        let mut pause = RETRY_PAUSE;
        for number in 1.. {
            let earliest_next = Instant::now() + pause;
            // Less and less often, but so often that it is back within a second.
            pause = LONGEST_PAUSE.min(pause * 2);
            if let Some(connection) = self.connect(number).await {
                pause = RETRY_PAUSE;
                self.watch_over(connection, number).await;
                tracing::warn!("lost the connection to Redis");
                self.state.send_replace(State::Connecting);
            }
            // So that a server which accepts connections and refuses commands is not stormed.
            sleep_until(earliest_next).await;
        }
    }

    /// Tries to connect and tells the result. Answers what is to be watched over.
    async fn connect(&mut self, number: u64) -> Option<Connection> {
        let limit = self.connector.connect_timeout().max(self.patience);
        let away = match timeout(limit, self.connector.connect()).await {
            Ok(Ok(connection)) => {
                tracing::info!("connected to Redis");
                self.state.send_replace(State::Up(Established { connection: connection.clone(), number }));
                return Some(connection);
            }
            Ok(Err(error)) => {
                // Whatever else it may be, such as a peer that does not speak Redis' protocol.
                let kind = if error.is_timeout() { StoreErrorKind::Timeout } else { StoreErrorKind::Unavailable };
                Away { kind, cause: error.to_string().into() }
            }
            Err(_) => Away { cause: "no connection in time".into(), kind: StoreErrorKind::Timeout },
        };
        if !matches!(&*self.state.borrow(), State::Away(_)) {
            tracing::warn!(%away, "cannot reach Redis");
        }
        self.state.send_replace(State::Away(away));
        None
    }

    /// Returns once the connection is broken, or does not answer.
    async fn watch_over(&mut self, mut connection: Connection, number: u64) {
        let connected = Instant::now();
        loop {
            tokio::select! {
                () = sleep(HEARTBEAT) => {}
                doubted = self.doubts.recv() => match doubted {
                    Some(Doubted { number: about, doubt }) if about == number => {
                        match doubt {
                            Doubt::Broken => return,
                            Doubt::Deserted if connected.elapsed() >= DESERTED_FOR => return,
                            Doubt::Deserted => continue,
                            Doubt::Silent => {}
                        }
                    }
                    Some(_) => continue,
                    None => return,
                }
            }
            if !matches!(timeout(self.patience, connection.ping()).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}
