//! The demo's application: a few pages that check passwords, and leave all that follows to the gate. It knows its user by
//! the headers that the gate sets, and logs users in and out by a header of its answers. It calls nobody.

mod accounts;
mod pages;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header::LOCATION};
use axum::response::{IntoResponse as _, Json, Response};
use axum::{
    Router,
    routing::{get, post},
};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::accounts::{Accounts, User};
use crate::upstream::describe;

/// The running application; it ends when this is dropped.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl App {
    /// Starts it on that port, 0 stands for a free one, with more routes than its own.
    pub async fn start(port: u16, more: Router) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/", get(home))
            .route("/login", get(login_page).post(login))
            .route("/2fa", get(second_factor_page).post(second_factor))
            .route("/account", get(account))
            .route("/account/status", get(status))
            .route("/account/password", post(change_password))
            .route("/logout", post(logout))
            .route("/api/login", post(api_login))
            .with_state(Accounts::new())
            .merge(more)
            .fallback(echo);
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

// What follows is all that the application does about sessions: a header of an answer for each thing that can happen.

async fn login(State(accounts): State<Accounts>, Query(back): Query<Return>, Form(sent): Form<Login>) -> Response {
    let Some(user) = accounts.check(&sent.user, &sent.password) else {
        return (StatusCode::UNAUTHORIZED, failed(&sent.user), pages::login(Some(WRONG))).into_response();
    };
    let remember = if sent.remember.is_some() { ";class=\"remember\"" } else { "" };
    (logged_in(user, user.scopes, remember), see_other(back.path())).into_response()
}

async fn second_factor(Query(back): Query<Return>, headers: HeaderMap, Form(sent): Form<Code>) -> Response {
    match signed_in(&headers) {
        Some(user) if user.second_factor == Some(&sent.code) => {
            ([("x-session-elevate", "?1;amr=\"otp\"")], see_other(back.path())).into_response()
        }
        user => {
            let name = user.map_or("", |user| user.name);
            (StatusCode::UNAUTHORIZED, failed(name), pages::second_factor(Some(WRONG))).into_response()
        }
    }
}

async fn change_password(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    Form(sent): Form<NewPassword>,
) -> Response {
    let Some(user) = signed_in(&headers) else { return see_other("/login".to_owned()) };
    if accounts.check(user.name, &sent.password).is_none() {
        return (StatusCode::FORBIDDEN, failed(user.name), pages::account(user, Some(WRONG))).into_response();
    }
    accounts.change(user, sent.new);
    ([("x-session-password-changed", "?1")], see_other("/account".to_owned())).into_response()
}

async fn logout(form: Bytes) -> Response {
    let (which, next) = match &*form {
        b"which=others" => ("others", "/account"),
        b"which=all" => ("all", "/"),
        _ => ("current", "/"),
    };
    ([("x-session-logout", which)], see_other(next.to_owned())).into_response()
}

fn logged_in(user: &User, scopes: &[&str], remember: &str) -> [(&'static str, String); 1] {
    let second_factor = if user.second_factor.is_some() { ";pending_2fa" } else { "" };
    let (name, scopes) = (user.name, scopes.join(" "));
    [("x-session-login", format!("\"{name}\";scopes=\"{scopes}\";amr=\"pwd\"{remember}{second_factor}"))]
}

/// The gate counts it, also for a name that nobody has.
fn failed(name: &str) -> [(&'static str, String); 1] {
    [("x-session-login-failed", display_string(name))]
}

/// Who the gate says that this is.
fn signed_in(headers: &HeaderMap) -> Option<&'static User> {
    Accounts::user(headers.get("x-user-id")?.to_str().ok()?)
}

// The pages, and what forms send.

const WRONG: &str = "That is not right. Try again.";

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
    remember: Option<String>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct NewPassword {
    password: String,
    new: String,
}

/// Where the gate says that the user was going.
#[derive(Deserialize)]
struct Return {
    next: Option<String>,
}

impl Return {
    /// The same, if it is on this host: others can send people to a login page, too.
    fn path(self) -> String {
        let is_own = |next: &String| next.starts_with('/') && !next.starts_with("//");
        // Browsers read a backslash as a slash, and pass over tabs and ends of lines.
        let is_plain = |next: &String| !next.contains(|c: char| c == '\\' || c.is_control());
        self.next.filter(is_own).filter(is_plain).unwrap_or_else(|| "/account".to_owned())
    }
}

async fn home(headers: HeaderMap) -> Response {
    pages::home(signed_in(&headers))
}

async fn login_page() -> Response {
    pages::login(None)
}

async fn second_factor_page() -> Response {
    pages::second_factor(None)
}

async fn account(headers: HeaderMap) -> Response {
    signed_in(&headers).map_or_else(|| see_other("/login".to_owned()), |user| pages::account(user, None))
}

/// What the page asks for each second.
async fn status(headers: HeaderMap) -> Response {
    Json(json!({"user": signed_in(&headers).map(|user| user.name)})).into_response()
}

fn see_other(path: String) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response()
}

/// Whatever was typed, as a structured field can say it (RFC 9651, section 3.3.8).
fn display_string(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b' '..=b'~' if byte != b'%' && byte != b'"' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    });
    format!("%\"{}\"", escaped.collect::<String>())
}

// For programs.

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
    /// Fewer scopes than the user may have.
    scopes: Option<Vec<String>>,
}

/// The token comes back in a header, since the gate's route says so.
async fn api_login(State(accounts): State<Accounts>, body: Bytes) -> Response {
    let Ok(sent) = serde_json::from_slice::<Credentials>(&body) else {
        return answer(StatusCode::BAD_REQUEST, "send {\"user\": …, \"password\": …, \"scopes\": […]}");
    };
    let Some(user) = accounts.check(&sent.user, &sent.password) else {
        let refusal = answer(StatusCode::UNAUTHORIZED, "wrong user or password");
        return (failed(&sent.user), refusal).into_response();
    };
    let wanted = |scope: &&str| sent.scopes.as_ref().is_none_or(|wanted| wanted.iter().any(|one| one == scope));
    let scopes: Vec<&str> = user.scopes.iter().copied().filter(wanted).collect();
    (logged_in(user, &scopes, ""), answer(StatusCode::OK, "the token is in x-session-token")).into_response()
}

/// Everything else tells what reached the application.
async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    match body.collect().await {
        Ok(body) => Json(describe(&head, &body.to_bytes())).into_response(),
        Err(_) => answer(StatusCode::BAD_REQUEST, "the body has not come"),
    }
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}
