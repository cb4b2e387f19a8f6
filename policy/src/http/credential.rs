//! Where a request's token is, and how it is taken out before the upstream sees the request.
//!
//! RFC 6750, section 2: the `Authorization` header, or, on a route that says so, a query parameter;
//! besides these a cookie. A request that offers more than one is refused rather than guessed about;
//! only a cookie beside an `Authorization` header is no offer but what browsers do, and the header
//! counts. A browser may keep two cookies of our name, a partitioned one beside the other (CHIPS): with the same value
//! they are one, with different ones they are none.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use session_gate_protocol::{DEVICE_PREFIX, DenyReason, MAX_DEVICE_TOKENS};

use super::headers::{HeaderChange, Headers};

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The `Authorization` header.
    Authorization,
    /// Our cookie: sent by the browser whether the page means it or not.
    Cookie,
    /// The route's query parameter.
    Query,
}

/// What a request offers for a token. `Debug` hides it.
pub struct Offer<'a> {
    value: Result<Cow<'a, [u8]>, DenyReason>,
    /// Where it was found.
    pub source: Source,
}

impl fmt::Debug for Offer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Offer<'_> {
    /// The token.
    ///
    /// # Errors
    /// `TokenMalformed`: a bearer credential that is none by RFC 6750, section 2.1, or a cookie or parameter of our name
    /// whose value cannot be a token. `DuplicateCookie`: two cookies of our name whose values differ.
    pub fn token(&self) -> Result<&str, DenyReason> {
        let value = self.value.as_deref().map_err(|reason| *reason)?;
        let token = std::str::from_utf8(value).ok().filter(|token| is_b64token(token.as_bytes()));
        token.ok_or(DenyReason::TokenMalformed)
    }
}

/// What the name of the device cookie ends with, after that of the session cookie.
pub const DEVICE_SUFFIX: &str = "-d";

/// Longest device token that is passed on.
const MAX_DEVICE_TOKEN_BYTES: usize = 128;

/// What the request shows for device tokens, with spaces between: no credentials, but their failed logins are counted apart.
/// Whoever sets a cookie of that name beside the gate's own does not take that away.
pub fn device_tokens(request: &Headers, cookie: &str) -> Option<String> {
    let pairs = request.all("cookie").flat_map(cookie_pairs);
    let values = pairs.filter_map(|pair| std::str::from_utf8(of_device(pair, cookie)?).ok());
    let fits = |value: &&str| {
        let is_short = value.len() <= MAX_DEVICE_TOKEN_BYTES;
        is_short && value.starts_with(DEVICE_PREFIX) && is_b64token(value.as_bytes())
    };
    let shown: Vec<&str> = values.filter(fits).take(MAX_DEVICE_TOKENS).collect();
    (!shown.is_empty()).then(|| shown.join(" "))
}

/// Finds what the request offers for a token. An `Authorization` header of another scheme (`Basic`) is none of ours.
///
/// # Errors
/// `CredentialRepeated`: more than one beside cookies.
pub fn offered<'a>(
    request: &'a Headers,
    cookie: &'a str,
    parameter: Option<&'a str>,
) -> Result<Option<Offer<'a>>, DenyReason> {
    let header = only(request.all("authorization").filter_map(bearer))?;
    let parameter = match parameter {
        Some(name) => only(query_values(request, name))?,
        None => None,
    };
    let (value, source) = match (header, parameter) {
        (Some(_), Some(_)) => return Err(DenyReason::CredentialRepeated),
        (Some(value), None) => (value.map(Cow::Borrowed).ok_or(DenyReason::TokenMalformed), Source::Authorization),
        (None, Some(value)) => (Ok(value), Source::Query),
        (None, None) => {
            let mut values = cookie_values(request, cookie);
            let Some(value) = values.next() else { return Ok(None) };
            let is_one = values.all(|other| other == value);
            (if is_one { Ok(Cow::Borrowed(value)) } else { Err(DenyReason::DuplicateCookie) }, Source::Cookie)
        }
    };
    Ok(Some(Offer { value, source }))
}

