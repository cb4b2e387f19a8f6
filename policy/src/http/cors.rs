//! CORS, as far as a gate needs it: a true preflight passes, and a page may read why it was refused.
//! The headers of the upstream's own answers are the upstream's affair, or Envoy's cors filter's.

use super::headers::{HeaderChange, Headers};

/// Whose pages may read a route's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
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

/// Whether the request has the marks of a preflight of the Fetch standard, which never has a
/// credential.
pub fn is_preflight(request: &Headers) -> bool {
    request.get(":method") == Some(b"OPTIONS") && request.has("origin") && request.has("access-control-request-method")
}

impl Cors {
    /// Whether the page at `origin` may read answers.
    pub fn allows(&self, origin: Option<&[u8]>) -> bool {
        match self {
            Self::Any => origin.is_some(),
            Self::Listed { origins, .. } => origins.iter().any(|allowed| Some(allowed.as_bytes()) == origin),
        }
    }

    /// The headers of a denial that let the page at `origin` read it; none where it may not.
    pub fn headers_for(&self, origin: Option<&[u8]>) -> Vec<HeaderChange> {
        let Some(origin) = origin.filter(|_| self.allows(origin)) else { return Vec::new() };
        let exposed = HeaderChange::set("access-control-expose-headers", "www-authenticate, retry-after");
        match self {
            Self::Any => vec![HeaderChange::set("access-control-allow-origin", "*"), exposed],
            Self::Listed { credentials, .. } => {
                let mut headers = vec![
                    HeaderChange::set("access-control-allow-origin", origin),
                    exposed,
                    // The answer differs by origin: caches must know.
                    HeaderChange::set("vary", "Origin"),
                ];
                if *credentials {
                    headers.push(HeaderChange::set("access-control-allow-credentials", "true"));
                }
                headers
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], allow_credentials: bool) -> Cors {
        Cors::Listed { origins: origins.iter().map(|&o| o.to_owned()).collect(), credentials: allow_credentials }
    }

    #[test]
    fn only_an_allowed_origin_may_read_a_denial() {
        let cors = cors(&["https://app.example"], true);
        let headers = cors.headers_for(Some(b"https://app.example"));
        assert!(headers.contains(&HeaderChange::set("access-control-allow-origin", "https://app.example")));
        assert!(headers.contains(&HeaderChange::set("access-control-allow-credentials", "true")));
        for origin in [None, Some("https://evil.example"), Some("null"), Some("https://app.example.evil")] {
            assert!(cors.headers_for(origin.map(str::as_bytes)).is_empty(), "{origin:?}");
        }
        assert!(cors.headers_for(Some(b"\xff")).is_empty());
    }

    #[test]
    fn any_origin_without_credentials_is_answered_with_a_star() {
        let headers = Cors::Any.headers_for(Some(b"https://x.example"));
        assert!(headers.contains(&HeaderChange::set("access-control-allow-origin", "*")));
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
