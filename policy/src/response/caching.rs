//! What caches on the way may keep of an answer that depends on who asks.

use crate::http::{
    credential::Source,
    headers::{HeaderChange, Headers},
};

const CACHE_CONTROL: &str = "cache-control";
const VARY: &str = "vary";
/// What content delivery networks go by in its place (RFC 9213; Edge Architecture Specification).
const TARGETED: [&str; 2] = ["cdn-cache-control", "surrogate-control"];
/// The same of single ones, and of nginx.
const UNREGISTERED: [&str; 2] = ["edge-control", "x-accel-expires"];

/// What an answer depends on, as far as the gate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependsOn {
    /// A credential that came from there.
    Credential(Source),
    /// That there was none, where one is optional.
    NoCredential,
    /// Nothing of ours.
    Nothing,
}

/// What to change, so that no shared cache gives one user's answer to another.
///
/// An `Authorization` header keeps shared caches away by itself (RFC 9111, section 3.5). A cookie does not, and we take
/// ours out before the upstream could notice it: where the upstream says nothing, the answer is private. A token in
/// the query is part of the cache's key (RFC 6750, section 2.3): its answer is private whatever the upstream says.
///
/// A 304 that says nothing leaves the stored answer as it is, with what was said of that (RFC 9111, section 3.2).
pub fn changes(answer: &Headers, depends_on: DependsOn) -> Vec<HeaderChange> {
    let says_nothing = !answer.has(CACHE_CONTROL);
    let is_stored = answer.get(":status") == Some(b"304") && says_nothing;
    match depends_on {
        DependsOn::Credential(Source::Query) if is_stored => Vec::new(),
        DependsOn::Nothing | DependsOn::Credential(Source::Authorization) => Vec::new(),
        DependsOn::Credential(Source::Query) => {
            let targeted = TARGETED.into_iter().filter(|name| answer.has(name));
            private_at_all_costs(answer)
                .into_iter()
                .chain(targeted.map(|name| HeaderChange::Remove(name.to_owned())))
                .collect()
        }
        DependsOn::NoCredential => varies_by_cookie(answer).into_iter().collect(),
        DependsOn::Credential(Source::Cookie) => {
            let private = (says_nothing && !is_stored).then(|| HeaderChange::set(CACHE_CONTROL, "private"));
            varies_by_cookie(answer).into_iter().chain(private).collect()
        }
    }
}

/// What has an answer that carries one client's token be kept by that client alone. None: others may keep it as it is, and
/// it can carry none. That is an answer which the upstream lets shared caches keep; one that is a part of what a cache
/// holds already (304, 206: RFC 9111, sections 3.4 and 4.3.4); and one that is no answer to a page or a program, but a
/// stream or another protocol.
pub fn for_one_client(answer: &Headers) -> Option<Vec<HeaderChange>> {
    let is_final = matches!(answer.get(":status"), Some([b'2'..=b'5', _, _]));
    let is_partial = matches!(answer.get(":status"), Some(b"206" | b"304"));
    // Envoy makes one line of several.
    let types = answer.all("content-type").flat_map(|line| line.split(|&b| b == b','));
    let is_stream = types
        .map(|one| one.trim_ascii().to_ascii_lowercase())
        .any(|one| one.starts_with(b"text/event-stream") || one.starts_with(b"application/grpc"));
    if !is_final || is_partial || is_stream {
        return None;
    }
    let given: Vec<Vec<u8>> = answer.all(CACHE_CONTROL).flat_map(directives).map(<[u8]>::to_ascii_lowercase).collect();
    let names = || given.iter().map(|directive| name_of(directive));
    let is_kept_by_one = names().any(|name| matches!(name, b"private" | b"no-store"));
    let is_kept_at_all = given.iter().any(|directive| directive.starts_with(b"max-age") && directive != b"max-age=0");
    let may_be_shared = names().any(|name| matches!(name, b"public" | b"s-maxage" | b"immutable"))
        || (is_kept_at_all && !is_kept_by_one);
    if may_be_shared {
        return None;
    }
    Some(private_at_all_costs(answer).into_iter().chain(without_targeted(answer)).collect())
}

/// What takes out all that content delivery networks go by in place of `Cache-Control`.
fn without_targeted(answer: &Headers) -> Vec<HeaderChange> {
    let is_targeted = |name: &str| {
        name != CACHE_CONTROL
            && (name.ends_with("-cache-control") || TARGETED.contains(&name) || UNREGISTERED.contains(&name))
    };
    let names = answer.iter().map(|(name, _)| name).filter(|name| is_targeted(name));
    names.map(|name| HeaderChange::Remove(name.to_owned())).collect()
}

/// What keeps every cache from storing an answer, whatever the upstream says.
pub fn never_stored(answer: &Headers) -> Vec<HeaderChange> {
    [HeaderChange::set(CACHE_CONTROL, "no-store")].into_iter().chain(without_targeted(answer)).collect()
}

