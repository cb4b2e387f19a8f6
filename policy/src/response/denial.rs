//! What a refused request is answered: the one place that turns a [`DenyReason`] into a reply.
//!
//! 1. The status is the reason's; 503 is for what is our fault, and keeps the client's cookie.
//! 2. A 401 or a 403 for want of scope says so by RFC 6750, section 3.
//! 3. A page load that lacks a login is sent to the login page, and one that should have come by https is sent there. Who
//!    else waits for a page gets one; programs get a problem document, and a gRPC client a grpc-status.
//! 4. A page of an allowed origin may read the reply (CORS), and no cache may keep it.
//! 5. The body is the same for every request that is refused for that reason, but that of an ambiguous one, and of one
//!    that came by http and https: it says what is in the way.

use serde_json::json;
use session_gate_protocol::{DenyReason, Scopes};

use super::{
    grpc::GrpcStatus,
    page::{ErrorPage, PageContent},
};
use crate::{
    http::{authority::without_port, cors::Cors, headers::Headers, page_load::Navigation, scheme::ClientScheme},
    routing::Login,
};

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
    /// What its browser is to show.
    pub navigation: Navigation,
    /// Where a page load by http belongs; none for other requests.
    pub https_location: Option<String>,
    /// The page that asks.
    pub origin: Option<Vec<u8>>,
    /// By which scheme it came.
    pub scheme: ClientScheme,
}

impl ReplyStyle {
    /// Reads the client off its request.
    pub fn of(request: &Headers) -> Self {
        let grpc = request.text("content-type").is_some_and(|kind| {
            // What Envoy takes for gRPC. Not grpc-web, which is HTTP to the browser.
            kind.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
        });
        let scheme = ClientScheme::of(request);
        let navigation = if grpc { Navigation::None } else { Navigation::of(request) };
        // Who has come by https at least in part would come back the same way, again and again. A frame by plain http is
        // sent there, too: no browser says then that it is one.
        let is_sent_on = scheme.is_http() && navigation == Navigation::Load;
        let https_location = if is_sent_on { https_location(request) } else { None };
        Self { grpc, navigation, https_location, origin: request.get("origin").map(<[u8]>::to_vec), scheme }
    }
}

fn https_location(request: &Headers) -> Option<String> {
    let authority = request.text(":authority")?;
    let host = without_port(authority);
    if host.is_empty() {
        return None;
    }
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
        DenyReason::EndpointUnrouted => plain(503, "This cannot be served at the moment"),
        DenyReason::HttpsRequired => plain(403, "Only https is served here"),
        DenyReason::KeysUnavailable => plain(503, "Tokens cannot be verified at the moment"),
        DenyReason::LimitUnavailable => plain(503, "Limits cannot be checked at the moment"),
        DenyReason::LoginLocked => plain(429, "Too many failed logins"),
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
        DenyReason::SessionLimitReached => plain(409, "Too many sessions are open"),
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

/// A refusal, and what its reply depends on beside the client.
#[derive(Debug)]
pub struct Denial<'a> {
    /// Why.
    pub reason: DenyReason,
    /// The realm of the challenge.
    pub realm: &'a str,
    /// The scopes that the route asks for.
    pub scopes: Option<&'a Scopes>,
    /// Whose pages may read the reply.
    pub cors: Option<&'a Cors>,
    /// Says more than the reason does (RFC 9457, section 3.1.4).
    pub detail: Option<String>,
    /// After how many seconds the client may come again; none: the reason's own time.
    pub retry_after: Option<u64>,
    /// Where page loads are sent to log in, and the path and query that this request is for.
    pub login: Option<(&'a Login, &'a str)>,
    /// The page for people.
    pub page: &'a ErrorPage,
    /// `Set-Cookie`s by which a browser forgets a cookie that is of no more use.
    pub removal: Vec<String>,
}

