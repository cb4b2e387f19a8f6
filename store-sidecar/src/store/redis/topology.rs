//! Which node of a Cluster has which slot, as its nodes say. Kept up by a task in the background, which asks anew when
//! somebody has found that it is not so any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{Cmd, ConnectionAddr, ConnectionInfo, RedisResult, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connector::Connector;
use super::options::RedisOptions;
use super::timing::{CONNECT_TIMEOUT, RETRY_PAUSE};
use super::values::parsed;
use crate::critical;
use crate::store::{StoreError, StoreErrorKind};

/// Between two times that the nodes are asked, however many find that the map is wrong.
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// How often they are asked although nobody has.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// How many slots there are.
const SLOTS: u16 = 16_384;

/// Where a node is.
pub(super) type Node = (String, u16);

/// Which node has which slots: the last of each range, and the node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SlotMap(BTreeMap<u16, (u16, Node)>);

/// The map, and what keeps it up.
pub(super) struct Topology {
    map: watch::Receiver<Option<Arc<SlotMap>>>,
    wrong: Arc<Notify>,
    keeper: AbortHandle,
}

/// The task.
struct Keeper {
    options: RedisOptions,
    seeds: Vec<ConnectionInfo>,
    map: watch::Sender<Option<Arc<SlotMap>>>,
    wrong: Arc<Notify>,
}

/// The slot of that key: by what stands between its first brace and the next.
pub(super) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    crc16::State::<crc16::XMODEM>::calculate(hashed.as_bytes()) % SLOTS
}

// === impl SlotMap ===

impl SlotMap {
    /// The node that has that slot.
    pub(super) fn node(&self, slot: u16) -> Option<&Node> {
        self.0.range(slot..).next().filter(|(_, (first, _))| *first <= slot).map(|(_, (_, node))| node)
    }

    /// All nodes that have slots, each once.
    pub(super) fn nodes(&self) -> Vec<&Node> {
        let mut nodes: Vec<&Node> = self.0.values().map(|(_, node)| node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// The reply to `CLUSTER SLOTS` of the node `asked`. A node that does not know its own name has none in it.
    fn read(reply: Value, asked: &str) -> Result<Self, StoreError> {
        let corrupt = || StoreError::of_kind(StoreErrorKind::Corrupt);
        let Value::Array(ranges) = reply else { return Err(corrupt()) };
        let mut map = BTreeMap::new();
        for range in ranges {
            let Value::Array(parts) = range else { return Err(corrupt()) };
            let mut parts = parts.into_iter();
            let mut next = || parts.next().ok_or_else(corrupt);
            let (first, last): (u16, u16) = (parsed(next()?)?, parsed(next()?)?);
            let Value::Array(primary) = next()? else { return Err(corrupt()) };
            let mut primary = primary.into_iter();
            let host: Option<String> = parsed(primary.next().ok_or_else(corrupt)?)?;
            let port: u16 = parsed(primary.next().ok_or_else(corrupt)?)?;
            let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked.to_owned());
            map.insert(last, (first, (host, port)));
        }
        Ok(Self(map))
    }
}

// === impl Topology ===

impl Topology {
    /// Starts to ask and does not wait for it.
    pub(super) fn start(seeds: &[ConnectionInfo], options: &RedisOptions) -> Self {
        let (map, receiver) = watch::channel(None);
        let wrong = Arc::new(Notify::new());
        let keeper = Keeper { options: options.clone(), seeds: seeds.to_vec(), map, wrong: Arc::clone(&wrong) };
        let keeper = critical::spawn("the keeping of the Cluster's map", keeper.run());
        Self { map: receiver, wrong, keeper }
    }

