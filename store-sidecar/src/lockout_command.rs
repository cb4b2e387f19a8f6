//! `store-sidecar lockout`: how the lock of an account is, asked of a running sidecar, and lifting it.

use std::{fmt, path::PathBuf, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{Method, Request, StatusCode, Uri, header},
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use session_gate_protocol::{Lockout, Problem};
use tokio::{net::TcpStream, time::timeout};

/// The variable that may hold the credential: unlike a flag no other user of the machine sees it.
pub const CREDENTIAL_VARIABLE: &str = "SESSION_GATE_CREDENTIAL";

/// How long the sidecar may take.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// What is asked of a running sidecar.
#[derive(Debug)]
pub struct LockoutCommand {
    /// What to do.
    pub action: LockoutAction,
    /// The account: the user's id, or what was typed.
    pub account: String,
    /// Where the sidecar listens: `http://127.0.0.1:8081`.
    pub url: String,
    /// The file with a credential of the role `app`.
    pub credential_file: Option<PathBuf>,
}

/// What to do about a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockoutAction {
    /// Say how it is.
    Show,
    /// Lift it, and forget the failed logins.
    Unlock,
}

impl LockoutCommand {
    /// Does it, and returns what to say. `credential`: that of the environment.
    ///
    /// # Errors
    /// What to say instead.
    pub async fn run(&self, credential: Option<String>) -> Result<String, String> {
        let credential = match &self.credential_file {
            None => credential,
            Some(file) => Some(
                std::fs::read_to_string(file)
                    .map_err(|error| format!("{}: {error}", file.display()))?
                    .trim()
                    .to_owned(),
            ),
        };
        let (status, body) = timeout(PATIENCE, self.ask(credential.as_deref()))
            .await
            .map_err(|_| format!("{} did not reply within {} seconds", self.url, PATIENCE.as_secs()))??;
        match (self.action, status) {
            (LockoutAction::Show, StatusCode::OK) => {
                let lockout = serde_json::from_slice(&body).map_err(|_| self.no_sidecar(status))?;
                Ok(format!("{}: {}\n", self.account, Shown(lockout)))
            }
            (LockoutAction::Unlock, StatusCode::NO_CONTENT) => {
                Ok(format!("{}: not locked, and no failed login counts\n", self.account))
            }
            (_, status) => Err(self.refusal(status, &body)),
        }
    }

    async fn ask(&self, credential: Option<&str>) -> Result<(StatusCode, Bytes), String> {
        let (host, port) = self.address()?;
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
        let stream = stream.map_err(|error| {
            format!("cannot reach {}: {error}. Is the sidecar running, and is this its address (--url)?", self.url)
        })?;
        let failed = |error: hyper::Error| format!("{} did not reply: {error}", self.url);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let request = self.request(&format!("{host}:{port}"), credential)?;
        // It ends with the exchange.
        let connection = tokio::spawn(connection);
        let reply = sender.send_request(request).await.map_err(failed)?;
        let status = reply.status();
        let body = to_bytes(Body::new(reply.into_body()), MAX_REPLY_BYTES).await;
        connection.abort();
        Ok((status, body.map_err(|_| self.no_sidecar(status))?))
    }

    fn address(&self) -> Result<(String, u16), String> {
        let uri =
            self.url.parse::<Uri>().ok().filter(|uri| {
                uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none()
            });
        let authority = uri.as_ref().and_then(Uri::authority).filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or("--url must be http://HOST:PORT, where the sidecar listens, without a path")?;
        Ok((authority.host().to_owned(), authority.port_u16().unwrap_or(80)))
    }

    fn request(&self, host: &str, credential: Option<&str>) -> Result<Request<Body>, String> {
        let method = match self.action {
            LockoutAction::Show => Method::GET,
            LockoutAction::Unlock => Method::DELETE,
        };
        // A space is `+` in a form only; `+` itself is encoded.
        let account: String = form_urlencoded::byte_serialize(self.account.as_bytes()).collect();
        let path = format!("/v1/lockouts/{}", account.replace('+', "%20"));
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
        if let Some(credential) = credential {
            request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
        }
        // Nothing of the credential itself.
        request.body(Body::empty()).map_err(|_| "the credential is not valid: must be visible ASCII".to_owned())
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> String {
        let advice = match status {
            StatusCode::UNAUTHORIZED => format!(
                ": needs a credential of the role `app` or `admin`, by --credential-file or {CREDENTIAL_VARIABLE}"
            ),
            StatusCode::FORBIDDEN => ": the role `app` or `admin` is needed".to_owned(),
            StatusCode::SERVICE_UNAVAILABLE => ": try again".to_owned(),
            _ => String::new(),
        };
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else { return self.no_sidecar(status) };
        let fields = problem.errors.iter().map(|error| format!("{} {}", error.field, error.message));
        let details: Vec<String> = problem.detail.into_iter().chain(fields).collect();
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join("; ")) };
        format!("{} replied {}: {}{details}{advice}", self.url, status.as_u16(), problem.title)
    }

    fn no_sidecar(&self, status: StatusCode) -> String {
        format!("{} replied {}, and not as a sidecar does: is this its address (--url)?", self.url, status.as_u16())
    }
}

/// A lock, in words.
struct Shown(Lockout);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lockout { locked, locked_until, failures } = self.0;
        match locked_until.filter(|_| locked) {
            Some(until) => write!(f, "locked until {} (Unix seconds); failed logins that count: {failures}", until.0),
            None => write!(f, "not locked; failed logins that count: {failures}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(url: &str, account: &str) -> LockoutCommand {
        let (account, url) = (account.to_owned(), url.to_owned());
        LockoutCommand { action: LockoutAction::Unlock, account, url, credential_file: None }
    }

    #[test]
    fn a_sidecars_address_is_plain_http_and_no_more() {
        let address = |url: &str| command(url, "a").address();
        assert_eq!(address("http://127.0.0.1:8081").unwrap(), ("127.0.0.1".to_owned(), 8081));
        assert_eq!(address("http://[::1]:8081/").unwrap(), ("[::1]".to_owned(), 8081));
        assert_eq!(address("http://sidecar").unwrap(), ("sidecar".to_owned(), 80));
        for bad in ["https://127.0.0.1:8081", "127.0.0.1:8081", "http://h/v1", "http://a:b@h", "http://h?x=1", ""] {
            assert!(address(bad).unwrap_err().contains("--url must be"), "{bad}");
        }
    }

    #[test]
    fn any_account_can_be_named() {
        let path = |account: &str| command("http://h", account).request("h", None).unwrap().uri().path().to_owned();
        assert_eq!(path("alice"), "/v1/lockouts/alice");
        assert_eq!(path("al/ice ?+%&é"), "/v1/lockouts/al%2Fice%20%3F%2B%25%26%C3%A9");
    }

    #[test]
    fn a_credential_that_cannot_be_sent_is_not_repeated() {
        let error = command("http://h", "a").request("h", Some("geheim\n")).unwrap_err();
        assert!(!error.contains("geheim"), "{error}");
    }
}
