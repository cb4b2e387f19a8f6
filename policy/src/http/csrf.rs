//! Whether a request that a browser sent with our cookie was meant by one of our own pages.
//!
//! A cookie goes along whichever site made the browser send the request. So a method that may change
//! something, and a WebSocket handshake (which no same-origin policy guards), is served with a cookie
//! only if
//! 1. `Sec-Fetch-Site` says `same-origin`, or `none` (the user typed or bookmarked it), or
//! 2. `Origin` is the request's own origin, or one of the configured ones.
//!
//! Where a browser sends neither header, the request is refused, unless `allow_missing_origin` says
//! that other clients than browsers use the cookie.
//!
//! Relies on: the browser setting these headers itself (every current one does, and no page can), and
//! Envoy telling the request's scheme and authority.

use super::{
    headers::Headers,
    interpretations::{Reading, RequestInterpretations},
    scheme::ClientScheme,
};

/// What counts as one of our own pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsrfPolicy {
    /// Origins besides the request's own: `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// Whether a request with neither header passes.
    pub allow_missing_origin: bool,
}

impl CsrfPolicy {
    /// Whether the request may be served with a cookie as its credential.
    pub fn allows(&self, request: &Headers, readings: &RequestInterpretations, scheme: ClientScheme) -> bool {
        !is_unsafe(request, readings) || self.is_own_page(request, scheme).unwrap_or(self.allow_missing_origin)
    }

    /// Whether the browser says that a page of another site has sent it, and it may change something. A program says
    /// nothing; browsers always do.
    pub fn is_foreign(&self, request: &Headers, readings: &RequestInterpretations, scheme: ClientScheme) -> bool {
        is_unsafe(request, readings) && self.is_own_page(request, scheme) == Some(false)
    }

    /// Whether one of our own pages has sent it. None: it does not say.
    fn is_own_page(&self, request: &Headers, scheme: ClientScheme) -> Option<bool> {
        // A browser sends each once. Of several every one must be ours.
        let all = |name: &'static str, is_ours: &dyn Fn(&[u8]) -> bool| {
            request.has(name).then(|| request.all(name).all(is_ours))
        };
        let is_allowed = |origin: &[u8]| self.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin);
        if all("origin", &is_allowed) == Some(true) {
            return Some(true);
        }
        all("sec-fetch-site", &|site| matches!(site, b"same-origin" | b"none"))
            .or_else(|| all("origin", &|origin| is_own(origin, request, scheme)))
    }
}

/// Whether it changes something however it is read: one that is a GET to some is none to others.
pub fn is_action(readings: &RequestInterpretations) -> bool {
    !readings.methods.iter().any(is_safe)
}

