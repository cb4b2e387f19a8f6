//! What Redis says about itself, as far as this product depends on it.

use std::collections::HashMap;

use tokio::time::Instant;

use super::error::is_refusal;
use super::link::QueryError;
use super::nodes::Nodes;
use crate::store::StoreError;

/// What Redis is set to do. On a Cluster: what its primaries are, taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The version of Redis, or the one that Valkey is compatible with.
    pub version: Option<String>,
    /// Whether it may evict keys.
    pub eviction: Eviction,
    /// Whether an append-only file is written; none: unknown.
    pub append_only_file: Option<bool>,
    /// Whether snapshots are written now and then; none: unknown.
    pub snapshots: Option<bool>,
    /// Bytes in use; none: unknown.
    pub used_memory: Option<u64>,
}

/// Whether Redis may evict keys when its memory is full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// Never: it refuses writes instead. What this product needs.
    Never,
    /// By this policy.
    Policy(String),
    /// It does not tell.
    #[default]
    Unknown,
}

impl Report {
    /// Asks Redis. What it refuses to tell is unknown, not an error. On a Cluster the report is of the nodes that answer; and
    /// the error of one that does not comes beside it.
    pub(super) async fn ask(nodes: &Nodes, deadline: Instant) -> Result<(Self, Option<StoreError>), StoreError> {
        let (told, silent) = info(nodes, "default", deadline).await?;
        let mut report = Self {
            version: first(&told, "redis_version"),
            eviction: eviction(told.iter().filter_map(|node| field(node, "maxmemory_policy"))),
            append_only_file: all(&told, "aof_enabled"),
            snapshots: None,
            used_memory: used_memory(&told).filter(|_| silent.is_none()),
        };
        if report.eviction == Eviction::Unknown && silent.is_none() {
            let policy = setting(nodes, "maxmemory-policy", deadline).await?;
            report.eviction = eviction(policy.as_deref().into_iter());
        }
        if silent.is_none() {
            report.snapshots = setting(nodes, "save", deadline).await?.map(|rules| !rules.is_empty());
        }
        Ok((report, silent))
    }

    /// Only what can become wrong: the memory in use, and whether it may evict.
    pub(super) async fn ask_briefly(
        nodes: &Nodes,
        deadline: Instant,
    ) -> Result<(Self, Option<StoreError>), StoreError> {
        let (told, silent) = info(nodes, "memory", deadline).await?;
        let eviction = eviction(told.iter().filter_map(|node| field(node, "maxmemory_policy")));
        let used_memory = used_memory(&told).filter(|_| silent.is_none());
        Ok((Self { eviction, used_memory, ..Self::default() }, silent))
    }

    /// Tells the operator what would be lost with Redis' process.
    pub(super) fn log(&self) {
        let Self { version, eviction, append_only_file, snapshots, used_memory: _ } = self;
        match (append_only_file, snapshots) {
            (Some(true), _) => {
                tracing::info!(?version, ?eviction, append_only_file, snapshots, "Redis keeps its data on disk");
            }
            (_, Some(true)) => tracing::warn!(
                ?version,
                ?eviction,
                append_only_file,
                snapshots,
                "Redis writes snapshots only: a crash loses the revocations since the last one"
            ),
            (Some(false), Some(false)) => tracing::warn!(
                ?version,
                ?eviction,
                append_only_file,
                snapshots,
                "Redis keeps nothing on disk: a restart forgets all sessions and revocations"
            ),
            _ => tracing::warn!(
                ?version,
                ?eviction,
                append_only_file,
                snapshots,
                "Redis does not tell whether it keeps its data on disk"
            ),
        }
        if *eviction == Eviction::Unknown {
            tracing::warn!(
                "Redis does not tell its maxmemory-policy: make sure that it is noeviction, an evicted revocation \
                 lets a revoked token pass again"
            );
        }
    }
}

/// INFO of the server, or of each primary of a Cluster that answers; and the error of one that does not.
async fn info(
    nodes: &Nodes,
    section: &str,
    deadline: Instant,
) -> Result<(Vec<String>, Option<StoreError>), StoreError> {
    let mut command = redis::cmd("INFO");
    command.arg(section);
    let (mut told, mut silent) = (Vec::new(), None);
    for answer in nodes.query_each::<String>(&command, deadline).await? {
        match allowed(answer) {
            Ok(text) => told.extend(text),
            Err(error) => silent = Some(error),
        }
    }
    match silent {
        Some(error) if told.is_empty() => Err(error),
        silent => Ok((told, silent)),
    }
}

/// A setting, if Redis tells it. On a Cluster: of one of its nodes.
async fn setting(nodes: &Nodes, name: &str, deadline: Instant) -> Result<Option<String>, StoreError> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    let settings: Option<HashMap<String, String>> = allowed(nodes.query("", &command, deadline).await)?;
    Ok(settings.and_then(|mut settings| settings.remove(name)))
}

/// Nothing, where Redis refuses to answer that question.
fn allowed<T>(answer: Result<T, QueryError>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(QueryError::Redis(error)) if is_refusal(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, value)| value.trim())
}

fn first(nodes: &[String], name: &str) -> Option<String> {
    nodes.iter().find_map(|node| field(node, name)).map(str::to_owned)
}

/// Whether the flag is set on all nodes; none where one does not tell.
fn all(nodes: &[String], name: &str) -> Option<bool> {
    let flags: Option<Vec<bool>> = nodes.iter().map(|node| field(node, name).map(|flag| flag == "1")).collect();
    flags.filter(|flags| !flags.is_empty()).map(|flags| flags.into_iter().all(|flag| flag))
}

fn used_memory(nodes: &[String]) -> Option<u64> {
    let bytes = nodes.iter().map(|node| field(node, "used_memory")?.parse::<u64>().ok());
    bytes.collect::<Option<Vec<_>>>().filter(|bytes| !bytes.is_empty()).map(|bytes| bytes.into_iter().sum())
}

/// The worst of the nodes' policies.
fn eviction<'a>(policies: impl Iterator<Item = &'a str>) -> Eviction {
    let mut known = Eviction::Unknown;
    for policy in policies {
        if policy != "noeviction" {
            return Eviction::Policy(policy.to_owned());
        }
        known = Eviction::Never;
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_as_bad_as_its_worst_node() {
        let nodes =
            ["a:1\r\naof_enabled:1\r\nused_memory:10\r\n", "aof_enabled:0\r\nused_memory:5\r\n"].map(str::to_owned);
        assert_eq!(all(&nodes, "aof_enabled"), Some(false));
        assert_eq!(all(&nodes, "a"), None);
        assert_eq!(all(&[], "a"), None);
        assert_eq!(used_memory(&nodes), Some(15));
        assert_eq!(used_memory(&[]), None);
        assert_eq!(eviction(["noeviction", "allkeys-lru"].into_iter()), Eviction::Policy("allkeys-lru".to_owned()));
        assert_eq!(eviction(["noeviction"].into_iter()), Eviction::Never);
        assert_eq!(eviction([].into_iter()), Eviction::Unknown);
    }
}
