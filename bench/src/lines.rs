//! Connections of which it is known which worker serves them: HTTP/2, so that requests need not wait
//! for each other.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use session_gate_tests::envoy::Envoy;
use session_gate_tests::poll::until;
use tokio::net::TcpStream;

/// Connections to each worker: more than one, so that a slow one shows.
const PER_WORKER: usize = 2;
/// The kernel spreads connections over the workers by chance: so many fail to reach one of four with a
/// probability of 10^-25.
const TRIES: usize = 200;

/// A connection to a worker.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it leads.
    pub address: SocketAddr,
    /// What sends over it.
    pub sender: SendRequest<Empty<Bytes>>,
}

/// Opens connections to each worker of these Envoys. Answers them by worker.
///
/// # Errors
/// Where a worker is not reached.
pub async fn open(envoys: &[&Envoy], workers: usize) -> Result<Vec<Vec<Line>>> {
    let mut all = Vec::new();
    for envoy in envoys {
        let mut lines = vec![Vec::new(); workers];
        for _ in 0..TRIES {
            if lines.iter().all(|lines| lines.len() == PER_WORKER) {
                break;
            }
            let before = accepted(envoy).await?;
            let stream = TcpStream::connect(envoy.address()).await?;
            stream.set_nodelay(true)?;
            let worker = until("a worker to accept the connection", async || {
                let now = accepted(envoy).await?;
                ensure!(now.len() == workers, "{} workers tell of their connections", now.len());
                now.iter().zip(&before).position(|(now, before)| now > before).context("none")
            })
            .await?;
            let lines = lines.get_mut(worker).context("a worker")?;
            if lines.len() < PER_WORKER {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                // How it ends shows in the requests that it carries.
                tokio::spawn(async { connection.await.ok() });
                lines.push(Line { address: envoy.address(), sender });
            }
        }
        ensure!(lines.iter().all(|lines| !lines.is_empty()), "{TRIES} connections do not reach every worker");
        all.extend(lines);
    }
    Ok(all)
}

/// How many connections each worker has accepted.
async fn accepted(envoy: &Envoy) -> Result<Vec<u64>> {
    let counters = envoy.admin().stats("worker_.*downstream_cx_total").await?;
    // By name: worker_0, worker_1 …; there are no ten.
    Ok(counters.into_iter().filter(|(name, _)| name.starts_with("listener.")).map(|(_, count)| count).collect())
}