fn is_safe(method: &Reading) -> bool {
    matches!(method.text.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// Whether it may be read as anything but a safe method (RFC 9110, section 9.2.1), or is a handshake
/// that opens a WebSocket.
fn is_unsafe(request: &Headers, readings: &RequestInterpretations) -> bool {
    !readings.methods.iter().all(is_safe) || request.has("upgrade")
}

/// Compares host and port with the request's authority. A page that came by http is no page of ours
/// where the request came by https; the reverse happens behind a balancer that ends TLS.
fn is_own(origin: &[u8], request: &Headers, scheme: ClientScheme) -> bool {
    let (Ok(origin), Some(authority)) = (std::str::from_utf8(origin), request.text(":authority")) else { return false };
    let (host, default_port) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(host), _) => (host, ":443"),
        (None, Some(host)) if scheme.is_http() => (host, ":80"),
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    !host.is_empty() && bare(host) == bare(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(policy: &CsrfPolicy, headers: &[(&str, &str)]) -> bool {
        let base = [(":method", "POST"), (":authority", "app.example"), (":path", "/"), (":scheme", "https")];
        let overridden = |name: &str| headers.iter().any(|(given, _)| *given == name);
        let base = base.iter().filter(|(name, _)| !overridden(name));
        let request = base.chain(headers).map(|&(n, v)| (n, v)).collect();
        policy.allows(
            &request,
            &RequestInterpretations::of(&request, Default::default()).unwrap(),
            ClientScheme::of(&request),
        )
    }

    fn strict(headers: &[(&str, &str)]) -> bool {
        allows(&CsrfPolicy::default(), headers)
    }

    #[test]
    fn a_page_of_ours_passes() {
        assert!(strict(&[("sec-fetch-site", "same-origin")]));
        assert!(strict(&[("sec-fetch-site", "none")]));
        assert!(strict(&[("origin", "https://app.example")]));
        assert!(strict(&[("origin", "https://app.example:443")]));
        assert!(strict(&[("origin", "https://app.example"), (":authority", "APP.example:443")]));
        assert!(strict(&[("origin", "https://app.example:8443"), (":authority", "app.example:8443")]));
    }

    #[test]
    fn another_site_does_not() {
        assert!(!strict(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]));
        assert!(!strict(&[("origin", "https://app.example"), ("origin", "https://evil.example")]));
        assert!(!strict(&[("sec-fetch-site", "cross-site"), ("origin", "https://app.example")]));
        assert!(!strict(&[("sec-fetch-site", "same-site")]));
        assert!(!strict(&[("sec-fetch-site", "SAME-ORIGIN")]));
        for origin in [
            "https://evil.example",
            "null",
            "",
            "https://",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil",
            "app.example",
        ] {
            assert!(!strict(&[("origin", origin)]), "{origin:?}");
        }
    }

    #[test]
    fn a_page_by_http_is_ours_only_where_nothing_says_that_the_client_came_by_https() {
        for (proto, is_ours) in [("http", true), ("https", false), ("https,http", false), ("http,https", false)] {
            assert_eq!(strict(&[("origin", "http://app.example"), ("x-forwarded-proto", proto)]), is_ours, "{proto}");
        }
    }

    #[test]
    fn without_both_headers_only_where_told() {
        assert!(!strict(&[]));
        assert!(allows(&CsrfPolicy { allow_missing_origin: true, ..CsrfPolicy::default() }, &[]));
    }

    #[test]
    fn a_login_form_of_another_site_is_told_from_a_program() {
        let is_foreign = |headers: &[(&str, &str)]| {
            let request: Headers = headers.iter().copied().collect();
            let readings = RequestInterpretations::of(&request, Default::default()).unwrap();
            CsrfPolicy::default().is_foreign(&request, &readings, ClientScheme::of(&request))
        };
        let post = [(":method", "POST"), (":authority", "app.example"), (":path", "/login"), (":scheme", "https")];
        let with = |headers: &[(&'static str, &'static str)]| is_foreign(&[&post, headers].concat());
        assert!(!with(&[]), "no browser");
        assert!(!with(&[("sec-fetch-site", "same-origin")]) && !with(&[("origin", "https://app.example")]));
        assert!(with(&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]));
        assert!(with(&[("origin", "https://evil.example")]) && with(&[("origin", "null")]));
        assert!(with(&[("sec-fetch-site", "same-site")]), "a sibling");
        let get = [(":method", "GET"), (":authority", "app.example"), (":path", "/"), (":scheme", "https")];
        assert!(!is_foreign(&[&get[..], &[("sec-fetch-site", "cross-site")]].concat()));
    }

    #[test]
    fn a_configured_origin_passes_whatever_the_browser_calls_it() {
        let policy = CsrfPolicy { allowed_origins: vec!["https://spa.example".to_owned()], ..CsrfPolicy::default() };
        assert!(allows(&policy, &[("origin", "https://spa.example"), ("sec-fetch-site", "cross-site")]));
        assert!(!allows(&policy, &[("origin", "https://spa.example.evil"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn safe_methods_pass_and_a_websocket_handshake_is_not_one() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(strict(&[(":method", method), ("sec-fetch-site", "cross-site")]), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "QUERY"] {
            assert!(!strict(&[(":method", method), ("sec-fetch-site", "cross-site")]), "{method}");
        }
        let overridden = [(":method", "GET"), ("x-http-method-override", "POST"), ("sec-fetch-site", "cross-site")];
        assert!(!strict(&overridden));
        assert!(!strict(&[(":method", "GET"), (":path", "/?_method=POST"), ("sec-fetch-site", "cross-site")]));
        assert!(!strict(&[(":method", "GET"), ("upgrade", "websocket"), ("origin", "https://evil.example")]));
        assert!(strict(&[(":method", "GET"), ("upgrade", "websocket"), ("origin", "https://app.example")]));
    }
}
