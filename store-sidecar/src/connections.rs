//! Connections: accepted as they come, and closed where a peer takes too long to say what it wants.

use std::{io, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use crate::metrics::Metrics;

/// How long a peer may take until the head of its next request is complete. An idle connection ends by it, too: proxies
/// and clients commonly keep theirs for less.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Longest head of a request, in bytes, and as much as is read ahead of a body: as much as Envoy takes by default.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// After an attempt that failed for want of something that the system has too little of.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How often the log says that no connection can be accepted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Serves until `stop`, then lets the requests under way finish.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>, metrics: &Metrics) {
    serve_with(listener, router, stop, metrics, HEAD_TIMEOUT).await;
}

async fn serve_with(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    metrics: &Metrics,
    head_timeout: Duration,
) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(MAX_HEAD_BYTES);
    let connections = GracefulShutdown::new();
    let mut acceptor = Acceptor { listener, metrics, complained: None };
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            stream = acceptor.accept() => stream,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = connections.watch(protocol.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    // Nobody is to wait in its queue.
    drop(acceptor);
    connections.shutdown().await;
}

struct Acceptor<'a> {
    listener: TcpListener,
    metrics: &'a Metrics,
    complained: Option<Instant>,
}

impl Acceptor<'_> {
    async fn accept(&mut self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Small answers must not wait for more to send.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY could not be set");
                    }
                    return stream;
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    self.metrics.accept_failed();
                    if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                        self.complained = Some(Instant::now());
                        tracing::error!(%error, "no connection can be accepted");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether only that one connection has failed.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::oneshot,
        time::timeout,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn connect(address: std::net::SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.unwrap()
    }

    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // A reset ends it as well.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("it was closed");
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn who_says_nothing_or_too_slowly_is_hung_up_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let router = Router::new().route("/", get(async || "here"));
            let stop = async { drop(stopped.await) };
            serve_with(listener, router, stop, &Metrics::default(), Duration::from_millis(300)).await;
        });
        let (mut silent, mut slow, mut good) = (connect(address).await, connect(address).await, connect(address).await);
        slow.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        good.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert_eq!(rest(&mut silent).await, "");
        assert!(!rest(&mut slow).await.contains("here"));
        assert!(rest(&mut good).await.starts_with("HTTP/1.1 200"), "and then it was idle");
        drop(stop);
        timeout(PATIENCE, serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_head_beyond_all_reason_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let router = Router::new().route("/", get(async || "here"));
            serve(listener, router, async { drop(stopped.await) }, &Metrics::default()).await;
        });
        for (bytes, status) in [(MAX_HEAD_BYTES - 200, "HTTP/1.1 200"), (2 * MAX_HEAD_BYTES, "HTTP/1.1 431")] {
            let mut client = connect(address).await;
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n", "a".repeat(bytes));
            // It may hang up before it has read all of it.
            let _ = client.write_all(head.as_bytes()).await;
            let answer = rest(&mut client).await;
            assert!(answer.starts_with(status), "{bytes}: {answer}");
        }
        drop(stop);
        timeout(PATIENCE, serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_under_way_is_answered_before_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (begin, begun) = tokio::sync::watch::channel(false);
        let (finish, finished) = tokio::sync::watch::channel(false);
        let handler = async move || {
            begin.send_replace(true);
            drop(finished.clone().wait_for(|finished| *finished).await);
            "done"
        };
        let serving = tokio::spawn(async move {
            let router = Router::new().route("/", get(handler));
            serve(listener, router, async { drop(stopped.await) }, &Metrics::default()).await;
        });
        let mut client = connect(address).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut begun = begun;
        begun.wait_for(|begun| *begun).await.unwrap();
        drop(stop);
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        finish.send_replace(true);
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        timeout(PATIENCE, serving).await.unwrap().unwrap();
    }
}