/// What has to change so that the upstream sees neither our cookies nor the route's parameter, and
/// all else as the client sent it.
pub fn removal(request: &Headers, cookie: &str, parameter: Option<&str>) -> Vec<HeaderChange> {
    let mut changes = Vec::new();
    if request.all("cookie").flat_map(cookie_pairs).any(|pair| is_ours(pair, cookie)) {
        let kept: Vec<_> = request.all("cookie").filter_map(|line| without_cookie(line, cookie)).collect();
        changes.push(if kept.is_empty() {
            HeaderChange::Remove("cookie".to_owned())
        } else {
            // One line: how HTTP/1.1 carries what HTTP/2 may have split (RFC 9113, section 8.2.3).
            HeaderChange::set("cookie", kept.join(&b"; "[..]))
        });
    }
    if let (Some(name), Some(target)) = (parameter, request.text(":path")) {
        let stripped = without_parameter(target, name);
        if stripped != target {
            changes.push(HeaderChange::set(":path", stripped));
        }
    }
    changes
}

/// The only one of `values`.
fn only<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, DenyReason> {
    let first = values.next();
    if values.next().is_some() { Err(DenyReason::CredentialRepeated) } else { Ok(first) }
}

/// `Bearer`, in any case (RFC 9110, section 11.1), one blank or more, and the token. The outer `None`:
/// another scheme; the inner one: nothing after `Bearer`.
fn bearer(value: &[u8]) -> Option<Option<&[u8]>> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    match rest {
        [] => Some(None),
        [b' ', ..] => {
            let blanks = rest.iter().take_while(|&&b| b == b' ').count();
            Some(rest.get(blanks..))
        }
        // A scheme that merely begins like ours; a tab is no blank here and makes it malformed.
        [b'\t', ..] => Some(None),
        _ => None,
    }
}

/// RFC 6750's b64token: what can stand in a header and in a cookie as it is.
pub fn is_b64token(bytes: &[u8]) -> bool {
    let body = bytes.iter().rposition(|&b| b != b'=').map_or(0, |last| last + 1);
    body > 0
        && bytes
            .iter()
            .take(body)
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/'))
}

/// The pairs of a cookie line, by the rule of RFC 6265, section 5.4, read backwards: at every `;`.
fn cookie_pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&b| b == b';')
}

fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let pair = pair.trim_ascii();
    let equals = pair.iter().position(|&b| b == b'=')?;
    let (key, value) = pair.split_at_checked(equals)?;
    (key.trim_ascii() == name.as_bytes()).then(|| value.get(1..).unwrap_or_default().trim_ascii())
}

/// The value of the device cookie that goes with a session cookie of that name.
fn of_device<'a>(pair: &'a [u8], cookie: &str) -> Option<&'a [u8]> {
    let rest = pair.trim_ascii().strip_prefix(cookie.as_bytes())?.strip_prefix(DEVICE_SUFFIX.as_bytes())?;
    Some(rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii())
}

/// Whether it is the session cookie of that name, or the device cookie that goes with it.
fn is_ours(pair: &[u8], cookie: &str) -> bool {
    cookie_value(pair, cookie).is_some() || of_device(pair, cookie).is_some()
}

fn cookie_values<'a>(request: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    request.all("cookie").flat_map(cookie_pairs).filter_map(move |pair| cookie_value(pair, name))
}

/// The line without our pairs, all other bytes as they were; `None` if nothing is left.
fn without_cookie(line: &[u8], name: &str) -> Option<Vec<u8>> {
    let kept: Vec<&[u8]> = cookie_pairs(line).filter(|pair| !is_ours(pair, name)).collect();
    let joined = kept.join(&b";"[..]);
    let trimmed = joined.trim_ascii();
    (!trimmed.is_empty()).then(|| trimmed.to_vec())
}

/// Splits a target into path, query pairs and whether there is a query at all. Envoy lets no
/// fragment through.
fn query_pairs(target: &str) -> impl Iterator<Item = &str> {
    target.split_once('?').map(|(_, query)| query).into_iter().flat_map(|query| query.split('&'))
}

/// Names are compared decoded: an upstream that decodes `access%5Ftoken` must not find ours.
fn is_named(pair: &str, name: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default();
    percent_decode_str(key).eq(name.bytes())
}

/// Decoded: clients encode what they put into a query, and `%2E` is a dot there.
fn query_values<'a>(request: &'a Headers, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let target = request.text(":path").unwrap_or_default();
    query_pairs(target)
        .filter(move |pair| is_named(pair, name))
        .map(|pair| percent_decode_str(pair.split_once('=').map_or("", |(_, value)| value)).into())
}

