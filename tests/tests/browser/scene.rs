//! The demo as these tests start it, with a browser before it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use hyper::Method;
use serde_json::{Value, json};
use session_gate_tests::demo::{Demo, Options, Ports};
use session_gate_tests::redis::Fsync;
use session_gate_tests::sidecar::counted_in;
use session_gate_tests::{Call, Http, Reply, Store};
use tempfile::TempDir;

use crate::browser::Browser;

/// The name by which browsers know the gate; all names lead to this machine.
pub const GATE: &str = "gate.shop.example";
/// Another host of the same site.
pub const SIBLING: &str = "blog.shop.example";
/// Another site.
pub const EVIL: &str = "evil.example";

/// What a test wants otherwise than it is in the demo.
#[derive(Debug)]
pub struct Setup {
    /// What is put over the filter's configuration.
    pub filter: Value,
    /// Routes of the filter before all others.
    pub routes: Vec<Value>,
    pub pages: Vec<Page>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { filter: json!({}), routes: Vec::new(), pages: Vec::new() }
    }
}

/// A page of another host, which the same Envoy serves: its path, and what is in it. `GATE` stands for the gate's origin.
pub type Page = (&'static str, &'static str);

/// The running demo. Dropping it stops it.
#[derive(Debug)]
pub struct Scene {
    pub demo: Demo,
    careless: Arc<Careless>,
    dir: TempDir,
}

impl Scene {
    /// The demo on Redis with four workers.
    pub async fn start() -> Result<Self> {
        Self::start_with(Setup::default()).await
    }

    /// The same, with pages of other hosts.
    pub async fn with_pages(pages: &[Page]) -> Result<Self> {
        Self::start_with(Setup { pages: pages.to_vec(), ..Setup::default() }).await
    }

    /// The same, with what a test wants otherwise.
    pub async fn start_with(setup: Setup) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("session-gate-browser-").tempdir()?;
        let careless = Arc::new(Careless::default());
        // Nothing is refused for a machine that is busy.
        let changes = json!({
            "sidecar": {"timeout": "5s", "max_staleness": "5s", "command_timeout": "10s"},
            "rate_limits": {"login": {"requests": 1000, "window": "1min", "exact": true}},
        });
        let mut app = Router::new()
            .route("/careless-logout", get(careless_logout).with_state(Arc::clone(&careless)))
            .route("/callback", get(callback))
            .route("/plain", get(async || Html("<p>A private page</p><a href=/plain/next>Next</a>")));
        for (path, body) in setup.pages {
            app = app.route(path, get(move |headers: HeaderMap| std::future::ready(foreign(body, &headers))));
        }
        let mut all = setup.routes;
        all.extend(routes());
        // A busy disk may take longer than the sidecar waits.
        let fsync = Fsync::EverySecond;
        let options = Options { workers: 4, fsync, filter: with(changes, setup.filter)?, routes: all, app };
        let demo = Demo::start_with(options, Store::Redis, Ports::default(), dir.path()).await?;
        Ok(Self { demo, careless, dir })
    }

    /// A browser with an empty profile.
    pub async fn browser(&self) -> Result<Browser> {
        Browser::start(self.demo.gate().tls.port(), self.dir.path()).await
    }

    pub async fn ask_sidecar(&self, call: Call) -> Result<Reply> {
        call.send(self.demo.sidecar().address(), Http::V1).await
    }

    /// Ends all of a user's sessions, and waits until every worker knows.
    pub async fn end_all_sessions_of(&self, user: &str) -> Result<()> {
        let path = format!("/v1/users/{user}/sessions?wait=applied");
        let reply = self.ask_sidecar(Call::new(Method::DELETE, &path)).await?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        Ok(())
    }

    /// How many tokens the sidecar has renewed.
    pub async fn renewed(&self) -> Result<u64> {
        let metrics = self.ask_sidecar(Call::get("/metrics")).await?.text();
        counted_in(&metrics, "session_gate_tokens_renewed_total", r#"outcome="renewed""#)
    }

    /// The `Sec-Purpose` of each request for the careless logout, empty where there was none.
    pub fn careless_logouts(&self) -> Vec<String> {
        self.careless.purposes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What every test ends with.
    pub async fn ends_well(&mut self) -> Result<()> {
        self.demo.ensure_no_crash().await
    }
}

fn routes() -> Vec<Value> {
    vec![
        json!({
            "name": "other-hosts", "match": {"hosts": [SIBLING, EVIL], "methods": ["GET"]}, "authentication": "public",
        }),
        json!({
            "name": "careless", "match": {"path": {"exact": "/careless-logout"}}, "authentication": "public",
            "session_commands": {"allow": ["logout"], "on_navigation": true},
        }),
        json!({
            "name": "callback", "match": {"path": {"exact": "/callback"}}, "authentication": "public",
            "session_commands": {"allow": ["login"], "on_navigation": true},
        }),
        json!({"name": "plain", "match": {"path": {"prefix": "/plain"}}}),
        json!({
            "name": "admin", "match": {"path": {"prefix": "/admin"}}, "scopes": {"all": ["admin"]},
        }),
    ]
}

fn with(mut base: Value, changes: Value) -> Result<Value> {
    let Value::Object(changes) = changes else { anyhow::bail!("an object") };
    base.as_object_mut().context("an object")?.extend(changes);
    Ok(base)
}

/// An application that logs out in answer to GET.
#[derive(Debug, Default)]
struct Careless {
    purposes: Mutex<Vec<String>>,
}

async fn careless_logout(State(careless): State<Arc<Careless>>, request: Request) -> Response {
    let purpose = request.headers().get("sec-purpose").and_then(|value| value.to_str().ok()).unwrap_or_default();
    careless.purposes.lock().unwrap_or_else(PoisonError::into_inner).push(purpose.to_owned());
    ([("x-session-logout", "current")], Html("<p>Careless</p>")).into_response()
}

/// Where an identity provider sends back to.
async fn callback() -> Response {
    (StatusCode::SEE_OTHER, [("x-session-login", "\"alice\""), ("location", "/account")]).into_response()
}

/// A page of another host: its forms and links lead to the gate, on whatever port that is.
fn foreign(body: &str, headers: &HeaderMap) -> Response {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit(':').next().unwrap_or_default();
    Html(format!("<!doctype html><body>{}</body>", body.replace("GATE", &format!("https://{GATE}:{port}"))))
        .into_response()
}
