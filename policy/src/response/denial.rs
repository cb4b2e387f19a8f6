//! What a refused request is answered: the one place that turns a [`DenyReason`] into a reply.
//!
//! 1. The status is the reason's; 503 is for what is our fault, and keeps the client's cookie.
//! 2. A 401 or a 403 for want of scope says so by RFC 6750, section 3.
//! 3. A gRPC client gets a grpc-status, a page of an allowed origin may read the reply (CORS), and a
//!    page load that should have come by https is sent there.
//! 4. The body is the same for every request that is refused for that reason, but that of an ambiguous one, and of one
//!    that came by http and https: it says what is in the way.

use serde_json::json;
use session_gate_protocol::{DenyReason, Scopes};

use super::grpc::GrpcStatus;
use crate::http::{authority::without_port, cors::Cors, headers::Headers, scheme::ClientScheme};

const RETRY_AFTER: &str = "retry-after";
/// Why https is required of who has come by https, says one value, and by http, says another.
const MIXED_SCHEMES: &str = "X-Forwarded-Proto has several values and not all are https: the outermost trusted proxy must set it, \
                             and the others leave it";

/// A reply of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers; names and values are visible ASCII and blanks.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// For a gRPC client: the status and message to answer instead.
    pub grpc: Option<(GrpcStatus, &'static str)>,
}

/// What decides the form of a reply, beside the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyStyle {
    /// It speaks gRPC.
    pub grpc: bool,
    /// Where a page load by http belongs; none for other requests.
    pub https_location: Option<String>,
    /// The page that asks.
    pub origin: Option<Vec<u8>>,
    /// By which scheme it came.
    pub scheme: ClientScheme,
}

impl Reply {
    /// Tells the client to come again after so many seconds, one at least.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.headers.retain(|(name, _)| name != RETRY_AFTER);
        self.headers.push((RETRY_AFTER.to_owned(), seconds.max(1).to_string()));
        self
    }

    /// Tells a person more than the reason does (RFC 9457, section 3.1.4).
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        if let Ok(mut problem) = serde_json::from_str::<serde_json::Map<_, _>>(&self.body) {
            problem.insert("detail".to_owned(), json!(detail));
            self.body = serde_json::Value::Object(problem).to_string();
        }
        self
    }
}

impl ReplyStyle {
    /// Reads the client off its request.
    pub fn of(request: &Headers) -> Self {
        let grpc = request.text("content-type").is_some_and(|kind| {
            // What Envoy takes for gRPC. Not grpc-web, which is HTTP to the browser.
            kind.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
        });
        let scheme = ClientScheme::of(request);
        // Who has come by https at least in part would come back the same way, again and again.
        let https_location = if scheme.is_http() { https_location(request) } else { None };
        Self { grpc, https_location, origin: request.get("origin").map(<[u8]>::to_vec), scheme }
    }
}

/// A page load: a browser goes there, and will go where it is sent.
fn https_location(request: &Headers) -> Option<String> {
    let by_method = matches!(request.get(":method"), Some(b"GET" | b"HEAD"));
    let by_browser = request.get("sec-fetch-mode") == Some(b"navigate")
        || (!request.has("sec-fetch-mode") && request.text("accept").is_some_and(|kinds| kinds.contains("text/html")));
    if !by_method || !by_browser {
        return None;
    }
    let authority = request.text(":authority")?;
    let host = without_port(authority);
    Some(format!("https://{host}{}", request.text(":path")?))
        .filter(|location| location.bytes().all(|b| b.is_ascii_graphic()))
}

/// What a reason is answered with.
struct Shape {
    status: u16,
    /// RFC 6750's or RFC 9470's error code.
    error: Option<&'static str>,
    title: &'static str,
}

