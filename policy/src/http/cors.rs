//! CORS, as far as a gate needs it: it answers preflights, and a page may read why it was refused.
//! The headers of the upstream's own answers are the upstream's affair, or Envoy's cors filter's.

use std::time::Duration;

use session_gate_protocol::is_token_byte;

use super::headers::{HeaderChange, Headers};

/// What pages of other origins may do on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Whose pages.
    pub origins: AllowedOrigins,
    /// Methods that a preflight allows; none: the one that it announces, since the rule for that one is asked.
    pub allow_methods: Option<Vec<String>>,
    /// Headers that a preflight allows; none: those that it announces.
    pub allow_headers: Option<Vec<String>>,
    /// For how long a browser may remember a preflight's answer.
    pub max_age: Duration,
}

/// Whose pages may read a route's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Any page's, without cookies.
    Any,
    /// Those of these origins.
    Listed {
        /// Origins such as `https://app.example.com`, compared exactly.
        origins: Vec<String>,
        /// Whether the page may send cookies.
        credentials: bool,
    },
}

/// What a page may read of a denial, beside what every page may.
const EXPOSED: &str = "www-authenticate, retry-after, ratelimit, ratelimit-policy, x-ratelimit-limit, \
                       x-ratelimit-remaining, x-ratelimit-reset, x-request-id";

/// Whether the request has the marks of a preflight of the Fetch standard, which never has a
/// credential.
pub fn is_preflight(request: &Headers) -> bool {
    request.get(":method") == Some(b"OPTIONS") && request.has("origin") && request.has("access-control-request-method")
}

impl Cors {
    /// Whether the page at `origin` may read answers.
    pub fn allows(&self, origin: Option<&[u8]>) -> bool {
        match &self.origins {
            AllowedOrigins::Any => origin.is_some(),
            AllowedOrigins::Listed { origins, .. } => origins.iter().any(|allowed| Some(allowed.as_bytes()) == origin),
        }
    }

    /// The headers of a denial that let the page at `origin` read it; none where it may not.
    pub fn headers_for(&self, origin: Option<&[u8]>) -> Vec<(String, String)> {
        let mut headers = self.access(origin);
        if !headers.is_empty() {
            headers.push(pair("access-control-expose-headers", EXPOSED));
            if self.differs_by_origin() {
                headers.push(pair("vary", "Origin"));
            }
        }
        headers
    }

    /// The same for an answer that is ours but for its way: from one of the gate's own endpoints.
    pub fn changes_for(&self, origin: Option<&[u8]>) -> Vec<HeaderChange> {
        let add = |(name, value): (String, String)| match name.as_str() {
            "vary" => HeaderChange::add(&name, value),
            _ => HeaderChange::set(&name, value),
        };
        self.headers_for(origin).into_iter().map(add).collect()
    }

    /// The headers that answer a preflight; none where the page may not send what it announces.
    pub fn preflight_headers(&self, request: &Headers) -> Vec<(String, String)> {
        let mut headers = self.access(request.get("origin"));
        if headers.is_empty() {
            return headers;
        }
        let announced =
            |name: &str| request.text(name).filter(|list| is_token_list(list)).unwrap_or_default().to_owned();
        let list = |configured: &Option<Vec<String>>, name| match configured {
            Some(configured) => configured.join(", "),
            None => announced(name),
        };
        let methods = list(&self.allow_methods, "access-control-request-method");
        let allowed = list(&self.allow_headers, "access-control-request-headers");
        for (name, value) in [("access-control-allow-methods", methods), ("access-control-allow-headers", allowed)] {
            if !value.is_empty() {
                headers.push((name.to_owned(), value));
            }
        }
        headers.push(pair("access-control-max-age", &self.max_age.as_secs().to_string()));
        headers.push(pair("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"));
        headers
    }

