//! The account that a login request names where its upstream need not be asked: in HTTP Basic (RFC 7617), a header, or
//! what another filter of Envoy's has read in its body.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::headers::Headers;
use crate::{host::RequestAttributes, ids::RequestId};

/// Longer names are left to the answer.
const MAX_BYTES: usize = 1024;

/// Where a login request names its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountSource {
    /// As the user-id of `Authorization: Basic`.
    Basic,
    /// In a header of that name, in lower case.
    Header(String),
    /// In dynamic metadata.
    Metadata {
        /// In which namespace.
        namespace: String,
        /// Under which key.
        key: String,
    },
}

impl AccountSource {
    /// Which account the request names; none: none, or it cannot be told.
    pub fn account(&self, request: &Headers, id: RequestId, host: &impl RequestAttributes) -> Option<String> {
        let account = match self {
            Self::Basic => user_id(only(request, "authorization")?)?,
            Self::Header(name) => only(request, name)?.to_vec(),
            Self::Metadata { namespace, key } => host.metadata(id, namespace, key)?,
        };
        let account = String::from_utf8(account).ok()?;
        let is_name = !account.trim().is_empty() && account.len() <= MAX_BYTES;
        is_name.then_some(account)
    }
}

/// The header's value, where it is there once: of several nobody knows which counts.
fn only<'a>(request: &'a Headers, name: &'a str) -> Option<&'a [u8]> {
    let mut values = request.all(name);
    values.next().filter(|_| values.next().is_none())
}

/// The user-id: what comes before the first colon (RFC 7617, section 2).
fn user_id(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let credentials = rest.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"basic ") || credentials.len() > 4 * MAX_BYTES {
        return None;
    }
    let decoded = STANDARD.decode(credentials).ok()?;
    let colon = decoded.iter().position(|&b| b == b':')?;
    decoded.get(..colon).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use session_gate_jose::NoHostCrypto;

    use super::*;

    fn basic(value: &str) -> Option<String> {
        AccountSource::Basic.account(&Headers::from_iter([("authorization", value)]), 1, &NoHostCrypto)
    }

    #[test]
    fn basic_names_what_comes_before_the_colon() {
        let encoded = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (text, account) in [("alice:secret", "alice"), ("Jürg:a:b", "Jürg"), ("a b:", "a b")] {
            assert_eq!(basic(&encoded(text)).as_deref(), Some(account));
        }
        assert_eq!(basic("bAsIC   YWxpY2U6eA==").as_deref(), Some("alice"));
        for none in
            ["", "Basic", "Basic !!!", "Bearer YWxpY2U6eA==", &encoded("alice"), &encoded(":x"), &encoded(" :x")]
        {
            assert_eq!(basic(none), None, "{none}");
        }
        assert_eq!(basic(&encoded(&format!("{}:x", "a".repeat(MAX_BYTES + 1)))), None);
        assert_eq!(basic("Basic /zp4"), None, "no UTF-8");
    }

    #[test]
    fn a_header_counts_where_it_is_there_once() {
        let of = |headers: &[(&str, &str)]| {
            AccountSource::Header("x-login".to_owned()).account(&headers.iter().copied().collect(), 1, &NoHostCrypto)
        };
        assert_eq!(of(&[("x-login", "alice")]).as_deref(), Some("alice"));
        assert_eq!(of(&[("x-login", "alice"), ("x-login", "bob")]), None);
        assert_eq!(of(&[("x-login", " ")]), None);
        assert_eq!(of(&[]), None);
    }
    struct Noted(&'static [u8]);

    impl RequestAttributes for Noted {
        fn address(&self, _request: RequestId) -> Option<std::net::IpAddr> {
            None
        }

        fn metadata(&self, _request: RequestId, namespace: &str, key: &str) -> Option<Vec<u8>> {
            (namespace == "session-gate" && key == "account").then(|| self.0.to_vec())
        }
    }

    #[test]
    fn what_another_filter_has_noted_is_taken_as_it_is() {
        let of = |key: &str, noted: &'static [u8]| {
            let source = AccountSource::Metadata { namespace: "session-gate".to_owned(), key: key.to_owned() };
            source.account(&Headers::default(), 1, &Noted(noted))
        };
        assert_eq!(of("account", "Jürg a".as_bytes()).as_deref(), Some("Jürg a"));
        for none in [&b" "[..], b"", b"\xff"] {
            assert_eq!(of("account", none), None);
        }
        assert_eq!(of("user", b"alice"), None);
    }
}
