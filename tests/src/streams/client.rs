//! The client's end of a stream.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::kind::{GREETING, Kind};
use super::wire::{EVENT_STREAM, Framing, GRPC, GRPC_STATUS};
use crate::client::Http;
use crate::poll::PATIENCE;

/// What a client sees of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message.
    Message(String),
    /// The end.
    End(End),
}

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It broke off: a reset, or the end of its connection.
    Broken,
    /// The other side has ended it in good order.
    Orderly,
}

/// A stream that has begun. Dropping it closes its connection.
#[derive(Debug)]
pub struct OpenStream(Source);

#[derive(Debug)]
enum Source {
    Body { framing: Framing, body: Incoming, buffer: Vec<u8>, _connection: Connection },
    Socket(Box<WebSocketStream<TcpStream>>),
}

/// What drives a connection, for as long as somebody has this.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl OpenStream {
    /// Opens a stream on a connection of its own, and waits for the upstream's greeting.
    ///
    /// # Errors
    /// Where it does not begin in time.
    pub async fn open(kind: Kind, address: SocketAddr, path: &str, token: &str) -> Result<Self> {
        let what = || format!("a {} stream for {path} at {address}", kind.as_str());
        timeout(PATIENCE, Self::begin(kind, address, path, token)).await.with_context(what)?.with_context(what)
    }

    async fn begin(kind: Kind, address: SocketAddr, path: &str, token: &str) -> Result<Self> {
        let authorization = HeaderValue::from_str(&format!("Bearer {token}"))?;
        let stream = TcpStream::connect(address).await?;
        let source = match kind {
            Kind::Grpc => {
                let headers = HeaderMap::from_iter([
                    (AUTHORIZATION, authorization),
                    (CONTENT_TYPE, HeaderValue::from_static(GRPC)),
                    (TE, HeaderValue::from_static("trailers")),
                ]);
                let mut request =
                    Request::post(format!("http://{address}{path}")).body(Framing::Grpc.encode("open"))?;
                *request.headers_mut() = headers;
                body(Framing::Grpc, stream, Http::V2, request).await?
            }
            Kind::Sse(http) => {
                let uri = match http {
                    Http::V1 => path.to_owned(),
                    Http::V2 => format!("http://{address}{path}"),
                };
                let mut request = Request::get(uri).body(Bytes::new())?;
                request.headers_mut().insert(AUTHORIZATION, authorization);
                request.headers_mut().insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
                if http == Http::V1 {
                    request.headers_mut().insert(HOST, HeaderValue::from_str(&address.to_string())?);
                }
                body(Framing::Events, stream, http, request).await?
            }
            Kind::WebSocket => {
                let mut request = format!("ws://{address}{path}").into_client_request()?;
                request.headers_mut().insert(AUTHORIZATION, authorization);
                Source::Socket(Box::new(tokio_tungstenite::client_async(request, stream).await?.0))
            }
        };
        let mut stream = Self(source);
        let first = stream.next().await;
        ensure!(first == Event::Message(GREETING.to_owned()), "it begins with {first:?}");
        Ok(stream)
    }

    /// What comes next.
    pub async fn next(&mut self) -> Event {
        match &mut self.0 {
            Source::Body { framing, body, buffer, .. } => next_of_body(*framing, body, buffer).await,
            Source::Socket(socket) => next_of_socket(socket).await,
        }
    }

    /// Waits for a message with that text.
    ///
    /// # Errors
    /// Where the stream ends before, or nothing comes in time.
    pub async fn wait_for(&mut self, text: &str) -> Result<()> {
        let wait = async {
            loop {
                match self.next().await {
                    Event::Message(message) if message == text => return Ok(()),
                    Event::Message(_) => {}
                    Event::End(end) => bail!("the stream has ended ({end:?}) before {text:?}"),
                }
            }
        };
        timeout(PATIENCE, wait).await.with_context(|| format!("no {text:?}"))?
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Where the stream goes on.
    pub async fn wait_for_end(&mut self) -> Result<End> {
        let wait = async {
            loop {
                if let Event::End(end) = self.next().await {
                    return end;
                }
            }
        };
        timeout(PATIENCE, wait).await.context("the stream goes on")
    }

    /// Waits for the end, and returns the messages until then.
    ///
    /// # Errors
    /// Where the stream goes on.
    pub async fn rest(&mut self) -> Result<Vec<String>> {
        let wait = async {
            let mut messages = Vec::new();
            while let Event::Message(message) = self.next().await {
                messages.push(message);
            }
            messages
        };
        timeout(PATIENCE, wait).await.context("the stream goes on")
    }
}

/// Sends the request, and takes what answers it for a stream.
async fn body(framing: Framing, stream: TcpStream, http: Http, request: Request<Bytes>) -> Result<Source> {
    let request = request.map(Full::new);
    let stream = TokioIo::new(stream);
    let (response, connection) = match http {
        Http::V1 => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
            let connection = Connection(tokio::spawn(run(connection)));
            (sender.send_request(request).await?, connection)
        }
        Http::V2 => {
            let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
            let connection = Connection(tokio::spawn(run(connection)));
            (sender.send_request(request).await?, connection)
        }
    };
    Ok(Source::Body { framing, body: begun(response)?, buffer: Vec::new(), _connection: connection })
}

/// How a connection ends shows in the bodies that it carries.
async fn run(connection: impl Future<Output = hyper::Result<()>>) {
    connection.await.ok();
}

fn begun(response: Response<Incoming>) -> Result<Incoming> {
    ensure!(response.status() == StatusCode::OK, "it is answered with {}", response.status());
    let refusal = HeaderName::from_static(GRPC_STATUS);
    ensure!(!response.headers().contains_key(&refusal), "it is refused: {:?}", response.headers());
    Ok(response.into_body())
}

async fn next_of_body(framing: Framing, body: &mut Incoming, buffer: &mut Vec<u8>) -> Event {
    loop {
        if let Some(message) = framing.decode(buffer) {
            return Event::Message(message);
        }
        let frame = match body.frame().await {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Event::End(End::Broken),
            // A gRPC call without its trailers has no outcome.
            None if matches!(framing, Framing::Grpc) => return Event::End(End::Broken),
            None => return Event::End(End::Orderly),
        };
        if let Some(data) = frame.data_ref() {
            buffer.extend_from_slice(data);
        } else if frame.trailers_ref().and_then(|trailers| trailers.get(GRPC_STATUS)).is_some_and(|code| code == "0") {
            return Event::End(End::Orderly);
        }
    }
}

async fn next_of_socket(socket: &mut WebSocketStream<TcpStream>) -> Event {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Event::Message(text.to_string()),
            Some(Ok(Message::Close(_))) => return Event::End(End::Orderly),
            Some(Ok(_)) => {}
            None | Some(Err(Error::ConnectionClosed)) => return Event::End(End::Orderly),
            Some(Err(_)) => return Event::End(End::Broken),
        }
    }
}
