//! What an application does at the sidecar: sessions, tokens, and their end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};
use session_gate_tests::poll::{Final, until};
use session_gate_tests::sidecar::{calls_in, counted_in};
use session_gate_tests::{Call, Http, Reply};

/// What a measurement has in mind for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is ended, or one of its tokens is revoked.
    Ends,
    /// It stays: its requests are to be served throughout.
    Stays,
}

/// A token to send requests with.
pub struct Credential {
    /// A number that no other token has.
    pub id: usize,
    /// What becomes of its session.
    pub fate: Fate,
    /// The token.
    pub token: String,
    /// Its session.
    pub session_id: String,
    /// Its session's user.
    pub user: String,
}

impl Credential {
    /// A token with the next number.
    pub(crate) fn new(fate: Fate, token: String, session_id: String, user: &str) -> Arc<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, fate, token, session_id, user: user.to_owned() })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, fate, token: _, session_id: _, user } = self;
        f.debug_struct("Credential").field("id", id).field("fate", fate).field("user", user).finish_non_exhaustive()
    }
}

/// How something is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// `DELETE /v1/sessions/{session_id}`.
    DeleteSession,
    /// `POST /v1/tokens/revoke`.
    RevokeToken,
    /// `PATCH /v1/sessions/{session_id}`.
    SuspendSession,
    /// `DELETE /v1/users/{user_id}/sessions`.
    TerminateUser,
}

impl How {
    /// All ways.
    pub const ALL: [Self; 4] = [Self::DeleteSession, Self::RevokeToken, Self::SuspendSession, Self::TerminateUser];
}

/// An application that uses the sidecar at one address.
#[derive(Debug)]
pub struct App {
    sidecar: SocketAddr,
    /// Calls that had to be made again.
    put_off: AtomicUsize,
}

impl App {
    /// An application of that sidecar.
    pub fn new(sidecar: SocketAddr) -> Self {
        Self { sidecar, put_off: AtomicUsize::new(0) }
    }

    /// Logs a user in.
    ///
    /// # Errors
    /// Where the sidecar refuses.
    pub async fn login(&self, user: &str, fate: Fate) -> Result<Arc<Credential>> {
        let reply = self.ask(Call::post("/v1/login").json(&json!({"user_id": user, "scopes": ["read"]}))).await?;
        let token = reply.field("/token/token").with_context(|| reply.text())?;
        let session_id = reply.field("/session/session_id").with_context(|| reply.text())?;
        Ok(Credential::new(fate, token, session_id, user))
    }

    /// Mints another token of the same session.
    ///
    /// # Errors
    /// Where the sidecar refuses.
    pub async fn renew(&self, credential: &Credential) -> Result<Arc<Credential>> {
        let body = json!({"session_id": credential.session_id, "scopes": ["read"]});
        let reply = self.ask(Call::post("/v1/tokens").json(&body)).await?;
        let token = reply.field("/token").with_context(|| reply.text())?;
        Ok(Credential::new(credential.fate, token, credential.session_id.clone(), &credential.user))
    }

    /// Takes back. Answers, where `wait` says to wait for that, whether it was applied everywhere.
    ///
    /// # Errors
    /// Where the sidecar refuses.
    pub async fn take_back(&self, how: How, credential: &Credential, wait: bool) -> Result<Option<bool>> {
        let query = if wait { "?wait=applied" } else { "" };
        let session = format!("/v1/sessions/{}{query}", credential.session_id);
        let call = match how {
            How::DeleteSession => Call::new(Method::DELETE, &session),
            How::RevokeToken => Call::post(&format!("/v1/tokens/revoke{query}"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("token={}", credential.token)),
            How::SuspendSession => Call::new(Method::PATCH, &session).json(&json!({"status": "suspended"})),
            How::TerminateUser => Call::new(Method::DELETE, &format!("/v1/users/{}/sessions{query}", credential.user)),
        };
        let reply = self.ask(call).await?;
        if !wait {
            return Ok(None);
        }
        let reply = reply.json()?;
        let applied = reply.pointer("/receipt/applied").or_else(|| reply.pointer("/applied"));
        Ok(Some(applied.and_then(Value::as_bool).context("no receipt")?))
    }

    /// How often the sidecar has answered 503, and was asked again.
    pub fn put_off(&self) -> usize {
        self.put_off.load(Ordering::Relaxed)
    }

    /// How many calls of `/v1/check` the sidecar has answered.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn checks(&self) -> Result<u64> {
        self.calls("/v1/check").await
    }

    /// How many calls of that route the sidecar has answered.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn calls(&self, route: &str) -> Result<u64> {
        let metrics = self.ask(Call::get("/metrics")).await?.text();
        calls_in(&metrics, route)
    }

    /// What the sidecar has counted under that name.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn counted(&self, name: &str) -> Result<u64> {
        let metrics = self.ask(Call::get("/metrics")).await?.text();
        counted_in(&metrics, name, "")
    }

    /// Asks until the sidecar says something: 503 means that a store which is busy has not answered it in
    /// time.
    async fn ask(&self, call: Call) -> Result<Reply> {
        until("the sidecar's store to answer", async || {
            let reply = call.send(self.sidecar, Http::V1).await?;
            if reply.status == 503 {
                self.put_off.fetch_add(1, Ordering::Relaxed);
                bail!("503");
            }
            let is_good = (200..300).contains(&reply.status);
            let refused = || anyhow!("the sidecar answers {}: {}", reply.status, reply.text());
            if is_good { Ok(reply) } else { Err(Final(refused()).into()) }
        })
        .await
    }
}
