//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that may be sent again.

use std::convert::Infallible;

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sfv::{
    BareItemFromInput, KeyRef, Parser,
    visitor::{ItemVisitor, ParameterVisitor},
};
use tokio::time::timeout;

use super::{
    MAX_BODY_BYTES, Shared,
    auth::bearer,
    detached::detached,
    extract::{BODY_TIMEOUT, invalid, too_large},
    reply::{ApiResult, NO_STORE},
};
use crate::service::{Begun, KeptAnswer, OnceRequest};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// What is kept is sealed under a key made of it, where the API asks for no credential of it alone.
const FEWEST_CHARS: usize = 16;
const MOST_CHARS: usize = 255;
/// The longest answer that is kept.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// What an answer says beside its body.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// What is kept of an answer.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Does a request with such a key once, and answers it the same for a while. What has failed may be asked for again: nothing was
/// made.
pub(super) async fn once(State(api): State<Shared>, request: Request, next: Next) -> ApiResult<Response> {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    let operation = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let credential = bearer(request.headers()).map(str::to_owned);
    let (parts, body) = request.into_parts();
    let read = timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await;
    let body = read.map_err(|_| invalid("the body must come in time"))?.map_err(|_| too_large(MAX_BODY_BYTES))?;
    // Its caller may leave: what was begun is ended, and its answer kept.
    detached(async move {
        let credential = credential.as_deref();
        let once = OnceRequest { credential, operation: &operation, key: &key, body: &body };
        let claim = match api.service.begin_once(once).await? {
            Begun::Answered(KeptAnswer(text)) => return repeated(&text),
            Begun::Claimed(claim) => claim,
        };
        let response = next.run(Request::from_parts(parts, Body::from(body.clone()))).await;
        if !response.status().is_success() {
            api.service.give_up_once(claim).await;
            return Ok(response);
        }
        let (status, headers) = (response.status().as_u16(), kept_headers(&response));
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, MAX_ANSWER_BYTES).await.map_err(|_| invalid("the answer is too long to be kept"))?;
        let answer = Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() };
        if let Ok(text) = serde_json::to_string(&answer) {
            api.service.finish_once(claim, &text).await;
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    })
    .await?
}

fn repeated(text: &str) -> ApiResult<Response> {
    let answer = serde_json::from_str::<Answer>(text).map_err(|_| invalid("what was kept cannot be read"))?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, [NO_STORE], answer.body).into_response();
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

fn kept_headers(response: &Response) -> Vec<(String, String)> {
    let kept = KEPT_HEADERS.iter().filter_map(|name| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    kept.collect()
}

/// The request's key: a string of RFC 9651, alone.
fn key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let wrong = || {
        invalid(format!(
            "Idempotency-Key must be one string of {FEWEST_CHARS} to {MOST_CHARS} characters in quotes (RFC 9651), such as \
             \"8e03978e-40d5-43e8-bc93-6894a57f9324\""
        ))
    };
    let read = Parser::new(line.as_bytes()).parse_item_with_visitor(KeyReader).map_err(|_| wrong())?;
    let key = read.filter(|key| lines.next().is_none() && (FEWEST_CHARS..=MOST_CHARS).contains(&key.len()));
    key.map(Some).ok_or_else(wrong)
}

/// Reads a string without parameters.
struct KeyReader;

/// It, if it was one so far.
struct KeyRead(Option<String>);

impl<'de> ItemVisitor<'de> for KeyReader {
    type Out = Option<String>;
    type Error = Infallible;

    fn bare_item(
        self,
        bare: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = Self::Out>, Self::Error> {
        Ok(KeyRead(match bare {
            BareItemFromInput::String(text) => Some(text.as_str().to_owned()),
            _ => None,
        }))
    }
}

impl<'de> ParameterVisitor<'de> for KeyRead {
    type Out = Option<String>;
    type Error = Infallible;

    fn parameter(&mut self, _: &'de KeyRef, _: BareItemFromInput<'de>) -> Result<(), Self::Error> {
        self.0 = None;
        Ok(())
    }

    fn finish(self) -> Result<Self::Out, Self::Error> {
        Ok(self.0)
    }
}
