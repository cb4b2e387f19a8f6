//! Makes connections: to one server, to a Cluster, or to the master that Sentinels name.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, FromRedisValue, RedisResult, TlsCertificates};

use super::error::is_alive;
use super::options::{RedisOptions, Target};
use super::{CONNECT_TIMEOUT, RETRY_PAUSE};

/// Commands that wait to be written to a connection. Whoever comes when it is full waits, within
/// the time that the step has; so a hung Redis cannot make the sidecar's memory grow.
const QUEUED_COMMANDS: usize = 256;

/// How often the Cluster client follows a redirection or tries another node within one step.
const CLUSTER_RETRIES: u32 = 3;

pub(super) enum Connector {
    Single(Client),
    Cluster(ClusterClient),
    Sentinel { sentinel: Sentinel, master: String, node: SentinelNodeConnectionInfo },
}

/// A connection that many steps use at once; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connector {
    /// Connects to nothing yet.
    pub(super) fn new(options: &RedisOptions) -> RedisResult<Self> {
        if options.is_tls() {
            // The Redis client uses the process's provider. Another part may have set it before.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let ca = options.ca_certificate.as_ref();
        Ok(match &options.target {
            Target::Single(node) => Self::Single(client(node, ca)?),
            Target::Cluster(nodes) => Self::Cluster(cluster_client(nodes, ca, options.step_timeout)?),
            Target::Sentinel { sentinels, master, login } => Self::Sentinel {
                sentinel: Sentinel::build(sentinels.clone())?,
                master: master.clone(),
                node: SentinelNodeConnectionInfo::default()
                    .set_redis_connection_info(login.clone())
                    .set_tcp_settings(TcpSettings::default().set_nodelay(true)),
            },
        })
    }

    /// A connection that has answered.
    pub(super) async fn connect(&mut self) -> RedisResult<Connection> {
        let mut connection = match self {
            Self::Single(client) => Connection::Single(open(client).await?),
            Self::Sentinel { sentinel, master, node } => {
                let client = sentinel.async_master_for(master, Some(node)).await?;
                Connection::Single(open(&client).await?)
            }
            Self::Cluster(client) => return Ok(Connection::Cluster(client.get_async_connection().await?)),
        };
        // A server that loads its data, or wants a password, says so only now.
        connection.ping().await?;
        Ok(connection)
    }

    /// How long [`Connector::connect`] may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        match self {
            Self::Single(_) => CONNECT_TIMEOUT,
            // These ask some nodes first who is there, and wait for the slowest.
            Self::Cluster(_) | Self::Sentinel { .. } => CONNECT_TIMEOUT * 3,
        }
    }

    /// How long after an attempt to connect the next one may begin.
    pub(super) fn retry_pause(&self) -> Duration {
        match self {
            Self::Single(_) | Self::Sentinel { .. } => RETRY_PAUSE,
            // Connects to every node, while the old connection goes on serving.
            Self::Cluster(_) => RETRY_PAUSE * 5,
        }
    }
}

impl Connection {
    /// Sends a command. The caller decides how long to wait.
    pub(super) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }

    pub(super) async fn ping(&mut self) -> RedisResult<()> {
        match self.query(&redis::cmd("PING")).await {
            Err(error) if is_alive(&error) => Ok(()),
            answer => answer,
        }
    }
}

fn client(node: &ConnectionInfo, ca: Option<&Vec<u8>>) -> RedisResult<Client> {
    match ca {
        None => Client::open(node.clone()),
        Some(_) => Client::build_with_tls(node.clone(), certificates(ca)),
    }
}

async fn open(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        // Each step has its own limit, which includes the wait for a connection.
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUED_COMMANDS);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn cluster_client(
    nodes: &[ConnectionInfo],
    ca: Option<&Vec<u8>>,
    step_timeout: Duration,
) -> RedisResult<ClusterClient> {
    let mut builder = ClusterClientBuilder::new(nodes.to_vec())
        .tcp_settings(TcpSettings::default().set_nodelay(true))
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(step_timeout)
        .retries(CLUSTER_RETRIES)
        .retry_wait_formula(10, 2)
        .min_retry_wait(5)
        .max_retry_wait(50);
    if ca.is_some() {
        builder = builder.certs(certificates(ca));
    }
    builder.build()
}

fn certificates(ca: Option<&Vec<u8>>) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: ca.cloned() }
}
