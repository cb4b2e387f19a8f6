mod background;
mod changes;
mod check;
mod cut_off;
mod elevation;
mod endpoints;
mod feed;
mod golden;
mod hardening;
mod idempotency;
mod leases;
mod limits;
mod lockouts;
mod login;
mod meta;
mod opaque;
mod receipts;
mod refresh;
mod renewal;
mod roles;
mod rules;
mod scopes;
mod session_classes;
mod session_commands;
mod session_limit;
mod sessions;
mod tokens;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use secrecy::SecretString;
use serde_json::Value;
use session_gate_protocol::{
    CheckRequest, Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SlotTag, TokenId,
    UnixSeconds, UserId, WhenFull,
};
use tower::ServiceExt as _;

use super::*;
use crate::{
    clock::ManualClock,
    config::{LockoutConfig, SessionClass, SessionConfig, TokenConfig},
    credentials::{Credentials, Role},
    feed::Feed,
    keys::{Algorithm, CurrentKeys, KeyRing, KeySource, Signing},
    metered_store::MeteredStore,
    metrics::Metrics,
    rng::testing::SeededRandom,
    service::Tools,
    store::{
        Admission, Admitted, BegunCutOff, Checked, CreateSession, DeviceTallied, FeedPage, FeedPosition, Followers,
        Health, IdempotencyHash, IdempotencyRecords, IndexPlace, LaterVersion, Leased, LockRules, LoginAttempt,
        LoginCounter, LoginCounters, LoginHash, NewFeedEntry, OperationId, PageAsk, PublishedFollowers, RefreshPut,
        RefreshRecord, Renewal, Renewed, Rotated, Rotation, SessionPage, Store, StoreError, StoreErrorKind,
        StoreSettings, Swept, Tallied, Termination, Untold, Update,
        faulty::{Faults, Faulty},
        memory::MemoryStore,
    },
};

const START: UnixSeconds = UnixSeconds(1_790_000_000);
const SECRET: &str = "a secret for tests, and for nothing else";
const UNKNOWN_SESSION: &str = "/v1/sessions/K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// A whole API on the memory store, at a time that the test decides.
struct Gate {
    router: Router,
    api: Arc<Api>,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    keys: Arc<CurrentKeys>,
}

/// Makes the store of a test, of a memory store where it likes.
type MakeStore = Box<dyn FnOnce(Arc<MemoryStore>) -> Arc<dyn Store>>;

/// What a test changes.
#[derive(Default)]
struct Setup {
    credentials: Credentials,
    idle_timeout: Option<Duration>,
    no_metrics: bool,
    /// How long before its end a token is renewed; none: a quarter of an hour.
    refresh_threshold: Option<Duration>,
    /// Whether a change of the password ends no session.
    sessions_outlive_passwords: bool,
    /// So that two gates name nothing alike.
    skipped_randomness: u64,
    /// What becomes of a login of a user who has as many sessions as allowed.
    when_full: WhenFull,
    /// Puts something between the service and the memory store.
    store: Option<MakeStore>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's code, and its wrong fields.
    fn problem(&self) -> (u16, String, Vec<String>) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        assert_eq!(self.header("cache-control"), "no-store");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        let fields = json["errors"].as_array().cloned().unwrap_or_default();
        let names = fields.iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect();
        (self.status.as_u16(), json["code"].as_str().unwrap().to_owned(), names)
    }
}

fn source(algorithm: Algorithm) -> KeySource {
    KeySource { signing: Signing::Secret { secret: SecretString::from(SECRET), algorithm }, previous_secret: None }
}

fn ring() -> KeyRing {
    source(Algorithm::Hs256).load(&SeededRandom::default()).unwrap()
}

fn classes() -> BTreeMap<String, SessionClass> {
    let browser = SessionClass {
        duration: Duration::from_hours(24),
        idle_timeout: Some(Duration::from_secs(30 * 60)),
        is_persistent: false,
    };
    let remember = SessionClass {
        duration: Duration::from_hours(90 * 24),
        idle_timeout: Some(Duration::from_hours(14 * 24)),
        is_persistent: true,
    };
    [("browser", browser), ("remember", remember)].map(|(name, class)| (name.to_owned(), class)).into()
}

fn policy() -> PublishedPolicy {
    PublishedPolicy {
        min_password_length: 12,
        max_login_attempts: 5,
        lockout_duration: 1800,
        require_2fa: false,
        force_logout_on_password_change: true,
        require_https: false,
        session_duration: 86_400,
        session_idle_timeout: None,
        token_duration: 3600,
        token_refresh_threshold: 900,
    }
}

impl Gate {
    fn new() -> Self {
        Self::with(Setup::default())
    }

