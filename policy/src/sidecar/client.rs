//! Calls to the sidecar, and what comes of them.

use std::{fmt, time::Duration};

use serde::de::DeserializeOwned;
use session_gate_protocol::{
    Activity, LeaseRequest, PROTOCOL_HEADER, PROTOCOL_VERSION, RenewRequest, SessionCommandRequest,
};

/// How the sidecar is reached. `Debug` hides the credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// Envoy's cluster; `outbound|8081||session-gate.example.svc.cluster.local` on Istio.
    pub cluster: String,
    /// The `:authority` of the calls.
    pub authority: String,
    /// How long a call may take.
    pub timeout: Duration,
    /// How long an answer waits for what it says of sessions to be done.
    pub command_timeout: Duration,
    /// The bearer credential of the filter's role, where the sidecar asks for one.
    pub credential: Option<String>,
    /// How often its keys are fetched.
    pub keys_refresh: Duration,
    /// How soon after the last time a token with an unknown key may have them fetched again.
    pub keys_refetch: Duration,
    /// For how long a worker believes what it knows from the feed.
    pub max_staleness: Duration,
}

/// An HTTP call. `Debug` hides the headers, among which is a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// Envoy's cluster.
    pub cluster: String,
    /// Headers, pseudo-headers among them.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What came of a call.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallReply {
    /// The HTTP status; `None` where there was no reply: no connection, no answer in time.
    pub status: Option<u16>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for CallReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A body may have keys in it.
        f.debug_struct("CallReply").field("status", &self.status).field("bytes", &self.body.len()).finish()
    }
}

impl CallReply {
    /// A call that brought no reply.
    pub fn failed() -> Self {
        Self::default()
    }

    /// The body of a reply with status 200, if it is of that type.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        self.ok_body().and_then(|body| serde_json::from_slice(body).ok())
    }

    /// The body of a reply with status 200.
    pub fn ok_body(&self) -> Option<&[u8]> {
        (self.status == Some(200)).then_some(self.body.as_slice())
    }
}

impl Sidecar {
    /// Asks what has changed; the sidecar may hold the reply back for `wait`.
    pub fn feed(&self, path: &str, wait: Duration) -> Call {
        let call = self.call("GET", path);
        Call { timeout: call.timeout.saturating_add(wait), ..call }
    }

    /// Reports sessions that were used. `None` if the report cannot be written down.
    pub fn activity(&self, activity: &Activity) -> Option<Call> {
        Some(self.post("/v1/activity", serde_json::to_vec(activity).ok()?))
    }

    /// Asks about a credential; `question` is a `CheckRequest` as it is sent.
    pub fn check(&self, question: Vec<u8>) -> Call {
        self.post("/v1/check", question)
    }

    /// Asks for leases of limits, and hands them back. `None` if the question cannot be written down.
    pub fn leases(&self, request: &LeaseRequest) -> Option<Call> {
        Some(self.post("/v1/leases", serde_json::to_vec(request).ok()?))
    }

    /// Has what an application says of sessions be done. `None` if it cannot be written down.
    pub fn session_command(&self, request: &SessionCommandRequest) -> Option<Call> {
        let call = self.post("/v1/session-commands", serde_json::to_vec(request).ok()?);
        Some(Call { timeout: self.command_timeout, ..call })
    }

    /// Asks whether an account is locked; `question` is a `SessionCommandRequest` as it is sent.
    pub fn login_lock(&self, question: Vec<u8>) -> Call {
        self.post("/v1/session-commands", question)
    }

    /// Asks for what takes a session token's place. One for which somebody `waits` has time: otherwise there is no page.
    /// `None` if the question cannot be written down.
    pub fn renewal(&self, token: &str, waits: bool) -> Option<Call> {
        let request = RenewRequest { token: token.to_owned() };
        let call = self.post("/v1/tokens/renew", serde_json::to_vec(&request).ok()?);
        let timeout = if waits { self.command_timeout } else { call.timeout };
        Some(Call { timeout, ..call })
    }

    fn post(&self, path: &str, body: Vec<u8>) -> Call {
        let mut call = self.call("POST", path);
        call.headers.push(("content-type", "application/json".to_owned()));
        call.body = Some(body);
        call
    }

    /// Tells this sidecar from others.
    pub fn name(&self) -> String {
        format!("{}/{}", self.cluster, self.authority)
    }

    /// Asks for the keys.
    pub fn keys(&self) -> Call {
        self.call("GET", "/v1/keys")
    }

    fn call(&self, method: &str, path: &str) -> Call {
        let mut headers = vec![
            (":method", method.to_owned()),
            (":path", path.to_owned()),
            (":authority", self.authority.clone()),
            ("accept", "application/json".to_owned()),
            (PROTOCOL_HEADER, PROTOCOL_VERSION.to_string()),
        ];
        headers.extend(self.credential.iter().map(|credential| ("authorization", format!("Bearer {credential}"))));
        Call { cluster: self.cluster.clone(), headers, body: None, timeout: self.timeout }
    }
}

impl fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            authority,
            timeout,
            command_timeout,
            credential,
            keys_refresh,
            keys_refetch,
            max_staleness,
        } = self;
        f.debug_struct("Sidecar")
            .field("cluster", cluster)
            .field("authority", authority)
            .field("timeout", timeout)
            .field("command_timeout", command_timeout)
            .field("credential", &credential.as_ref().map(|_| "…"))
            .field("keys_refresh", keys_refresh)
            .field("keys_refetch", keys_refetch)
            .field("max_staleness", max_staleness)
            .finish()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, headers: _, body: _, timeout } = self;
        f.debug_struct("Call").field("cluster", cluster).field("timeout", timeout).finish_non_exhaustive()
    }
}
