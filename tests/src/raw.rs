//! HTTP/1.1 as bytes, for requests that no client library would send.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::poll::PATIENCE;

/// A reply, as it came.
#[derive(Clone, Debug)]
pub struct RawReply {
    /// The status; 0 where the peer closed without one.
    pub status: u16,
    /// All that came.
    pub text: String,
}

impl RawReply {
    /// The value of the first header with that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (head, _) = self.text.split_once("\r\n\r\n").unwrap_or((&self.text, ""));
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends `GET <target>` with these header lines, all of them bytes, and reads the reply.
///
/// # Errors
/// Where there is no whole reply in time.
pub async fn get(address: SocketAddr, target: &[u8], headers: &[&[u8]]) -> Result<RawReply> {
    let mut request = [b"GET ", target, b" HTTP/1.1\r\nHost: gate.example\r\nConnection: close\r\n"].concat();
    for line in headers {
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    exchange(address, &request).await
}

/// Whether these bytes are a reply to its end: Envoy closes only some time after it has refused.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}

/// Sends these bytes and reads a whole reply, or until Envoy closes: a request should say
/// `Connection: close`.
///
/// # Errors
/// Where neither happens in time.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Result<RawReply> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // Envoy may refuse, and close, before it has read all of it.
        stream.write_all(request).await.ok();
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while !is_whole(&bytes) {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(n) => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            }
        }
        anyhow::Ok(bytes)
    };
    let bytes = timeout(PATIENCE, exchange).await.context("the peer does not close the connection")??;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(RawReply { status, text })
}