    /// What every answer needs that the page at `origin` may read.
    fn access(&self, origin: Option<&[u8]>) -> Vec<(String, String)> {
        let origin = origin.filter(|_| self.allows(origin)).and_then(|origin| std::str::from_utf8(origin).ok());
        let Some(origin) = origin else { return Vec::new() };
        match self.origins {
            AllowedOrigins::Any => vec![pair("access-control-allow-origin", "*")],
            AllowedOrigins::Listed { credentials, .. } => {
                let mut headers = vec![pair("access-control-allow-origin", origin)];
                if credentials {
                    headers.push(pair("access-control-allow-credentials", "true"));
                }
                headers
            }
        }
    }

    /// Caches must know.
    const fn differs_by_origin(&self) -> bool {
        matches!(self.origins, AllowedOrigins::Listed { .. })
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Names of headers or methods with commas between them: what may be sent back.
fn is_token_list(list: &str) -> bool {
    list.bytes().all(|byte| is_token_byte(byte) || matches!(byte, b',' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let origins = AllowedOrigins::Listed { origins: origins.iter().map(|&o| o.to_owned()).collect(), credentials };
        Cors { origins, ..any() }
    }

    fn any() -> Cors {
        Cors {
            origins: AllowedOrigins::Any,
            allow_methods: None,
            allow_headers: None,
            max_age: Duration::from_secs(600),
        }
    }

    fn preflight(origin: &str) -> Headers {
        let headers = [
            (":method", "OPTIONS"),
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization,x-page"),
        ];
        headers.into_iter().collect()
    }

    #[test]
    fn only_an_allowed_origin_may_read_a_denial() {
        let cors = cors(&["https://app.example"], true);
        let headers = cors.headers_for(Some(b"https://app.example"));
        assert!(headers.contains(&pair("access-control-allow-origin", "https://app.example")));
        assert!(headers.contains(&pair("access-control-allow-credentials", "true")));
        assert!(headers.contains(&pair("access-control-expose-headers", EXPOSED)));
        for origin in [None, Some("https://evil.example"), Some("null"), Some("https://app.example.evil")] {
            assert!(cors.headers_for(origin.map(str::as_bytes)).is_empty(), "{origin:?}");
        }
        assert!(cors.headers_for(Some(b"\xff")).is_empty());
    }

    #[test]
    fn any_origin_without_credentials_is_answered_with_a_star() {
        let headers = any().headers_for(Some(b"https://x.example"));
        assert!(headers.contains(&pair("access-control-allow-origin", "*")));
    }

    #[test]
    fn a_preflight_is_answered_with_what_it_announces_or_with_what_is_configured() {
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        let page = "https://app.example";
        assert_eq!(
            cors(&[page], true).preflight_headers(&preflight(page)),
            [
                pair("access-control-allow-origin", page),
                pair("access-control-allow-credentials", "true"),
                pair("access-control-allow-methods", "PUT"),
                pair("access-control-allow-headers", "authorization,x-page"),
                pair("access-control-max-age", "600"),
                pair("vary", vary),
            ]
        );
        let narrow = Cors {
            allow_methods: Some(vec!["GET".to_owned(), "POST".to_owned()]),
            allow_headers: Some(vec!["x-a".to_owned()]),
            ..any()
        };
        let headers = narrow.preflight_headers(&preflight(page));
        assert!(headers.contains(&pair("access-control-allow-methods", "GET, POST")));
        assert!(headers.contains(&pair("access-control-allow-headers", "x-a")));
        assert!(cors(&[page], true).preflight_headers(&preflight("https://evil.example")).is_empty());
    }

    #[test]
    fn a_preflight_is_one_only_with_all_its_marks() {
        let full = [(":method", "OPTIONS"), ("origin", "https://x"), ("access-control-request-method", "PUT")];
        assert!(is_preflight(&full.into_iter().collect()));
        for missing in 0..full.len() {
            let partial: Headers =
                full.into_iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, h)| h).collect();
            assert!(!is_preflight(&partial));
        }
    }
}
