//! The one connection to Redis, kept up by a task in the background, so that no caller ever waits
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
//! by asking: after each step that ran out of time, and on every heartbeat. A Cluster's connection
//! looks after its nodes itself; it is replaced when a step ran out of time, since it does not
//! notice that a silent node has been replaced, and stays in use until then.

use std::sync::Arc;

use redis::{Cmd, FromRedisValue, RedisError};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::connector::{Connection, Connector};
use super::error::{doubt, store_error};
use super::{DESERTED_FOR, HEARTBEAT, HEARTBEAT_TIMEOUT};
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

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It cannot be used any more.
    Broken,
    /// It did not answer in time.
    Silent,
    /// The server's replicas have left it: another one may have taken its place.
    Deserted,
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
    /// Starts to connect and does not wait for it.
    pub(super) fn start(connector: Connector) -> Self {
        let (state_sender, state) = watch::channel(State::Connecting);
        // One doubt is enough to act upon.
        let (doubts, doubts_receiver) = mpsc::channel(1);
        let supervisor = Supervisor { connector, state: state_sender, doubts: doubts_receiver };
        let supervisor = critical::spawn("the keeping of the connection to Redis", supervisor.run());
        Self { state, doubts, supervisor }
    }

    /// Sends a command and waits for its answer until `deadline` at most, whatever state Redis and
    /// the network are in.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd, deadline: Instant) -> Result<T, QueryError> {
        let mut used = None;
        let answer = timeout_at(deadline, async {
            let Established { mut connection, number } = self.connection().await?;
            used = Some(number);
            connection.query(command).await.map_err(QueryError::Redis)
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
    state: watch::Sender<State>,
    doubts: mpsc::Receiver<Doubted>,
}

impl Supervisor {
    async fn run(mut self) {
        for number in 1.. {
            let earliest_next = Instant::now() + self.connector.retry_pause();
            if self.connect(number).await {
                self.wait_for_doubt(number).await;
            }
            // So that a server which accepts connections and refuses commands is not stormed.
            sleep_until(earliest_next).await;
        }
    }

    /// Tries to connect and tells the result. Answers whether there is something to watch over.
    async fn connect(&mut self, number: u64) -> bool {
        let limit = self.connector.connect_timeout();
        let away = match timeout(limit, self.connector.connect()).await {
            Ok(Ok(connection)) => {
                tracing::info!("connected to Redis");
                self.state.send_replace(State::Up(Established { connection, number }));
                return true;
            }
            Ok(Err(error)) => {
                // Whatever else it may be, such as a peer that does not speak Redis' protocol.
                let kind = if error.is_timeout() { StoreErrorKind::Timeout } else { StoreErrorKind::Unavailable };
                Away { kind, cause: error.to_string().into() }
            }
            Err(_) => Away { cause: "no connection in time".into(), kind: StoreErrorKind::Timeout },
        };
        // A Cluster's connection that is still in use may serve the other nodes.
        let keeps = matches!(&*self.state.borrow(), State::Up(_));
        if keeps {
            tracing::debug!(%away, "the Redis Cluster's nodes could not be asked anew");
            return false;
        }
        if !matches!(&*self.state.borrow(), State::Away(_)) {
            tracing::warn!(%away, "cannot reach Redis");
        }
        self.state.send_replace(State::Away(away));
        false
    }

    /// Returns once the connection must be replaced.
    async fn wait_for_doubt(&mut self, number: u64) {
        let Established { connection, .. } = match &*self.state.borrow() {
            State::Up(established) => established.clone(),
            State::Connecting | State::Away(_) => return,
        };
        match connection {
            // It stays in use until another one is there.
            Connection::Cluster(_) => while self.doubts.recv().await.is_some_and(|doubted| doubted.number != number) {},
            Connection::Single(_) => {
                self.watch_over(connection, number).await;
                tracing::warn!("lost the connection to Redis");
                self.state.send_replace(State::Connecting);
            }
        }
    }

    /// Returns once a single server's connection is broken, or does not answer.
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
            if !matches!(timeout(HEARTBEAT_TIMEOUT, connection.ping()).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}
