//! Makes connections: to one server, or to the master that Sentinels name. The nodes of a Cluster are servers, too.

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, FromRedisValue, RedisResult, TlsCertificates, Value};
use std::time::Duration;

use super::error::is_alive;
use super::options::{RedisOptions, Target};
use super::timing::CONNECT_TIMEOUT;

/// Commands that wait to be written to a connection. Whoever comes when it is full waits, within
/// the time that the step has; so a hung Redis cannot make the sidecar's memory grow.
const QUEUED_COMMANDS: usize = 256;

pub(super) enum Connector {
    Single(Client),
    Sentinel { sentinel: Box<Sentinel>, master: String, node: Box<SentinelNodeConnectionInfo> },
}

/// A connection that many steps use at once; clones share it.
#[derive(Clone)]
pub(super) struct Connection(MultiplexedConnection);

impl Connector {
    /// Connects to nothing yet. For one server, or Sentinels.
    pub(super) fn new(options: &RedisOptions) -> RedisResult<Self> {
        match &options.target {
            Target::Single(node) => Self::node(node, options),
            Target::Sentinel { sentinels, master, login } => Ok(Self::Sentinel {
                sentinel: Box::new(Sentinel::build(sentinels.clone())?),
                master: master.clone(),
                node: Box::new(
                    SentinelNodeConnectionInfo::default()
                        .set_redis_connection_info(login.clone())
                        .set_tcp_settings(TcpSettings::default().set_nodelay(true)),
                ),
            }),
            // Each node has its own: see `Connector::node`.
            Target::Cluster(_) => {
                Err((redis::ErrorKind::InvalidClientConfig, "a Cluster is more than one server").into())
            }
        }
    }

    /// The same for one node.
    pub(super) fn node(node: &ConnectionInfo, options: &RedisOptions) -> RedisResult<Self> {
        if options.is_tls() {
            // The Redis client uses the process's provider. Another part may have set it before.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Self::Single(match &options.ca_certificate {
            None => Client::open(node.clone())?,
            Some(ca) => {
                Client::build_with_tls(node.clone(), TlsCertificates { client_tls: None, root_cert: Some(ca.clone()) })?
            }
        }))
    }

    /// A connection that has answered.
    pub(super) async fn connect(&mut self) -> RedisResult<Connection> {
        let mut connection = match self {
            Self::Single(client) => open(client).await?,
            Self::Sentinel { sentinel, master, node } => {
                open(&sentinel.async_master_for(master, Some(node)).await?).await?
            }
        };
        // A server that loads its data, or wants a password, says so only now.
        connection.ping().await?;
        Ok(connection)
    }

    /// How long [`Connector::connect`] may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        match self {
            Self::Single(_) => CONNECT_TIMEOUT,
            // These are asked first, one after the other.
            Self::Sentinel { .. } => CONNECT_TIMEOUT * 3,
        }
    }
}

impl Connection {
    /// Sends a command. The caller decides how long to wait.
    pub(super) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.0).await
    }

    /// The same to a node of a Cluster that is about to take over the command's slot.
    pub(super) async fn query_asking<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        let mut pipe = redis::pipe();
        pipe.cmd("ASKING").ignore().add_command(command.clone());
        let mut answers = self.0.req_packed_commands(&pipe, 1, 1).await?;
        Ok(T::from_redis_value(answers.pop().unwrap_or(Value::Nil).extract_error()?)?)
    }

    pub(super) async fn ping(&mut self) -> RedisResult<()> {
        match self.query(&redis::cmd("PING")).await {
            Err(error) if is_alive(&error) => Ok(()),
            answer => answer,
        }
    }
}

async fn open(client: &Client) -> RedisResult<Connection> {
    let config = AsyncConnectionConfig::new()
        // Whoever connects has a limit for all of it, and each step its own, which includes the wait for a connection.
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUED_COMMANDS);
    client.get_multiplexed_async_connection_with_config(&config).await.map(Connection)
}
