//! The demo's application: it checks passwords, and leaves all that follows to the gate. It knows the
//! sidecar by two calls, and its user by the header that the gate sets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header::SET_COOKIE};
use axum::response::{IntoResponse as _, Json, Response};
use axum::{Router, routing::post};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::{Call, Http};
use crate::upstream::describe;

/// Who may log in: name, password, scopes.
const USERS: [(&str, &str, &[&str]); 2] = [("alice", "wonderland", &["read", "write"]), ("bob", "builder", &["read"])];

/// The running application; it ends when this is dropped.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    server: JoinHandle<()>,
}

struct Context {
    sidecar: SocketAddr,
}

impl App {
    /// Starts it on that port; 0 stands for a free one.
    pub async fn start(port: u16, sidecar: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/login", post(login))
            .route("/logout", post(logout))
            .fallback(echo)
            .with_state(Arc::new(Context { sidecar }));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the application has ended: {error}");
            }
        });
        Ok(Self { address, server })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
    /// Fewer scopes than the user may have.
    scopes: Option<Vec<String>>,
}

async fn login(State(context): State<Arc<Context>>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let Ok(credentials) = serde_json::from_slice::<Credentials>(&body) else {
        return Ok(answer(StatusCode::BAD_REQUEST, "send {\"user\": …, \"password\": …, \"scopes\": […]}"));
    };
    let known = USERS.iter().find(|(user, password, _)| *user == credentials.user && *password == credentials.password);
    let Some((user, _, allowed)) = known else {
        return Ok(answer(StatusCode::UNAUTHORIZED, "wrong user or password"));
    };
    let scopes: Vec<&str> = match &credentials.scopes {
        Some(wanted) => allowed.iter().copied().filter(|scope| wanted.iter().any(|wanted| wanted == scope)).collect(),
        None => allowed.to_vec(),
    };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let request = Call::post("/v1/login").json(&json!({
        "user_id": user,
        "scopes": scopes,
        "amr": ["pwd"],
        "user_agent": text("user-agent"),
        // Envoy sets this header, and lets no client set it.
        "ip_address": text("x-envoy-external-address"),
    }));
    let reply = request.send(context.sidecar, Http::V1).await?;
    let token = reply.field("/token/token").with_context(|| format!("the sidecar answers {}", reply.text()))?;
    let expires_at = reply.json()?.pointer("/token/expires_at").cloned();
    let cookie = format!("__Host-session-gate={token}; Path=/; Secure; HttpOnly; SameSite=Lax");
    Ok(([(SET_COOKIE, cookie)], Json(json!({"token": token, "expires_at": expires_at}))).into_response())
}

async fn logout(State(context): State<Arc<Context>>, headers: HeaderMap) -> Result<Response, Failure> {
    // The gate sets this header, and lets no client set it.
    let session_id = headers.get("x-session-id").and_then(|value| value.to_str().ok());
    let request = Call::post("/v1/logout?wait=applied").json(&json!({"session_id": session_id}));
    let reply = request.send(context.sidecar, Http::V1).await?;
    let ended: Value = reply.json()?;
    let cookie = "__Host-session-gate=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";
    Ok(([(SET_COOKIE, cookie)], Json(ended)).into_response())
}

/// Everything else tells what reached the application.
async fn echo(request: Request) -> Result<Json<Value>, Failure> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(anyhow::Error::from)?.to_bytes();
    Ok(Json(describe(&head, &body)))
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}

/// A call to the sidecar that failed.
struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("the application cannot answer: {:#}", self.0);
        answer(StatusCode::BAD_GATEWAY, "the session service does not answer as it should")
    }
}