/// The target without the parameters of that name, all other bytes as they were.
pub fn without_parameter(target: &str, name: &str) -> String {
    let Some((path, _)) = target.split_once('?') else { return target.to_owned() };
    if !query_pairs(target).any(|pair| is_named(pair, name)) {
        return target.to_owned();
    }
    let kept: Vec<&str> = query_pairs(target).filter(|pair| !is_named(pair, name)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: &str = "__Host-session-gate";

    fn request(headers: &[(&str, &str)]) -> Headers {
        headers.iter().map(|&(name, value)| (name, value)).collect()
    }

    /// The token that is offered, and where.
    fn find(request: &Headers, cookie: &str, parameter: Option<&str>) -> Result<Option<(String, Source)>, DenyReason> {
        let Some(offer) = offered(request, cookie, parameter)? else { return Ok(None) };
        Ok(Some((offer.token()?.to_owned(), offer.source)))
    }

    fn found(headers: &[(&str, &str)]) -> Result<Option<(String, Source)>, DenyReason> {
        find(&request(headers), COOKIE, Some("access_token"))
    }

    fn is(token: &str, source: Source) -> Result<Option<(String, Source)>, DenyReason> {
        Ok(Some((token.to_owned(), source)))
    }

    #[test]
    fn a_token_is_found_in_each_of_its_places() {
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[("authorization", "Bearer a.b.c")]), is("a.b.c", Source::Authorization));
        assert_eq!(found(&[("authorization", "bEARER   a.b.c")]), is("a.b.c", Source::Authorization));
        assert_eq!(found(&[("cookie", "x=1; __Host-session-gate=a.b.c; y=2")]), is("a.b.c", Source::Cookie));
        assert_eq!(found(&[("cookie", "x=1"), ("cookie", "__Host-session-gate=a.b.c")]), is("a.b.c", Source::Cookie));
        assert_eq!(found(&[(":path", "/x?access_token=a.b.c&y=1")]), is("a.b.c", Source::Query));
        assert_eq!(found(&[(":path", "/x?access_token=a%2Eb%2ec%3D&y=1")]), is("a.b.c=", Source::Query), "decoded");
        assert_eq!(found(&[("authorization", "Basic QTpC")]), Ok(None));
        assert_eq!(found(&[("authorization", "Bearerly x")]), Ok(None));
    }

    #[test]
    fn the_query_is_not_looked_at_where_the_route_does_not_say_so() {
        assert_eq!(find(&request(&[(":path", "/x?access_token=a.b.c")]), COOKIE, None), Ok(None));
    }

    #[test]
    fn more_than_one_credential_is_refused() {
        for headers in [
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")][..],
            &[("authorization", "Bearer a"), (":path", "/?access_token=a")],
            &[(":path", "/?access_token=a&access_token=a")],
            &[(":path", "/?access_token=a&access%5Ftoken=b")],
        ] {
            assert_eq!(found(headers), Err(DenyReason::CredentialRepeated), "{headers:?}");
        }
    }

    #[test]
    fn two_cookies_are_one_where_their_values_are_the_same_and_none_where_they_differ() {
        for cookies in [
            &[("cookie", "__Host-session-gate=a; b=1; __Host-session-gate=a")][..],
            &[("cookie", "__Host-session-gate=a"), ("cookie", "__Host-session-gate=a")],
        ] {
            assert_eq!(found(cookies), is("a", Source::Cookie), "{cookies:?}");
        }
        for cookies in [
            &[("cookie", "__Host-session-gate=a; __Host-session-gate=b")][..],
            &[("cookie", "__Host-session-gate=a; __Host-session-gate=")],
            &[("cookie", "__Host-session-gate=a"), ("cookie", "__Host-session-gate=a; __Host-session-gate=b")],
        ] {
            assert_eq!(found(cookies), Err(DenyReason::DuplicateCookie), "{cookies:?}");
            let source = offered(&request(cookies), COOKIE, None).unwrap().unwrap().source;
            assert_eq!(source, Source::Cookie, "the browser is told which cookie to forget");
        }
        let beside = [("cookie", "__Host-session-gate=a; __Host-session-gate=b"), ("authorization", "Bearer h")];
        assert_eq!(found(&beside), is("h", Source::Authorization));
    }

    #[test]
    fn the_header_counts_where_a_browser_sends_the_cookie_along() {
        let both = [("cookie", "__Host-session-gate=c"), ("authorization", "Bearer h")];
        assert_eq!(found(&both), is("h", Source::Authorization));
    }

    #[test]
    fn what_cannot_be_a_token_is_malformed() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer\ta.b.c",
            "Bearer \ta.b.c",
            "Bearer a b",
            "Bearer a,b",
            "Bearer \"a\"",
            "Bearer ===",
            "Bearer \u{e9}",
        ] {
            assert_eq!(found(&[("authorization", value)]), Err(DenyReason::TokenMalformed), "{value:?}");
        }
        for value in ["__Host-session-gate=", "__Host-session-gate=\"a.b.c\"", "__Host-session-gate=a b"] {
            assert_eq!(found(&[("cookie", value)]), Err(DenyReason::TokenMalformed), "{value:?}");
        }
        assert_eq!(found(&[(":path", "/?access_token=a%20b")]), Err(DenyReason::TokenMalformed));
        assert_eq!(found(&[(":path", "/?access_token")]), Err(DenyReason::TokenMalformed));
        let bytes: Headers = [("authorization", b"Bearer \xff\xfe".to_vec())].into_iter().collect();
        assert_eq!(find(&bytes, COOKIE, None), Err(DenyReason::TokenMalformed));
    }

    #[test]
    fn our_cookie_is_removed_and_every_other_byte_stays() {
        let line = b"a=1;  b=\"x;__Host-session-gate=t;\xff=3 ; __host-session-gate=no".to_vec();
        let headers: Headers = [("cookie", line)].into_iter().collect();
        assert_eq!(
            removal(&headers, COOKIE, None),
            [HeaderChange::set("cookie", b"a=1;  b=\"x;\xff=3 ; __host-session-gate=no".to_vec())]
        );
        assert_eq!(
            removal(&request(&[("cookie", "__Host-session-gate=t")]), COOKIE, None),
            [HeaderChange::Remove("cookie".into())]
        );
        assert_eq!(removal(&request(&[("cookie", "a=1; b=2")]), COOKIE, None), []);
        assert_eq!(
            removal(&request(&[("cookie", "a=1"), ("cookie", "__Host-session-gate=t; b=2")]), COOKIE, None),
            [HeaderChange::set("cookie", "a=1; b=2")]
        );
    }

    #[test]
    fn the_device_cookie_is_found_is_no_credential_and_is_removed() {
        let device = |line: &str| device_tokens(&request(&[("cookie", line)]), COOKIE);
        assert_eq!(device("a=1; __Host-session-gate-d = sgd_x ; b=2").as_deref(), Some("sgd_x"));
        let some = "__Host-session-gate-d=\"; __Host-session-gate-d=x; __Host-session-gate-d=sgd_1; __Host-session-gate-d=sgd_2";
        assert_eq!(device(some).as_deref(), Some("sgd_1 sgd_2"));
        let many = "__Host-session-gate-d=sgd_1; ".repeat(9);
        assert_eq!(device(&many).as_deref(), Some("sgd_1 sgd_1 sgd_1 sgd_1"));
        let long = format!("__Host-session-gate-d=sgd_{}", "a".repeat(125));
        for none in
            ["", "__Host-session-gate=t", "__Host-session-gate-d", "__Host-session-gate-dd=sgd_x", "x-d=sgd_y", &long]
        {
            assert_eq!(device(none), None, "{none}");
        }
        assert_eq!(found(&[("cookie", "__Host-session-gate-d=sgd_x")]), Ok(None));
        let both = [("cookie", "a=1; __Host-session-gate=t; __Host-session-gate-d=sgd_x; __Host-session-gate-dd=2")];
        let kept = HeaderChange::set("cookie", "a=1; __Host-session-gate-dd=2");
        assert_eq!(removal(&request(&both), COOKIE, None), [kept]);
        let alone = [("cookie", "__Host-session-gate-d=sgd_x")];
        assert_eq!(removal(&request(&alone), COOKIE, None), [HeaderChange::Remove("cookie".into())]);
    }

    #[test]
    fn the_routes_parameter_is_removed_and_every_other_byte_stays() {
        for (target, expected) in [
            ("/x?access_token=t", "/x"),
            ("/x?a=%20&access_token=t&b=", "/x?a=%20&b="),
            ("/x?access%5Ftoken=t&&c", "/x?&c"),
            ("/x?a=1?access_token=t", "/x?a=1?access_token=t"),
            ("/x?Access_Token=t", "/x?Access_Token=t"),
            ("/access_token=t", "/access_token=t"),
        ] {
            assert_eq!(without_parameter(target, "access_token"), expected);
        }
    }
}