    /// The map, once there is one.
    pub(super) async fn map(&self, deadline: Instant) -> Result<Arc<SlotMap>, StoreError> {
        let mut map = self.map.clone();
        let known = timeout_at(deadline, map.wait_for(Option::is_some)).await;
        known.ok().and_then(|known| known.ok()?.clone()).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Timeout, "no node of the Cluster has said who has which slots")
        })
    }

    /// The map as it is known now, if it is.
    pub(super) fn latest(&self) -> Option<Arc<SlotMap>> {
        self.map.borrow().clone()
    }

    /// Somebody has found that it is not so.
    pub(super) fn is_wrong(&self) {
        self.wrong.notify_one();
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

// === impl Keeper ===

impl Keeper {
    async fn run(self) {
        loop {
            let pause = match self.ask().await {
                Some(map) => {
                    let map = Arc::new(map);
                    self.map.send_if_modified(|known| {
                        let is_new = known.as_ref() != Some(&map);
                        if is_new {
                            tracing::info!(nodes = map.nodes().len(), "the Redis Cluster's slots are known");
                            *known = Some(Arc::clone(&map));
                        }
                        is_new
                    });
                    ASK_PAUSE
                }
                None => {
                    tracing::warn!("no node of the Redis Cluster says who has which slots");
                    RETRY_PAUSE
                }
            };
            sleep(pause).await;
            if self.map.borrow().is_some() {
                drop(timeout(ASK_EVERY, self.wrong.notified()).await);
            }
        }
    }

    /// Asks all nodes that are known, and takes the first answer that has slots.
    async fn ask(&self) -> Option<SlotMap> {
        let known = self.map.borrow().clone();
        let nodes = known.as_ref().map(|map| map.nodes()).unwrap_or_default();
        let nodes = nodes.into_iter().filter_map(|node| at(self.seeds.first()?, node));
        let nodes = nodes.chain(self.seeds.iter().cloned());
        let mut asked: FuturesUnordered<_> = nodes.map(|node| self.ask_one(node)).collect();
        while let Some(map) = asked.next().await {
            if map.is_some() {
                return map;
            }
        }
        None
    }

    async fn ask_one(&self, node: ConnectionInfo) -> Option<SlotMap> {
        let host = match node.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => return None,
        };
        let slots = async {
            let mut connection = Connector::node(&node, &self.options)?.connect().await?;
            let mut command: Cmd = redis::cmd("CLUSTER");
            command.arg("SLOTS");
            let reply: RedisResult<Value> = connection.query(&command).await;
            reply
        };
        let reply = timeout(CONNECT_TIMEOUT, slots).await.ok()?.ok()?;
        SlotMap::read(reply, &host).ok().filter(|map| !map.0.is_empty())
    }
}

/// That node, reached as the seed is.
pub(super) fn at(seed: &ConnectionInfo, (host, port): &Node) -> Option<ConnectionInfo> {
    let (host, port) = (host.clone(), *port);
    let addr = match seed.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        ConnectionAddr::Tcp(..) => ConnectionAddr::Tcp(host, port),
        _ => return None,
    };
    Some(seed.clone().set_addr(addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_slot_of_its_tag() {
        // As `CLUSTER KEYSLOT` says.
        for (key, slot) in
            [("", 0), ("123456789", 12739), ("{123456789}x", 12739), ("a{123456789}", 12739), ("{}a", 10875)]
        {
            assert_eq!(slot_of(key), slot, "{key}");
        }
    }

    #[test]
    fn a_reply_is_read_as_it_is_meant() {
        let node = |host: Option<&str>, port: i64| {
            let host = host.map_or(Value::Nil, |host| Value::BulkString(host.as_bytes().to_vec()));
            Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())])
        };
        let range = |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let reply = Value::Array(vec![range(0, 99, node(Some("a"), 1)), range(200, 299, node(None, 2))]);
        let map = SlotMap::read(reply, "asked").unwrap();
        let node = |slot| map.node(slot).map(|(host, port)| (host.as_str(), *port));
        assert_eq!((node(0), node(99), node(100), node(199)), (Some(("a", 1)), Some(("a", 1)), None, None));
        assert_eq!((node(200), node(299), node(300)), (Some(("asked", 2)), Some(("asked", 2)), None));
        assert_eq!(map.nodes().len(), 2);
        SlotMap::read(Value::Okay, "asked").unwrap_err();
    }
}
