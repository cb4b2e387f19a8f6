//! Informational answers of upstreams (1xx): no filter sees them, so Envoy must not pass them on.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use session_gate_tests::{Stack, raw};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The headers of the early hints are ones that the filter removes from an answer, or replaces.
const ANSWER: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nserver: hidden\r\n\r\n\
    HTTP/1.1 200 OK\r\nserver: hidden\r\ncontent-length: 4\r\n\r\ndone";

/// A backend that sends early hints before each answer.
struct Hinting {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Hinting {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = vec![0; 64 * 1024];
                    // Requests are short: each comes at once, and has no body.
                    while matches!(client.read(&mut request).await, Ok(1..)) {
                        client.write_all(ANSWER).await.ok();
                    }
                });
            }
        });
        Ok(Self { address, server })
    }
}

impl Drop for Hinting {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer_with(proxied: bool) -> Result<String> {
    let upstream = Hinting::start().await?;
    let port = upstream.address.port();
    let mut stack = Stack::builder()
        .envoy(move |config| {
            if proxied {
                config.manager()?["proxy_100_continue"] = true.into();
            }
            config.set_cluster_port("app", port)
        })
        .start()
        .await?;
    let login = stack.login("alice", &["read"]).await?;
    let authorization = format!("authorization: Bearer {}", login.token);
    let reply = raw::get(stack.address(), b"/orders", &[authorization.as_bytes()]).await?;
    stack.assert_still_serving().await?;
    Ok(reply.text)
}

#[tokio::test(flavor = "multi_thread")]
async fn early_hints_do_not_pass_by_the_filter() -> Result<()> {
    let text = answer_with(false).await?;
    ensure!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("done"), "{text}");
    ensure!(!text.contains("103") && !text.contains("hidden"), "{text}");
    Ok(())
}

/// Why `filter check` warns of it.
#[tokio::test(flavor = "multi_thread")]
async fn with_proxy_100_continue_they_do() -> Result<()> {
    let text = answer_with(true).await?;
    ensure!(text.starts_with("HTTP/1.1 103 ") && text.contains("hidden"), "{text}");
    Ok(())
}
