//! What a worker has to remember: a feed of very many revocations, and tokens in great numbers.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use session_gate_protocol::{
    CheckReply, CheckRequest, CheckVerdict, CheckedCredential, EndedList, FeedCursor, FeedEpoch, FeedQuery, FeedReply,
    Fingerprint, UnixSeconds,
};
use session_gate_tests::forge::{EcKey, Signer as _, base64url};
use tokio::time::sleep;

/// When the feed began, and when every token was issued: so long after that nobody asks about it.
const BEGAN: UnixSeconds = UnixSeconds(1_700_000_000);
const ISSUED: u64 = BEGAN.0 + 1_000;
/// The last second that 32 bits have: neither tokens nor revocations are over while this runs.
const END: u64 = u32::MAX as u64;
/// Records in one page, as the sidecar packs them.
const PAGE: u64 = 8_000;

/// A feed in which that many sessions have ended, and the key of its tokens.
pub struct Crowd {
    ended: u64,
    key: EcKey,
    /// Who has read the feed to its end.
    readers: Mutex<HashSet<String>>,
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crowd").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Crowd {
    /// A feed of that many.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn new(ended: u64) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { ended, key: EcKey::generate()?, readers: Mutex::default() }))
    }

    /// What stands in for the sidecar.
    pub fn sidecar(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/feed", get(feed))
            .route("/v1/keys", get(keys))
            .route("/v1/check", post(check))
            .route("/v1/activity", post(async || StatusCode::NO_CONTENT))
            .with_state(Arc::clone(self))
    }

    /// How many have read the feed to its end.
    pub fn readers(&self) -> usize {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The good token with that number: each of a user and a session of its own.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn token(&self, number: u64) -> Result<String> {
        self.key.token(&header("k1"), &claims(number))
    }

    /// The token of the session that ended with that number.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn ended_token(&self, number: u64) -> Result<String> {
        let mut claims = claims(number);
        claims
            .as_object_mut()
            .into_iter()
            .for_each(|claims| drop(claims.insert("sid".to_owned(), json!(name(number)))));
        self.key.token(&header("k1"), &claims)
    }

    /// A forged token, none like another, of each kind in turn.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn forged(&self, number: u64) -> Result<String> {
        let digits = format!("{number:043}");
        // The signature is well-formed and somebody else's. Signing each would take longer than refusing it.
        let signature = format!("{number:086}");
        let unsigned = |header: &Value| {
            let part = |value: &Value| base64url(value.to_string());
            format!("{}.{}", part(header), part(&claims(number)))
        };
        Ok(match number % 5 {
            0 => format!("{}.{signature}", unsigned(&header("k1"))),
            1 => format!("{}.{signature}", unsigned(&header(&format!("unknown-{number}")))),
            2 => format!("{}.", unsigned(&json!({"alg": "none"}))),
            3 => format!("sgt_AAAAAA.{digits}"),
            _ => format!("{digits}.{digits}.{digits}"),
        })
    }
}

fn header(key_id: &str) -> Value {
    json!({"alg": "ES256", "kid": key_id, "typ": "at+jwt"})
}

/// As the sidecar mints them.
fn claims(number: u64) -> Value {
    json!({
        "iss": "session-gate", "aud": "session-gate", "sub": format!("user-{number}"), "jti": format!("{number:022}"),
        "sid": format!("AAAAAA.{number:043}"), "iat": ISSUED, "nbf": ISSUED, "exp": END, "scope": "read write",
        "auth_time": ISSUED, "amr": ["pwd"], "ip_hash": format!("{number:016}"), "ua_hash": format!("{number:016}"),
    })
}

/// The session that ended with that number.
fn name(number: u64) -> String {
    format!("ENDED_.{number:043}")
}

/// There is no opaque token, and every other is good: a worker that was held up asks about those.
async fn check(Json(request): Json<CheckRequest>) -> Json<CheckReply> {
    Json(CheckReply::from(match request.credential {
        CheckedCredential::Opaque { .. } => CheckVerdict::CredentialUnknown,
        CheckedCredential::Foreign { .. } | CheckedCredential::Own(_) => CheckVerdict::Live,
    }))
}

async fn keys(State(crowd): State<Arc<Crowd>>) -> Json<Value> {
    let mut jwk = crowd.key.jwk();
    jwk.as_object_mut().into_iter().for_each(|jwk| drop(jwk.insert("kid".to_owned(), json!("k1"))));
    Json(json!({"keys": [jwk]}))
}

async fn feed(State(crowd): State<Arc<Crowd>>, Query(query): Query<FeedQuery>) -> Json<FeedReply> {
    let from = query.after.number;
    let to = crowd.ended.min(from + PAGE);
    if from == crowd.ended {
        crowd.readers.lock().unwrap_or_else(PoisonError::into_inner).insert(query.worker);
        sleep(Duration::from_millis(query.wait_ms)).await;
    }
    let record = |number| (Fingerprint::of_session(&name(number)), UnixSeconds(END));
    Json(FeedReply {
        protocol: 1,
        epoch: FeedEpoch { id: "crowd".to_owned(), since: BEGAN },
        cursor: FeedCursor { millis: 1, number: to },
        age_ms: 0,
        more: to < crowd.ended,
        entries: Vec::new(),
        ended: EndedList((from..to).map(record).collect()),
    })
}
