//! The headers that make browsers careful, on every answer: the upstream's, ours and Envoy's own.

use super::headers::{HeaderChange, Headers};

/// Whether an upstream's own value stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// Ours replaces it.
    Set,
    /// It stays; ours stands where there is none.
    SetIfMissing,
}

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityHeader {
    /// Its name, in lower case.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Whether an upstream's own value stays.
    pub precedence: Precedence,
    /// Whether only pages carry it.
    pub pages_only: bool,
}

/// What a route's answers carry, and what they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityHeaders {
    /// Headers to set.
    pub set: Vec<SecurityHeader>,
    /// Names to remove, in lower case.
    pub remove: Vec<String>,
}

/// RFC 6797, section 7.2: HSTS must not be sent over plain http.
pub const HSTS: &str = "strict-transport-security";

impl SecurityHeaders {
    /// What to change in an answer. `https` says how the client came. A 304 leaves out what its page had (RFC 9110,
    /// section 15.4.5), and a browser takes what it has for the page's: it gets nothing in place of what is missing.
    pub fn changes(&self, answer: &Headers, https: bool) -> Vec<HeaderChange> {
        let is_not_modified = answer.get(":status") == Some(b"304");
        let is_page = is_page(answer);
        let mut changes = Vec::new();
        for name in &self.remove {
            if answer.has(name) {
                changes.push(HeaderChange::Remove(name.clone()));
            }
        }
        for header in &self.set {
            let stays = header.precedence == Precedence::SetIfMissing && (is_not_modified || answer.has(header.name));
            let stays = stays || (header.pages_only && !is_page);
            if header.name == HSTS && !https {
                if answer.has(HSTS) {
                    changes.push(HeaderChange::Remove(HSTS.to_owned()));
                }
            } else if !stays {
                changes.push(HeaderChange::set(header.name, header.value.as_str()));
            }
        }
        changes
    }
}

/// What a browser shows as a document with scripts of its own.
fn is_page(answer: &Headers) -> bool {
    let kind = answer.text("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let kind = kind.trim();
    ["text/html", "application/xhtml+xml", "image/svg+xml"].iter().any(|page| kind.eq_ignore_ascii_case(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> SecurityHeaders {
        let header = |name, value: &str, precedence| SecurityHeader {
            name,
            value: value.to_owned(),
            precedence,
            pages_only: false,
        };
        SecurityHeaders {
            set: vec![
                header(HSTS, "max-age=1", Precedence::Set),
                header("x-frame-options", "DENY", Precedence::SetIfMissing),
                header("x-content-type-options", "nosniff", Precedence::Set),
            ],
            remove: vec!["server".to_owned(), "x-powered-by".to_owned()],
        }
    }

    #[test]
    fn missing_headers_are_set_present_ones_stay_or_go_as_told() {
        let answer: Headers = [("x-frame-options", "SAMEORIGIN"), ("x-content-type-options", "sniff"), ("server", "x")]
            .into_iter()
            .collect();
        assert_eq!(
            headers().changes(&answer, true),
            [
                HeaderChange::Remove("server".to_owned()),
                HeaderChange::set(HSTS, "max-age=1"),
                HeaderChange::set("x-content-type-options", "nosniff"),
            ]
        );
    }

    #[test]
    fn a_page_that_was_not_modified_keeps_the_headers_that_it_had() {
        let changes = headers().changes(&[(":status", "304")].into_iter().collect(), true);
        assert!(
            !changes.iter().any(|change| matches!(change, HeaderChange::Set(name, _) if name == "x-frame-options"))
        );
        assert!(
            changes.contains(&HeaderChange::set("x-content-type-options", "nosniff")),
            "the page has had it as well"
        );
    }

    #[test]
    fn what_is_for_pages_is_on_pages_alone() {
        let value = "base-uri 'self'".to_owned();
        let name = "content-security-policy";
        let header =
            SecurityHeader { name, value: value.clone(), precedence: Precedence::SetIfMissing, pages_only: true };
        let headers = SecurityHeaders { set: vec![header], remove: Vec::new() };
        for (kind, is_page) in [
            ("text/html; charset=utf-8", true),
            ("TEXT/HTML", true),
            ("application/json", false),
            ("text/plain", false),
        ] {
            let changes = headers.changes(&[("content-type", kind)].into_iter().collect(), true);
            assert_eq!(changes == [HeaderChange::set(name, value.as_str())], is_page, "{kind}");
        }
        assert!(headers.changes(&Headers::default(), true).is_empty());
    }

    #[test]
    fn hsts_is_never_sent_over_http_not_even_the_upstreams() {
        let changes = headers().changes(&Headers::default(), false);
        assert!(!changes.iter().any(|change| matches!(change, HeaderChange::Set(name, _) if name == HSTS)));
        let upstreams: Headers = [(HSTS, "max-age=9")].into_iter().collect();
        assert!(headers().changes(&upstreams, false).contains(&HeaderChange::Remove(HSTS.to_owned())));
    }
}
