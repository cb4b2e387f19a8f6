//! The demo's application: it checks passwords, and leaves all that follows to the gate. It knows its user by the headers
//! that the gate sets, and logs users in and out by a header of its answers. It calls nobody.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::{Form, Query, Request};
use axum::http::{HeaderMap, StatusCode, header::LOCATION};
use axum::response::{Html, IntoResponse as _, Json, Response};
use axum::{
    Router,
    routing::{get, post},
};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::upstream::describe;

/// Who may log in: name, password, scopes.
const USERS: [(&str, &str, &[&str]); 2] = [("alice", "wonderland", &["read", "write"]), ("bob", "builder", &["read"])];

/// The running application; it ends when this is dropped.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl App {
    /// Starts it on that port; 0 stands for a free one.
    pub async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/", get(home))
            .route("/login", get(login_page).post(login))
            .route("/api/login", post(api_login))
            .route("/logout", post(logout))
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

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
    /// Fewer scopes than the user may have.
    scopes: Option<Vec<String>>,
}

impl Credentials {
    /// What the gate is told, and whether the password is right.
    fn session_header(&self) -> (bool, [(&'static str, String); 1]) {
        let is_right = |known: &&(&str, &str, _)| known.0 == self.user && known.1 == self.password;
        let Some((user, _, allowed)) = USERS.iter().find(is_right) else {
            return (false, [("x-session-login-failed", display_string(&self.user))]);
        };
        let wanted = |scope: &&str| self.scopes.as_ref().is_none_or(|wanted| wanted.iter().any(|one| one == scope));
        let scopes: Vec<&str> = allowed.iter().copied().filter(wanted).collect();
        (true, [("x-session-login", format!("\"{user}\";scopes=\"{}\";amr=\"pwd\"", scopes.join(" ")))])
    }
}

/// Whatever was typed, as a structured field can say it (RFC 9651, section 3.3.8).
fn display_string(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b' '..=b'~' if byte != b'%' && byte != b'"' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    });
    format!("%\"{}\"", escaped.collect::<String>())
}

async fn home(headers: HeaderMap) -> Html<String> {
    let user = headers.get("x-user-id").and_then(|value| value.to_str().ok());
    let known = USERS.iter().find(|(known, ..)| Some(*known) == user);
    Html(match known {
        Some((user, ..)) => format!(
            "<p>You are {user}. <a href=\"/orders\">Your orders</a></p>\
             <form method=\"post\" action=\"/logout\"><button>Log out</button></form>"
        ),
        None => "<p>You are not logged in. <a href=\"/login\">Log in</a></p>".to_owned(),
    })
}

async fn login_page() -> Html<&'static str> {
    Html(
        "<form method=\"post\"><p>alice has the password wonderland, and bob builder.</p>\
         <input name=\"user\" placeholder=\"user\"> <input name=\"password\" type=\"password\" placeholder=\"password\"> \
         <button>Log in</button></form>",
    )
}

/// Where the gate says that the user was going.
#[derive(Deserialize)]
struct Return {
    next: Option<String>,
}

impl Return {
    /// The same, if it is on this host.
    fn path(self) -> String {
        let is_own = |next: &String| next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\");
        self.next.filter(is_own).unwrap_or_else(|| "/".to_owned())
    }
}

/// The form is sent to the address at which it was shown, with what was going to come next.
async fn login(Query(back): Query<Return>, Form(credentials): Form<Credentials>) -> Response {
    match credentials.session_header() {
        (true, header) => (StatusCode::SEE_OTHER, header, [(LOCATION, back.path())]).into_response(),
        (false, header) => {
            let page = Html("<p>Wrong user or password. <a href=\"/login\">Again</a></p>");
            (StatusCode::UNAUTHORIZED, header, page).into_response()
        }
    }
}

/// The same for programs.
async fn api_login(body: Bytes) -> Response {
    let Ok(credentials) = serde_json::from_slice::<Credentials>(&body) else {
        return answer(StatusCode::BAD_REQUEST, "send {\"user\": …, \"password\": …, \"scopes\": […]}");
    };
    match credentials.session_header() {
        (true, header) => (header, answer(StatusCode::OK, "the token is in x-session-token")).into_response(),
        (false, header) => (header, answer(StatusCode::UNAUTHORIZED, "wrong user or password")).into_response(),
    }
}

async fn logout() -> Response {
    (StatusCode::SEE_OTHER, [("x-session-logout", "current")], [(LOCATION, "/")]).into_response()
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
