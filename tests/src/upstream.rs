//! The protected backend of the tests: answers what it was asked, over HTTP/1.1 and HTTP/2.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Json, Response};
use axum::serve::ListenerExt as _;
use http_body_util::{BodyExt as _, channel::Channel};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::poll::until;
use crate::streams::{self, Word};

/// A request header with which a test asks for a reply header: `name: value`.
pub const REPLY_HEADER: &str = "x-test-reply-header";
/// A request header with which a test asks for a status.
pub const REPLY_STATUS: &str = "x-test-reply-status";
/// A request header with which a test asks for a reply body of that many bytes.
pub const REPLY_BYTES: &str = "x-test-reply-bytes";
/// A request header with which a test asks for a download that begins at once, goes on until
/// [`Upstream::release`], and ends with `released`. For streams of messages see [`crate::streams`].
pub const STREAM: &str = "x-test-stream";

/// A request header with which a test asks that the reply waits for [`Upstream::release`].
pub const HOLD: &str = "x-test-hold";

/// What a slow stream may be behind by.
const UNREAD_WORDS: usize = 64;

/// The running backend; it ends when this is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

type Observer = Box<dyn Fn(&Parts) + Send + Sync>;

struct Shared {
    /// Is told of each request instead of its being kept.
    observer: Option<Observer>,
    /// What was asked, in its order.
    seen: Mutex<Vec<Value>>,
    /// How often held requests were released.
    released: watch::Sender<u64>,
    /// What open streams are to do.
    words: broadcast::Sender<Word>,
}

impl Upstream {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start() -> Result<Self> {
        Self::start_with(None).await
    }

    /// The same, for very many requests: it keeps none of them and answers nothing but 200. `observer`
    /// is told of each, as soon as its headers are there.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start_observed(observer: impl Fn(&Parts) + Send + Sync + 'static) -> Result<Self> {
        Self::start_with(Some(Box::new(observer))).await
    }

    async fn start_with(observer: Option<Observer>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            observer,
            seen: Mutex::default(),
            released: watch::Sender::new(0),
            words: broadcast::Sender::new(UNREAD_WORDS),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        // An answer over HTTP/2 is written in two parts: the second is not to wait for the first's receipt.
        let listener = listener.tap_io(|stream| {
            stream.set_nodelay(true).ok();
        });
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the upstream has ended: {error}");
            }
        });
        Ok(Self { address, shared, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far.
    pub fn seen(&self) -> Vec<Value> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a request with that path and query has arrived.
    ///
    /// # Errors
    /// Where none does in time.
    pub async fn wait_for(&self, path: &str) -> Result<()> {
        until("a request at the upstream", async || {
            ensure!(self.seen().iter().any(|seen| seen.get("path") == Some(&json!(path))), "no request for {path}");
            Ok(())
        })
        .await
    }

    /// Lets all requests go that are held now, and ends all open streams in good order.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
        self.tell(Word::Release);
    }

    /// Sends `message` over all open [streams].
    pub fn say(&self, message: &str) {
        self.tell(Word::Say(message.to_owned()));
    }

    /// Fails only where no stream is open.
    fn tell(&self, word: Word) {
        self.shared.words.send(word).ok();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Shared {
    fn note(&self, seen: Value) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    if let Some(observe) = &shared.observer {
        observe(&head);
    }
    // Before its body is read to the end, which a stream may not have.
    if let Some(response) = streams::answer(&mut head, shared.words.subscribe()).await {
        if shared.observer.is_none() {
            shared.note(describe(&head, &Bytes::new()));
        }
        return response;
    }
    if shared.observer.is_some() { Response::default() } else { echo(&shared, &head, body).await }
}

async fn echo(shared: &Shared, head: &Parts, body: Body) -> Response {
    let body = body.collect().await.unwrap_or_default();
    let trailers = body.trailers().map(pairs).unwrap_or_default();
    let mut seen = describe(head, &body.to_bytes());
    if let Some(seen) = seen.as_object_mut() {
        seen.insert("trailers".to_owned(), json!(trailers));
    }
    let mut released = shared.released.subscribe();
    released.mark_unchanged();
    shared.note(seen.clone());
    if head.headers.contains_key(STREAM) {
        return download(released);
    }
    if head.headers.contains_key(HOLD) {
        // Fails only where the test is over.
        released.changed().await.ok();
    }
    let bytes = head.headers.get(REPLY_BYTES).and_then(|bytes| bytes.to_str().ok()?.parse().ok());
    let mut response = match bytes {
        Some(bytes) => Bytes::from(vec![b'.'; bytes]).into_response(),
        None => Json(seen).into_response(),
    };
    if let Some(status) = head.headers.get(REPLY_STATUS) {
        *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap_or(StatusCode::BAD_REQUEST);
    }
    for line in head.headers.get_all(REPLY_HEADER) {
        if let Some((name, value)) = reply_header(line.as_bytes()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// As a download would: a beginning, and an end some time later.
fn download(mut released: watch::Receiver<u64>) -> Response {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        sender.send_data(Bytes::from_static(b"begun\n")).await.ok();
        released.changed().await.ok();
        sender.send_data(Bytes::from_static(b"released\n")).await.ok();
    });
    Response::new(Body::new(body))
}

fn reply_header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
    let value = HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?;
    Some((name, value))
}

/// What a request was, as JSON. Header values that are no text are shown with replacement characters.
pub fn describe(head: &Parts, body: &Bytes) -> Value {
    let path = head.uri.path_and_query().map_or_else(|| head.uri.path(), |path| path.as_str());
    json!({
        "method": head.method.as_str(),
        "path": path,
        "version": format!("{:?}", head.version),
        "headers": pairs(&head.headers),
        "body_bytes": body.len(),
    })
}

/// Names and values.
fn pairs(headers: &HeaderMap) -> Vec<[String; 2]> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| [name.to_string(), text(value)]).collect()
}

/// The values of one header in a request that the upstream has described.
pub fn header_values<'v>(seen: &'v Value, name: &str) -> Vec<&'v str> {
    let headers = seen.get("headers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    headers
        .iter()
        .filter(|pair| pair.get(0).and_then(Value::as_str).is_some_and(|key| key.eq_ignore_ascii_case(name)))
        .filter_map(|pair| pair.get(1)?.as_str())
        .collect()
}
