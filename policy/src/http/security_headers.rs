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
    /// What to change in an answer. `https` says how the client came.
    pub fn changes(&self, answer: &Headers, https: bool) -> Vec<HeaderChange> {
        let mut changes = Vec::new();
        for name in &self.remove {
            if answer.has(name) {
                changes.push(HeaderChange::Remove(name.clone()));
            }
        }
        for header in &self.set {
            let stays = header.precedence == Precedence::SetIfMissing && answer.has(header.name);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> SecurityHeaders {
        let header = |name, value: &str, precedence| SecurityHeader { name, value: value.to_owned(), precedence };
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
    fn hsts_is_never_sent_over_http_not_even_the_upstreams() {
        let changes = headers().changes(&Headers::default(), false);
        assert!(!changes.iter().any(|change| matches!(change, HeaderChange::Set(name, _) if name == HSTS)));
        let upstreams: Headers = [(HSTS, "max-age=9")].into_iter().collect();
        assert!(headers().changes(&upstreams, false).contains(&HeaderChange::Remove(HSTS.to_owned())));
    }
}