impl<'a> Denial<'a> {
    /// A refusal of which there is no more to say than why.
    pub const fn of(reason: DenyReason, realm: &'a str, page: &'a ErrorPage) -> Self {
        Self {
            reason,
            realm,
            scopes: None,
            cors: None,
            detail: None,
            retry_after: None,
            login: None,
            page,
            removal: Vec::new(),
        }
    }

    /// The reply to a client of that kind.
    pub fn reply(self, client: &ReplyStyle) -> Reply {
        let shape = shape(self.reason);
        let no_store = ("cache-control".to_owned(), "no-store".to_owned());
        if let (DenyReason::HttpsRequired, Some(location)) = (self.reason, &client.https_location) {
            // 308 keeps the method, and is cached no longer than its own headers say.
            let headers = vec![("location".to_owned(), location.clone()), no_store];
            return Reply { status: 308, headers, body: String::new(), grpc: None };
        }
        let mut headers = vec![no_store];
        headers.extend(self.removal.iter().map(|line| ("set-cookie".to_owned(), line.clone())));
        let login = self.login_location(&shape, client.navigation);
        if let (Navigation::Load, Some(location)) = (client.navigation, &login) {
            headers.extend([("location".to_owned(), location.clone()), ("vary".to_owned(), "Cookie".to_owned())]);
            return Reply { status: 302, headers, body: String::new(), grpc: None };
        }
        if shape.status == 401 || shape.error.is_some() {
            headers.push(("www-authenticate".to_owned(), self.challenge(&shape)));
        }
        let retry_after = self.retry_after.map(|seconds| seconds.max(1)).or((shape.status == 503).then_some(1));
        headers.extend(retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
        if let Some(cors) = self.cors {
            headers.extend(cors.headers_for(client.origin.as_deref()));
        }
        let is_mixed = self.reason == DenyReason::HttpsRequired && client.scheme == ClientScheme::Mixed;
        let detail = self.detail.as_deref().or(is_mixed.then_some(MIXED_SCHEMES));
        let (kind, body) = if client.navigation == Navigation::None {
            ("application/problem+json", problem(self.reason, &shape, detail))
        } else {
            let (status, title, code, login) = (shape.status, shape.title, self.reason.as_str(), login.as_deref());
            let content = PageContent { status, title, code, retry_after, login, detail };
            ("text/html; charset=utf-8", self.page.fill(&content))
        };
        headers.push(("content-type".to_owned(), kind.to_owned()));
        let grpc = client.grpc.then_some((GrpcStatus::of_http(shape.status), shape.title));
        Reply { status: shape.status, headers, body, grpc }
    }

    /// Where a person logs in whose request was refused for want of that.
    fn login_location(&self, shape: &Shape, navigation: Navigation) -> Option<String> {
        let (login, target) = self.login.filter(|_| shape.status == 401 && navigation != Navigation::None)?;
        // What a form has sent cannot be asked for again.
        login.location(self.reason == DenyReason::SessionPending2fa, target, navigation == Navigation::Load)
    }

    /// RFC 6750, section 3: no error code where there was no credential.
    fn challenge(&self, shape: &Shape) -> String {
        let mut challenge = format!("Bearer realm=\"{}\"", self.realm);
        if let Some(error) = shape.error {
            challenge.push_str(&format!(", error=\"{error}\", error_description=\"{}\"", shape.title));
        }
        if let (DenyReason::ScopeInsufficient, Some(scopes)) = (self.reason, self.scopes) {
            challenge.push_str(&format!(", scope=\"{scopes}\""));
        }
        challenge
    }
}

/// RFC 9457.
fn problem(reason: DenyReason, shape: &Shape, detail: Option<&str>) -> String {
    let mut problem = json!({
        "type": format!("urn:session-gate:problem:{}", reason.as_str()),
        "title": shape.title,
        "status": shape.status,
        "code": reason.as_str(),
    });
    if let (Some(detail), Some(members)) = (detail, problem.as_object_mut()) {
        members.insert("detail".to_owned(), json!(detail));
    }
    problem.to_string()
}

#[cfg(test)]
mod tests;