const fn shape(reason: DenyReason) -> Shape {
    const fn plain(status: u16, title: &'static str) -> Shape {
        Shape { status, error: None, title }
    }
    const fn bearer(status: u16, error: &'static str, title: &'static str) -> Shape {
        Shape { status, error: Some(error), title }
    }
    const fn invalid_token(title: &'static str) -> Shape {
        bearer(401, "invalid_token", title)
    }
    match reason {
        DenyReason::AuthorityInvalid => plain(400, "The host is not valid"),
        DenyReason::Blocked => plain(403, "Requests of this client or user are not served"),
        DenyReason::CredentialMissing => plain(401, "Authentication is required"),
        DenyReason::CredentialRepeated => bearer(400, "invalid_request", "More than one credential was sent"),
        DenyReason::CsrfRefused => plain(403, "The request may come from another site"),
        DenyReason::DuplicateCookie => invalid_token("Two session cookies with different values were sent"),
        DenyReason::HttpsRequired => plain(403, "Only https is served here"),
        DenyReason::KeysUnavailable => plain(503, "Tokens cannot be verified at the moment"),
        DenyReason::LimitUnavailable => plain(503, "Limits cannot be checked at the moment"),
        DenyReason::MethodInvalid => plain(400, "The method is not valid"),
        DenyReason::NoRule => plain(404, "There is no such resource"),
        DenyReason::OriginRefused => plain(403, "Pages of this origin may not send this request"),
        DenyReason::Overloaded => plain(503, "Too many requests are waiting"),
        DenyReason::PathAmbiguous => plain(400, "The request can be read in more than one way"),
        DenyReason::PathInvalid => plain(400, "The path is not valid"),
        DenyReason::RateLimited => plain(429, "Too many requests"),
        DenyReason::ScopeInsufficient => bearer(403, "insufficient_scope", "The token lacks a scope"),
        DenyReason::SessionCommandRefused => plain(502, "The application's answer cannot be followed"),
        DenyReason::SessionHeaderInvalid => plain(502, "The application's answer cannot be read"),
        DenyReason::SessionExpired => invalid_token("The session has expired"),
        DenyReason::SessionMissing => invalid_token("The token does not belong to a session"),
        DenyReason::SessionPending2fa => {
            bearer(401, "insufficient_user_authentication", "The second factor is still missing")
        }
        DenyReason::SessionSuspended => plain(403, "The session is suspended"),
        DenyReason::SessionTerminated => invalid_token("The session was ended"),
        DenyReason::SessionUnknown => invalid_token("The session is not known"),
        DenyReason::StoreUnavailable => plain(503, "Sessions cannot be checked at the moment"),
        DenyReason::TokenAlgorithmRefused => invalid_token("The token's algorithm is not accepted"),
        DenyReason::TokenAudienceRefused => invalid_token("The token is for another audience"),
        DenyReason::TokenClaimUnusable => invalid_token("A claim of the token is missing or cannot be used"),
        DenyReason::TokenExpired => invalid_token("The token has expired"),
        DenyReason::TokenIssuerUnknown => invalid_token("The token's issuer is not known"),
        DenyReason::TokenKeyUnknown => invalid_token("The token's key is not known"),
        DenyReason::TokenMalformed => invalid_token("The token is malformed"),
        DenyReason::TokenNotYetValid => invalid_token("The token is not valid yet"),
        DenyReason::TokenRevoked => invalid_token("The token was revoked"),
        DenyReason::TokenSignatureInvalid => invalid_token("The token's signature is not valid"),
        DenyReason::TokenTooLarge => invalid_token("The token is too large"),
        DenyReason::TokenTypeRefused => invalid_token("The token is not an access token"),
        DenyReason::TokenUnknown => invalid_token("The token is not known"),
    }
}

/// The reply to a request that was refused for `reason`. `scopes` are those that the route asks for.
pub fn reply(
    reason: DenyReason,
    client: &ReplyStyle,
    realm: &str,
    scopes: Option<&Scopes>,
    cors: Option<&Cors>,
) -> Reply {
    let shape = shape(reason);
    if let (DenyReason::HttpsRequired, Some(location)) = (reason, &client.https_location) {
        // 308 keeps the method, and is cached no longer than its own headers say.
        let headers =
            vec![("location".to_owned(), location.clone()), ("cache-control".to_owned(), "no-store".to_owned())];
        return Reply { status: 308, headers, body: String::new(), grpc: None };
    }
    let mut headers = vec![
        ("content-type".to_owned(), "application/problem+json".to_owned()),
        ("cache-control".to_owned(), "no-store".to_owned()),
    ];
    if shape.status == 401 || shape.error.is_some() {
        headers.push(("www-authenticate".to_owned(), challenge(reason, &shape, realm, scopes)));
    }
    if shape.status == 503 {
        headers.push((RETRY_AFTER.to_owned(), "1".to_owned()));
    }
    if let Some(cors) = cors {
        headers.extend(cors.headers_for(client.origin.as_deref()));
    }
    let body = json!({
        "type": format!("urn:session-gate:problem:{}", reason.as_str()),
        "title": shape.title,
        "status": shape.status,
        "code": reason.as_str(),
    });
    let grpc = client.grpc.then_some((GrpcStatus::of_http(shape.status), shape.title));
    let reply = Reply { status: shape.status, headers, body: body.to_string(), grpc };
    if reason == DenyReason::HttpsRequired && client.scheme == ClientScheme::Mixed {
        return reply.with_detail(MIXED_SCHEMES);
    }
    reply
}

/// RFC 6750, section 3: no error code where there was no credential.
fn challenge(reason: DenyReason, shape: &Shape, realm: &str, scopes: Option<&Scopes>) -> String {
    let mut challenge = format!("Bearer realm=\"{realm}\"");
    if let Some(error) = shape.error {
        challenge.push_str(&format!(", error=\"{error}\", error_description=\"{}\"", shape.title));
    }
    if let (DenyReason::ScopeInsufficient, Some(scopes)) = (reason, scopes) {
        challenge.push_str(&format!(", scope=\"{scopes}\""));
    }
    challenge
}

#[cfg(test)]
mod tests;
