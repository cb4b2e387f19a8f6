//! The upstream's end of a stream.

use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{ACCEPT, CONTENT_TYPE, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use tokio::sync::broadcast::{self, error::RecvError};

use super::kind::{FAREWELL, GREETING};
use super::wire::{EVENT_STREAM, Framing, GRPC, GRPC_STATUS};

/// What the test has all open streams do.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Release,
    Say(String),
}

/// Opens a stream, if that is what the request asks for.
pub(crate) async fn answer(request: &mut Parts, words: broadcast::Receiver<Word>) -> Option<Response> {
    let says = |name: HeaderName, value: &str| {
        request.headers.get(name).is_some_and(|header| header.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    if says(CONTENT_TYPE, GRPC) {
        return Some(stream(Framing::Grpc, GRPC, words));
    }
    if says(ACCEPT, EVENT_STREAM) {
        return Some(stream(Framing::Events, EVENT_STREAM, words));
    }
    if says(UPGRADE, "websocket") {
        return Some(match WebSocketUpgrade::from_request_parts(request, &()).await {
            Ok(upgrade) => upgrade.on_upgrade(|socket| converse(socket, words)),
            Err(refusal) => refusal.into_response(),
        });
    }
    None
}

/// The next message, and whether it is the last one.
async fn next(words: &mut broadcast::Receiver<Word>) -> (String, bool) {
    loop {
        match words.recv().await {
            Ok(Word::Say(message)) => return (message, false),
            Err(RecvError::Lagged(_)) => {}
            // Closed: the test is over.
            Ok(Word::Release) | Err(RecvError::Closed) => return (FAREWELL.to_owned(), true),
        }
    }
}

fn stream(framing: Framing, content_type: &'static str, words: broadcast::Receiver<Word>) -> Response {
    let (sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(write(framing, sender, words));
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], Body::new(body)).into_response()
}

/// Fails only where the client has gone.
async fn write(framing: Framing, mut sender: Sender<Bytes>, mut words: broadcast::Receiver<Word>) {
    let (mut message, mut is_last) = (GREETING.to_owned(), false);
    while sender.send_data(framing.encode(&message)).await.is_ok() && !is_last {
        (message, is_last) = next(&mut words).await;
    }
    if matches!(framing, Framing::Grpc) {
        let ok = HeaderMap::from_iter([(HeaderName::from_static(GRPC_STATUS), HeaderValue::from_static("0"))]);
        sender.send_trailers(ok).await.ok();
    }
}

/// Fails only where the client has gone.
async fn converse(mut socket: WebSocket, mut words: broadcast::Receiver<Word>) {
    let (mut message, mut is_last) = (GREETING.to_owned(), false);
    while socket.send(Message::text(message)).await.is_ok() && !is_last {
        (message, is_last) = tokio::select! {
            next = next(&mut words) => next,
            // Clients say nothing: this is the end of one.
            _ = socket.recv() => return,
        };
    }
    socket.send(Message::Close(None)).await.ok();
}
