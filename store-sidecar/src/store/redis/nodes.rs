//! The servers behind one store: one, or the nodes of a Cluster, each with a connection of its own. So a node that hangs
//! costs the users of the others nothing.
//!
//! On a Cluster a step goes where its first key lives. It is sent again where a node says that the slot is elsewhere, or not
//! ready; and where the connection was lost with the answer: each step that comes again is answered as the first time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};
use tokio::time::{Instant, sleep};

use super::connector::Connector;
use super::link::{Link, QueryError};
use super::options::{RedisOptions, Target};
use super::topology::{Node, SlotMap, Topology, at, slot_of};
use crate::store::{StoreError, StoreErrorKind};

/// How often a step is sent elsewhere, at most.
const MAX_SENT: u32 = 8;

/// Before a step is sent again that a node is not ready for, or whose connection was lost.
const NOT_READY_PAUSE: Duration = Duration::from_millis(20);

pub(super) enum Nodes {
    One(Link),
    Cluster(Box<Cluster>),
}

pub(super) struct Cluster {
    topology: Arc<Topology>,
    seed: ConnectionInfo,
    options: RedisOptions,
    links: Mutex<Links>,
}

/// The connections that there are.
#[derive(Default)]
struct Links {
    of: HashMap<Node, Arc<Link>>,
    /// The map that they were held against last.
    map: Option<Arc<SlotMap>>,
}

/// What to do about an error of a Cluster's node.
enum Next {
    /// It belongs to that node.
    Moved(Node),
    /// It is to be asked of that node, this once.
    Ask(Node),
    /// The node is not ready for it.
    Wait,
    /// The connection was lost: nobody knows whether it was done.
    Lost,
    /// It is the answer.
    Fail,
}

// === impl Nodes ===

impl Nodes {
    /// Starts to connect to one server, or to the master that Sentinels name.
    pub(super) fn one(options: &RedisOptions) -> RedisResult<Self> {
        Ok(Self::One(Link::start(Connector::new(options)?, options.step_timeout)))
    }

    /// As many of them as asked for, with connections of their own each.
    pub(super) fn start<const N: usize>(options: &RedisOptions) -> RedisResult<[Self; N]> {
        let cluster = match &options.target {
            Target::Cluster(seeds) => {
                seeds.first().map(|seed| (Arc::new(Topology::start(seeds, options)), seed.clone()))
            }
            Target::Single(_) | Target::Sentinel { .. } => None,
        };
        let mut all = Vec::with_capacity(N);
        for _ in 0..N {
            all.push(match &cluster {
                Some((topology, seed)) => Self::Cluster(Box::new(Cluster {
                    topology: Arc::clone(topology),
                    seed: seed.clone(),
                    options: options.clone(),
                    links: Mutex::default(),
                })),
                None => Self::one(options)?,
            });
        }
        all.try_into().map_err(|_| (ErrorKind::InvalidClientConfig, "no server is named").into())
    }

    /// Sends a command where that key lives, and waits for its answer until `deadline` at most.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, QueryError> {
        match self {
            Self::One(link) => link.query(command, false, deadline).await,
            Self::Cluster(cluster) => cluster.query(slot_of(key), command, deadline).await,
        }
    }

    /// Sends a command to each server, and waits for all answers until `deadline` at most.
    ///
    /// # Errors
    /// Where it is not known which there are.
    pub(super) async fn query_each<T: FromRedisValue>(
        &self,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Vec<Result<T, QueryError>>, StoreError> {
        match self {
            Self::One(link) => Ok(vec![link.query(command, false, deadline).await]),
            Self::Cluster(cluster) => {
                let map = cluster.topology.map(deadline).await?;
                let links = map.nodes().into_iter().map(|node| cluster.link(node)).collect::<Result<Vec<_>, _>>()?;
                let answers = links.iter().map(|link| link.query(command, false, deadline));
                Ok(futures_util::future::join_all(answers).await)
            }
        }
    }
}

// === impl Cluster ===

impl Cluster {
    async fn query<T: FromRedisValue>(&self, slot: u16, command: &Cmd, deadline: Instant) -> Result<T, QueryError> {
        let mut node: Option<Node> = None;
        let mut asking = false;
        for _ in 0..MAX_SENT {
            let target = match node.take() {
                Some(node) => node,
                None => self.node_of(slot, deadline).await?,
            };
            let answer = self.link(&target)?.query(command, std::mem::take(&mut asking), deadline).await;
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match next(&error) {
                Next::Moved(moved) => {
                    self.topology.is_wrong();
                    node = Some(moved);
                }
                Next::Ask(other) => {
                    asking = true;
                    node = Some(other);
                }
                // The link connects anew meanwhile.
                Next::Wait | Next::Lost => {
                    self.topology.is_wrong();
                    sleep(NOT_READY_PAUSE).await;
                }
                Next::Fail => {
                    if matches!(error, QueryError::Store(_)) {
                        // It is silent or away: another node may have taken its place.
                        self.topology.is_wrong();
                    }
                    return Err(error);
                }
            }
            if deadline <= Instant::now() {
                return Err(error);
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "the Cluster's nodes send a step to and fro").into())
    }

    async fn node_of(&self, slot: u16, deadline: Instant) -> Result<Node, StoreError> {
        let map = self.topology.map(deadline).await?;
        map.node(slot).cloned().ok_or_else(|| {
            self.topology.is_wrong();
            StoreError::new(StoreErrorKind::Unavailable, "no node of the Cluster has that slot")
        })
    }

    /// The connection to that node, made if there is none.
    fn link(&self, node: &Node) -> Result<Arc<Link>, StoreError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.follow(self.topology.latest());
        if let Some(link) = links.of.get(node) {
            return Ok(Arc::clone(link));
        }
        let unusable =
            || StoreError::new(StoreErrorKind::Unavailable, "a node of the Cluster cannot be reached that way");
        let info = at(&self.seed, node).ok_or_else(unusable)?;
        let connector = Connector::node(&info, &self.options).map_err(|_| unusable())?;
        let link = Arc::new(Link::start(connector, self.options.step_timeout));
        links.of.insert(node.clone(), Arc::clone(&link));
        Ok(link)
    }
}

impl Links {
    /// Drops the connections to nodes that have left the Cluster, or they would be told the password for ever.
    fn follow(&mut self, map: Option<Arc<SlotMap>>) {
        let Some(map) = map else { return };
        if self.map.as_ref().is_some_and(|known| Arc::ptr_eq(known, &map)) {
            return;
        }
        let nodes = map.nodes();
        self.of.retain(|node, _| nodes.contains(&node));
        self.map = Some(map);
    }
}

fn next(error: &QueryError) -> Next {
    let QueryError::Redis(error) = error else { return Next::Fail };
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved) => redirected(error).map_or(Next::Wait, Next::Moved),
        ErrorKind::Server(ServerErrorKind::Ask) => redirected(error).map_or(Next::Wait, Next::Ask),
        ErrorKind::Server(
            ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::ReadOnly,
        ) => Next::Wait,
        _ if error.is_io_error() || error.is_unrecoverable_error() => Next::Lost,
        _ => Next::Fail,
    }
}

/// The node that the error names.
fn redirected(error: &RedisError) -> Option<Node> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    (!host.is_empty()).then_some(())?;
    Some((host.to_owned(), port.parse().ok()?))
}
