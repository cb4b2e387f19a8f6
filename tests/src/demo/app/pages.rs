//! The application's pages. All but the line that polls work without scripts.

use axum::http::header::CACHE_CONTROL;
use axum::response::{Html, IntoResponse, Response};

use super::accounts::User;

/// `no-store`: after a logout the browser's back button must not show it again.
fn page(title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    );
    ([(CACHE_CONTROL, "no-store")], Html(html)).into_response()
}

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem 1rem; }
main { max-width: 34rem; margin: auto; }
form { margin: 1.5rem 0; }
label { display: block; margin: .75rem 0; }
input:not([type=checkbox]) { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: .4rem; }
button { font: inherit; padding: .4rem 1rem; }
[role=alert] { border-left: .25rem solid #c00; padding-left: .75rem; }
";

pub fn home(user: Option<&User>) -> Response {
    let body = match user {
        Some(user) => format!(
            "<p>You are signed in as <strong>{}</strong>.</p>\n<p><a href=\"/account\">Your account</a></p>\n",
            user.name
        ),
        None => "<p>You are not signed in.</p>\n<p><a href=\"/login\">Sign in</a></p>\n".to_owned(),
    };
    page("Session Gate's demo", &body)
}

/// The forms are sent to the address at which they are shown: it says where the user was going.
pub fn login(alert: Option<&str>) -> Response {
    let alert = alert.map(|alert| format!("<p role=\"alert\">{alert}</p>\n")).unwrap_or_default();
    let body = "<form method=\"post\">\n\
        <label>Name <input name=\"user\" autocomplete=\"username\" required autofocus></label>\n\
        <label>Password <input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label>\n\
        <label><input name=\"remember\" type=\"checkbox\" value=\"yes\"> Stay signed in when the browser is closed</label>\n\
        <button>Sign in</button>\n</form>\n\
        <p>To try: alice with wonderland, bob with builder, carol with christmas and a second factor.</p>\n";
    page("Sign in", &(alert + body))
}

pub fn second_factor(alert: Option<&str>) -> Response {
    let alert = alert.map(|alert| format!("<p role=\"alert\">{alert}</p>\n")).unwrap_or_default();
    let body = "<form method=\"post\">\n\
        <label>Code <input name=\"code\" inputmode=\"numeric\" autocomplete=\"one-time-code\" required autofocus></label>\n\
        <button>Go on</button>\n</form>\n<p>To try: 123456.</p>\n\
        <form method=\"post\" action=\"/logout\"><button>Not now</button></form>\n";
    page("Second factor", &(alert + body))
}

pub fn account(user: &User, alert: Option<&str>) -> Response {
    let alert = alert.map(|alert| format!("<p role=\"alert\">{alert}</p>\n")).unwrap_or_default();
    let body = format!(
        "<p>You are signed in as <strong>{}</strong>, who may: {}.</p>\n\
         <p id=\"status\" role=\"status\"></p>\n\
         <form method=\"post\" action=\"/logout\">\n<button>Sign out</button>\n\
         <button name=\"which\" value=\"others\">Sign out elsewhere</button>\n\
         <button name=\"which\" value=\"all\">Sign out everywhere</button>\n</form>\n\
         <h2>Change the password</h2>\n<form method=\"post\" action=\"/account/password\">\n\
         <label>Password <input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label>\n\
         <label>New password <input name=\"new\" type=\"password\" autocomplete=\"new-password\" required></label>\n\
         <button>Change and sign out elsewhere</button>\n</form>\n<script>{POLL}</script>\n",
        user.name,
        user.scopes.join(", ")
    );
    page("Your account", &(alert + &body))
}

/// Asks each second whether the session still lives. The gate renews the cookie meanwhile, should it come to that.
const POLL: &str = r#"
const status = document.getElementById("status");
async function poll() {
  const answer = await fetch("/account/status").catch(() => null);
  if (answer?.ok) status.textContent = `Still signed in at ${new Date().toLocaleTimeString()}.`;
  else if (answer?.status === 401) return void (status.innerHTML = 'You have been signed out. <a href="">Sign in</a>');
  else status.textContent = "The application cannot be reached just now.";
  setTimeout(poll, 1000);
}
poll();
"#;
