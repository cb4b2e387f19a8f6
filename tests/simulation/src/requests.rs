//! The calls of clients, as they are written.

use serde_json::{Value, json};

use crate::{
    clients::{ClientCall, Kind},
    crowd,
    foreign::ISSUER,
    guesses,
    numbers::UserNumber,
    refresh,
    rules::{self, Barred},
    sidecar::ApiCall,
    store::MAX_METADATA_BYTES,
    world::World,
};

impl World {
    /// A call; none where what it is about is not there. `variety` of a thousand decides about small things.
    pub(crate) fn written(&self, call: &ClientCall, variety: u32) -> Option<ApiCall> {
        let session = || call.session.and_then(|session| self.truth.session(session)).map(|session| &session.id);
        let token = || call.token.and_then(|token| self.truth.token(token)).map(|token| &token.text);
        let wait = if call.wait { "?wait=applied" } else { "" };
        let user = format!("user-{}", call.user);
        let change = |change: Value| Some(with_json("PATCH", format!("/v1/sessions/{}{wait}", session()?), &change));
        let patch = |status: &str| change(json!({ "status": status }));
        Some(match call.kind {
            Kind::Annotate => change(json!({"metadata": {"note": variety}}))?,
            Kind::BlockAddress | Kind::BlockUser | Kind::RevokeForeign => {
                let lasting = 1 + variety % 6;
                let (path, body) = match call.kind.rule(call.user)?.0 {
                    Barred::Address(number) => {
                        ("blocks", json!({"address": rules::address(number), "duration": lasting}))
                    }
                    Barred::Tokens(_) => ("revocations", json!({"iss": ISSUER, "sub": user, "duration": lasting})),
                    Barred::User(_) => ("blocks", json!({"user_id": user, "duration": lasting})),
                };
                with_json("POST", format!("/v1/{path}{wait}"), &body)
            }
            Kind::UnblockAddress | Kind::UnblockUser | Kind::UnrevokeForeign => {
                let barred = call.kind.rule(call.user)?.0;
                let path = if matches!(barred, Barred::Tokens(_)) { "revocations" } else { "blocks" };
                without_body(format!("/v1/{path}/{}{wait}", barred.rule_id()?))
            }
            Kind::Elevate => {
                let named = match call.token {
                    Some(_) => json!({"token": token()?}),
                    None => json!({"session_id": session()?}),
                };
                with_json("POST", "/v1/elevate".to_owned(), &named)
            }
            Kind::Guess => with_json("POST", "/v1/logins/failed".to_owned(), &guesses::failure(call.user, variety)),
            Kind::Login => with_json("POST", "/v1/login".to_owned(), &login(call.user, None, variety)),
            Kind::LoginByDevice => {
                let device = Some(self.ledgers.guesses.device(call.user)?);
                with_json("POST", "/v1/login".to_owned(), &login(call.user, device, variety))
            }
            Kind::Logout => with_json("POST", format!("/v1/logout{wait}"), &json!({"token": token()?})),
            Kind::Mint => {
                let duration = (variety < 50).then_some(2 + variety % 6);
                let body = json!({"session_id": session()?, "scopes": scopes(variety), "duration": duration});
                with_json("POST", "/v1/tokens".to_owned(), &body)
            }
            Kind::MintOpaque => {
                let duration = (variety < 300).then_some(2 + variety % 6);
                let (whose, id) = match call.session {
                    Some(_) => ("session_id", json!(session()?)),
                    None => ("user_id", json!(user)),
                };
                let body = json!({(whose): id, "scopes": scopes(variety), "duration": duration, "opaque": true});
                with_json("POST", "/v1/tokens".to_owned(), &body)
            }
            Kind::Narrow => change(json!({"scopes": ["read"]}))?,
            Kind::Refresh => {
                let shown = self.ledgers.families.token(call.session?, call.refresh?)?;
                form("/v1/tokens/refresh".to_owned(), format!("grant_type=refresh_token&refresh_token={shown}"))
            }
            Kind::Renew => with_json("POST", "/v1/tokens/renew".to_owned(), &json!({"token": token()?})),
            Kind::Resume => patch("active")?,
            Kind::Revoke => form(format!("/v1/tokens/revoke{wait}"), format!("token={}", token()?)),
            Kind::Suspend => patch("suspended")?,
            Kind::SuspendRefused => {
                // More than the store takes.
                let note = "x".repeat(MAX_METADATA_BYTES);
                change(json!({"status": "suspended", "metadata": {"note": note}}))?
            }
            Kind::Terminate => without_body(format!("/v1/sessions/{}{wait}", session()?)),
            Kind::TerminateByPatch => patch("terminated")?,
            Kind::TerminateUser => without_body(format!("/v1/users/{user}/sessions{wait}")),
            Kind::Unscope => change(json!({"scopes": null}))?,
            Kind::Unlock => without_body(format!("/v1/lockouts/{user}")),
            Kind::UserToken => {
                with_json("POST", "/v1/tokens".to_owned(), &json!({"user_id": user, "scopes": scopes(variety)}))
            }
            Kind::Widen => change(json!({"scopes": ["read", "write"]}))?,
        })
    }
}

/// Some sessions wait for their second factor, some are short, and some have an opaque token.
fn login(number: UserNumber, device: Option<&str>, variety: u32) -> Value {
    let (user, limit) = (format!("user-{number}"), crowd::limit_of(number));
    let duration = (80..130).contains(&variety).then_some(3 + variety % 10);
    let opaque = (70..180).contains(&variety);
    json!({"user_id": user, "opaque": opaque, "scopes": scopes(variety), "pending_2fa": variety < 80, "duration": duration,
        "max_sessions": limit.map(|limit| limit.max), "when_full": limit.map(|limit| limit.when_full),
        "refresh_token": refresh::is_mobile(number), "lockout": guesses::is_guessed(number), "device_token": device})
}

/// What a token is asked for with: to read, to write as well, or whatever its session permits.
fn scopes(variety: u32) -> &'static [&'static str] {
    match variety % 5 {
        0 => &["read"],
        1 => &[],
        _ => &["read", "write"],
    }
}

fn with_json(method: &'static str, path: String, body: &Value) -> ApiCall {
    ApiCall {
        method,
        path,
        content_type: Some("application/json"),
        protocol: None,
        body: body.to_string().into_bytes(),
    }
}

fn form(path: String, body: String) -> ApiCall {
    let content_type = Some("application/x-www-form-urlencoded");
    ApiCall { method: "POST", path, content_type, protocol: None, body: body.into_bytes() }
}

fn without_body(path: String) -> ApiCall {
    ApiCall { method: "DELETE", path, content_type: None, protocol: None, body: Vec::new() }
}
