//! Clients whose line is slow get what was sent to them, to its end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use session_gate_tests::upstream::REPLY_BYTES;
use session_gate_tests::{Stack, raw};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

/// The whole answer, and the 500 KB/s at which it is read.
const BODY: usize = 4 * 1024 * 1024;
const READ_AT_ONCE: usize = 10_000;
const READ_EVERY: Duration = Duration::from_millis(20);
/// What the client's system takes off Envoy before the client reads: little, as over a long line.
const RECEIVE_BUFFER: u32 = 128 * 1024;
/// Bytes of a segment, as over Ethernet: loopback's are far larger.
const SEGMENT: u32 = 1400;
/// Far longer than the answer takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_reaches_a_slow_client_whole_though_its_connection_is_to_be_closed() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let request = format!(
        "GET /orders/all HTTP/1.1\r\nhost: gate.example\r\nconnection: close\r\nauthorization: Bearer {}\r\n{REPLY_BYTES}: {BODY}\r\n\r\n",
        login.token
    );
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    SockRef::from(&socket).set_tcp_mss(SEGMENT)?;
    let mut client = socket.connect(stack.address()).await?;
    client.write_all(request.as_bytes()).await?;
    let answer = timeout(PATIENCE, read_slowly(&mut client)).await.context("the answer has no end")?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").context("no whole head")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    ensure!(body.len() == BODY, "{} of {BODY} bytes have come", body.len());
    stack.assert_still_serving().await
}

/// A client that sends all of its body before it reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_uploads_before_it_reads_sees_why_it_was_refused() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let body = vec![b'.'; 256 * 1024];
    let head = format!("POST /orders HTTP/1.1\r\nhost: gate.example\r\ncontent-length: {}\r\n\r\n", body.len());
    let reply = raw::exchange(stack.address(), &[head.as_bytes(), &body].concat()).await?;
    ensure!(reply.status == 401 && reply.text.contains("credential_missing"), "{} {}", reply.status, reply.text);
    stack.assert_still_serving().await
}

/// All that comes until the other side closes, in whichever way.
async fn read_slowly(client: &mut TcpStream) -> Vec<u8> {
    let mut pace = interval(READ_EVERY);
    let mut bytes = Vec::new();
    let mut chunk = vec![0; READ_AT_ONCE];
    loop {
        pace.tick().await;
        let mut unread = READ_AT_ONCE;
        while unread > 0 {
            match client.read(chunk.get_mut(..unread).unwrap_or_default()).await {
                Ok(0) | Err(_) => return bytes,
                Ok(n) => {
                    bytes.extend_from_slice(chunk.get(..n).unwrap_or_default());
                    unread -= n;
                }
            }
        }
    }
}