fn varies_by_cookie(answer: &Headers) -> Option<HeaderChange> {
    let given: Vec<&[u8]> = answer.all(VARY).collect();
    let names = || given.iter().flat_map(|line| line.split(|&b| b == b',')).map(<[u8]>::trim_ascii);
    if names().any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie")) {
        return None;
    }
    let mut all = given.join(&b", "[..]);
    if !all.is_empty() {
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(b"Cookie");
    Some(HeaderChange::set(VARY, all))
}

fn private_at_all_costs(answer: &Headers) -> Option<HeaderChange> {
    let given: Vec<&[u8]> = answer.all(CACHE_CONTROL).flat_map(directives).collect();
    // With fields (`private="set-cookie"`) it is about these alone (RFC 9111, section 5.2.2.7).
    if given.iter().any(|directive| matches!(directive.to_ascii_lowercase().as_slice(), b"private" | b"no-store")) {
        return None;
    }
    let name =
        |directive: &[u8]| directive.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let mut kept: Vec<&[u8]> = vec![b"private"];
    let is_shared = |directive: &[u8]| matches!(name(directive).as_slice(), b"public" | b"private" | b"s-maxage" | b"");
    kept.extend(given.iter().filter(|directive| !is_shared(directive)));
    Some(HeaderChange::set(CACHE_CONTROL, kept.join(&b", "[..])))
}

fn name_of(directive: &[u8]) -> &[u8] {
    directive.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii()
}

/// The directives of a line. A comma in quotes divides nothing.
fn directives(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let divides = move |&b: &u8| {
        is_quoted ^= b == b'"';
        b == b',' && !is_quoted
    };
    line.split(divides).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(depends_on: DependsOn, answer: &[(&str, &str)]) -> Vec<(String, String)> {
        let changes = changes(&answer.iter().copied().collect(), depends_on);
        let text = |change| match change {
            HeaderChange::Add(name, value) | HeaderChange::Set(name, value) => {
                (name, String::from_utf8(value).unwrap())
            }
            HeaderChange::Remove(name) => (name, String::new()),
        };
        changes.into_iter().map(text).collect()
    }

    fn set(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn an_answer_to_our_cookie_is_private_where_the_upstream_says_nothing() {
        let cookie = DependsOn::Credential(Source::Cookie);
        assert_eq!(changed(cookie, &[]), [set("vary", "Cookie"), set("cache-control", "private")]);
        assert_eq!(
            changed(cookie, &[("vary", "Accept-Encoding"), ("vary", "accept"), ("cache-control", "max-age=5")]),
            [set("vary", "Accept-Encoding, accept, Cookie")]
        );
        assert!(changed(cookie, &[("vary", "a, cookie"), ("cache-control", "no-store")]).is_empty());
        assert!(changed(cookie, &[("vary", "*"), ("cache-control", "public")]).is_empty(), "it has said so itself");
    }

    #[test]
    fn a_304_leaves_alone_what_was_said_of_the_stored_answer() {
        let cookie = DependsOn::Credential(Source::Cookie);
        assert_eq!(changed(cookie, &[(":status", "304")]), [set("vary", "Cookie")]);
        let query = DependsOn::Credential(Source::Query);
        assert!(changed(query, &[(":status", "304")]).is_empty());
        let public = [(":status", "304"), ("cache-control", "public, max-age=9")];
        assert_eq!(changed(query, &public), [set("cache-control", "private, max-age=9")]);
    }

    #[test]
    fn an_answer_to_nobody_is_not_for_those_with_a_cookie_where_one_is_optional() {
        assert_eq!(changed(DependsOn::NoCredential, &[]), [set("vary", "Cookie")]);
        assert!(changed(DependsOn::Nothing, &[]).is_empty());
        assert!(changed(DependsOn::Credential(Source::Authorization), &[]).is_empty());
    }

    #[test]
    fn an_answer_to_a_token_in_the_query_is_private_whatever_the_upstream_says() {
        let query = DependsOn::Credential(Source::Query);
        assert_eq!(changed(query, &[]), [set("cache-control", "private")]);
        assert_eq!(
            changed(query, &[("cache-control", "public, max-age=60, s-maxage=600"), ("cache-control", "immutable")]),
            [set("cache-control", "private, max-age=60, immutable")]
        );
        assert!(changed(query, &[("cache-control", "No-Store")]).is_empty());
        assert!(changed(query, &[("cache-control", "private")]).is_empty());
        let qualified = [
            ("cache-control", "public, private=\"set-cookie, x\", no-cache=\"a, b\""),
            ("cdn-cache-control", "public"),
        ];
        let removed = ("cdn-cache-control".to_owned(), String::new());
        assert_eq!(changed(query, &qualified), [set("cache-control", "private, no-cache=\"a, b\""), removed]);
    }
}