    fn with(setup: Setup) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let random = SeededRandom::default();
        random.skip(setup.skipped_randomness);
        let random: Arc<dyn Random> = Arc::new(random);
        let settings = StoreSettings { max_metadata_bytes: 5000, ..StoreSettings::default() };
        let made = Arc::new(MemoryStore::new(Arc::clone(&clock) as _, settings, Arc::clone(&random)));
        let store: Arc<dyn Store> = match setup.store {
            Some(make) => make(made),
            None => made,
        };
        let metrics = Arc::new(Metrics::default());
        let store: Arc<dyn Store> = Arc::new(MeteredStore::new(store, Arc::clone(&metrics)));
        let keys = Arc::new(CurrentKeys::new(ring()));
        let tools = Tools {
            clock: Arc::clone(&clock) as _,
            feed: Arc::new(Feed::start(Arc::clone(&store), Arc::clone(&metrics), "here".to_owned())),
            keys: Arc::clone(&keys),
            random: Arc::clone(&random),
            store: Arc::clone(&store),
            metrics,
        };
        let session = SessionConfig {
            duration: Duration::from_hours(24),
            idle_timeout: setup.idle_timeout,
            classes: classes(),
            max_per_user: 5,
            when_full: setup.when_full,
            lockout: LockoutConfig::default(),
            password_change_ends_sessions: !setup.sessions_outlive_passwords,
            store: settings,
        };
        let tokens = TokenConfig {
            duration: Duration::from_hours(1),
            refresh_threshold: setup.refresh_threshold.unwrap_or(Duration::from_secs(900)),
            issuer: "session-gate".to_owned(),
            audience: "api".to_owned(),
            keys: source(Algorithm::Hs256),
        };
        let service = Service::new(tools, session, &tokens);
        let api = Arc::new(Api {
            service,
            credentials: CurrentCredentials::new(setup.credentials),
            policy: policy(),
            metrics: !setup.no_metrics,
        });
        Self { router: router(Arc::clone(&api), random), api, store, clock, keys }
    }

    fn broken(kind: StoreErrorKind) -> Self {
        Self::with(Setup { store: Some(Box::new(move |_| Arc::new(BrokenStore(kind)))), ..Setup::default() })
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// Lets what goes on in the background come to its end.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    /// Ends what is at that path, and waits until everybody knows.
    async fn delete_and_wait(&self, path: &str) -> Answer {
        self.delete(&format!("{path}?wait=applied")).await
    }

    async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.send_json("POST", path, body).await
    }

    async fn patch(&self, path: &str, body: impl ToString) -> Answer {
        self.send_json("PATCH", path, body).await
    }

    async fn send_json(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn form(&self, path: &str, body: impl ToString) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Logs in and answers the path of the session and the token.
    async fn login(&self, user: &str) -> (String, String) {
        let answer = self.post("/v1/login", serde_json::json!({"user_id": user, "scopes": ["read"]})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let json = answer.json();
        let id = json["session"]["session_id"].as_str().unwrap();
        (format!("/v1/sessions/{id}"), json["token"]["token"].as_str().unwrap().to_owned())
    }

    /// A token of that session which is not renewed.
    async fn token_of(&self, path: &str) -> String {
        let id = path.rsplit('/').next().unwrap();
        let minted = self.post("/v1/tokens", serde_json::json!({"session_id": id, "scopes": ["read"]})).await;
        minted.json()["token"].as_str().unwrap().to_owned()
    }

    /// Asks of a verified token of ours.
    async fn check(&self, token: &Value) -> Answer {
        let mut credential = token.clone();
        credential["kind"] = Value::from("own");
        self.post("/v1/check", serde_json::json!({ "credential": credential })).await
    }

    async fn is_active(&self, token: &str) -> bool {
        self.form("/v1/tokens/introspect", format!("token={token}")).await.json()["active"] == true
    }
}

/// A gate over such a store, and what makes it fail.
fn faulty(idle_timeout: Option<Duration>) -> (Gate, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let given = Arc::clone(&faults);
    let store: MakeStore = Box::new(move |store| Arc::new(Faulty::new(store, given)));
    (Gate::with(Setup { store: Some(store), idle_timeout, ..Setup::default() }), faults)
}

fn verdict(answer: &Answer) -> String {
    answer.json()["verdict"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

fn problem(status: u16, code: &str, fields: &[&str]) -> (u16, String, Vec<String>) {
    (status, code.to_owned(), fields.iter().map(|&field| field.to_owned()).collect())
}

/// A store that can do nothing.
struct BrokenStore(StoreErrorKind);

impl BrokenStore {
    fn fail<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::new(self.0, "what only the log may know"))
    }
}

#[async_trait]
impl IdempotencyRecords for BrokenStore {
    async fn claim_idempotency(&self, _: &IdempotencyHash, _: &str, _: Duration) -> Result<Option<String>, StoreError> {
        self.fail()
    }
    async fn settle_idempotency(
        &self,
        _: &IdempotencyHash,
        _: &str,
        _: Option<&str>,
        _: Duration,
    ) -> Result<bool, StoreError> {
        self.fail()
    }
}

#[async_trait]
impl LoginCounters for BrokenStore {
    async fn login_attempt(&self, _: &LoginCounter, _: LoginAttempt, _: &LockRules) -> Result<Tallied, StoreError> {
        self.fail()
    }
    async fn unlock_account(&self, _: &LoginHash) -> Result<(), StoreError> {
        self.fail()
    }
    async fn device_attempt(
        &self,
        _: &LoginHash,
        _: &LoginHash,
        _: bool,
        _: &LockRules,
    ) -> Result<DeviceTallied, StoreError> {
        self.fail()
    }
    async fn issue_device(
        &self,
        _: &LoginHash,
        _: &LoginHash,
        _: Option<&LoginHash>,
        _: Duration,
    ) -> Result<(), StoreError> {
        self.fail()
    }
}

#[async_trait]
impl Store for BrokenStore {
    async fn admit_session(&self, _: CreateSession, _: &Admission, _: OperationId) -> Result<Admitted, StoreError> {
        self.fail()
    }
    async fn note_evictions(&self, _: &UserId, _: OperationId) -> Result<(), StoreError> {
        self.fail()
    }
    async fn evictions_told(&self, _: &UserId, _: OperationId) -> Result<(), StoreError> {
        self.fail()
    }
    async fn overdue_evictions(&self) -> Result<Vec<Untold>, StoreError> {
        self.fail()
    }
    async fn put_takeover(&self, _: &UserId, _: &str, _: &str, _: Duration) -> Result<(), StoreError> {
        self.fail()
    }
    async fn take_takeover(&self, _: &UserId, _: &str) -> Result<Option<String>, StoreError> {
        self.fail()
    }
    async fn rotate_session(&self, _: &SessionId, _: &Rotation, _: OperationId) -> Result<Rotated, StoreError> {
        self.fail()
    }
    async fn renew_token(&self, _: &SessionId, _: &Renewal) -> Result<Renewed, StoreError> {
        self.fail()
    }
    async fn refresh_record(&self, _: &SessionId) -> Result<Option<RefreshRecord>, StoreError> {
        self.fail()
    }
    async fn put_refresh_record(&self, _: &SessionId, _: Option<&str>, _: &str) -> Result<RefreshPut, StoreError> {
        self.fail()
    }
    async fn session(&self, _: &SessionId) -> Result<Option<SessionData>, StoreError> {
        self.fail()
    }
    async fn update_session(
        &self,
        _: &SessionId,
        _: &SessionPatch,
        _: Option<ETag>,
        _: OperationId,
    ) -> Result<Update, StoreError> {
        self.fail()
    }
    async fn terminate_session(&self, _: &SessionId, _: OperationId) -> Result<Termination, StoreError> {
        self.fail()
    }
    async fn restore_version(&self, _: &SessionId, _: &LaterVersion) -> Result<(), StoreError> {
        self.fail()
    }
    async fn list_sessions(&self, _: &UserId, _: &PageAsk) -> Result<SessionPage, StoreError> {
        self.fail()
    }
    async fn begin_cut_off(&self, _: &UserId, _: Option<&SessionId>, _: u64) -> Result<BegunCutOff, StoreError> {
        self.fail()
    }
    async fn finish_cut_off(&self, _: &UserId, _: u64, _: Option<&SessionId>) -> Result<(), StoreError> {
        self.fail()
    }
    async fn sweep_sessions(&self, _: &UserId, _: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        self.fail()
    }
    async fn revoke_token(&self, _: &UserId, _: &TokenId, _: UnixSeconds) -> Result<(), StoreError> {
        self.fail()
    }
    async fn check(&self, _: &OwnToken) -> Result<Checked, StoreError> {
        self.fail()
    }
    async fn put_opaque(&self, _: &SlotTag, _: &str, _: &Claims, _: UnixSeconds) -> Result<(), StoreError> {
        self.fail()
    }
    async fn opaque(&self, _: &SlotTag, _: &str) -> Result<Option<Claims>, StoreError> {
        self.fail()
    }
    async fn touch(&self, _: &[SessionId]) -> Result<(), StoreError> {
        self.fail()
    }
    async fn append_feed(&self, _: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        self.fail()
    }
    async fn read_feed(&self, _: Option<&FeedPosition>, _: usize) -> Result<FeedPage, StoreError> {
        self.fail()
    }
    async fn publish_followers(&self, _: &str, _: &Followers, _: Duration, _: Duration) -> Result<(), StoreError> {
        self.fail()
    }
    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        self.fail()
    }
    async fn lease(&self, _: &str, _: &LeaseAsk) -> Result<Leased, StoreError> {
        self.fail()
    }
    async fn health(&self) -> Result<Health, StoreError> {
        self.fail()
    }
}
