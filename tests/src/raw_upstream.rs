//! A backend that takes whatever request line arrives, where a real server would refuse some.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The running backend; it ends when this is dropped.
#[derive(Debug)]
pub struct RawUpstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    server: JoinHandle<()>,
}

impl RawUpstream {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, Arc::clone(&log)));
            }
        });
        Ok(Self { address, seen, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The targets that were asked for since the last call, as bytes.
    pub fn take_seen(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers requests without a body until the client closes.
async fn answer(mut client: TcpStream, log: Arc<Mutex<Vec<Vec<u8>>>>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        while let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).collect();
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let target = line.strip_prefix(b"GET ").and_then(|line| line.strip_suffix(b" HTTP/1.1")).unwrap_or(line);
            log.lock().unwrap_or_else(PoisonError::into_inner).push(target.to_vec());
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
        let mut chunk = [0; 4096];
        match client.read(&mut chunk).await? {
            0 => return Ok(()),
            n => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
