//! The account that a login request names where its upstream need not be asked: in HTTP Basic (RFC 7617) or a header.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::headers::Headers;

/// Longer names are left to the answer.
const MAX_BYTES: usize = 1024;

/// Where a login request names its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountSource {
    /// As the user-id of `Authorization: Basic`.
    Basic,
    /// In a header of that name, in lower case.
    Header(String),
}

impl AccountSource {
    /// Which account the request names; none: none, or it cannot be told.
    pub fn account(&self, request: &Headers) -> Option<String> {
        let account = match self {
            Self::Basic => user_id(only(request, "authorization")?)?,
            Self::Header(name) => only(request, name)?.to_vec(),
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
    use super::*;

    fn basic(value: &str) -> Option<String> {
        AccountSource::Basic.account(&Headers::from_iter([("authorization", value)]))
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
            AccountSource::Header("x-login".to_owned()).account(&headers.iter().copied().collect())
        };
        assert_eq!(of(&[("x-login", "alice")]).as_deref(), Some("alice"));
        assert_eq!(of(&[("x-login", "alice"), ("x-login", "bob")]), None);
        assert_eq!(of(&[("x-login", " ")]), None);
        assert_eq!(of(&[]), None);
    }
}
