//! Where page loads are sent that are refused for want of a login, and where the login page leads back to.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// RFC 3986's reserved characters and all others that need it: the target is one value of a query.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Longest target that is led back to, in bytes: it stands percent-encoded in the URL of the login page.
const MAX_TARGET_BYTES: usize = 2048;

/// How often an application behind the login page may decode a target, at most.
const MAX_DECODINGS: usize = 4;

/// Where page loads are sent that are refused for want of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The login page.
    pub page: LoginPage,
    /// The parameter that tells it where to lead back to.
    pub next_parameter: String,
    /// Where the second factor is entered; none: at the login page.
    pub second_factor: Option<LoginPage>,
}

/// A page of the application's. It is known from the configuration alone: nothing in a request says where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPage {
    /// Its URL: a path of this origin, or an absolute one. It may have a query.
    pub url: String,
    /// Its path.
    pub path: String,
}

impl Login {
    /// Where to log in, or with `needs_second_factor` to enter that, for a request for `target`, a path and query. None: the
    /// request is for that very page, which would be led to itself again and again.
    pub fn location(&self, needs_second_factor: bool, target: &str, leads_back: bool) -> Option<String> {
        let second_factor = self.second_factor.as_ref().filter(|_| needs_second_factor);
        let LoginPage { url, path } = second_factor.unwrap_or(&self.page);
        if target.split('?').next() == Some(path) {
            return None;
        }
        if !leads_back || !is_own(target) {
            return Some(url.clone());
        }
        let separator = if url.contains('?') { '&' } else { '?' };
        Some(format!("{url}{separator}{}={}", self.next_parameter, utf8_percent_encode(target, VALUE)))
    }
}

/// Whether a target is surely one of this origin, also where the application decodes it again, or a browser resolves it.
///
/// A path that begins with two slashes names another host, a backslash is a slash to browsers, and control characters are
/// none at all.
fn is_own(target: &str) -> bool {
    if target.len() > MAX_TARGET_BYTES || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut path = path.as_bytes().to_vec();
    for _ in 0..=MAX_DECODINGS {
        if !begins_as_own(&path) || !begins_as_own(&without_dot_segments(&path)) {
            return false;
        }
        let decoded: Vec<u8> = percent_decode(&path).collect();
        if decoded == path {
            return true;
        }
        path = decoded;
    }
    // No honest path is encoded so often.
    false
}

/// The path as a browser resolves it (RFC 3986, section 5.2.4; a backslash is a slash to browsers).
fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')).skip(1) {
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    [&b"/"[..], &kept.join(&b'/')].concat()
}

/// Exactly one slash, dots or none, and no other slash.
fn begins_as_own(path: &[u8]) -> bool {
    let Some((b'/', rest)) = path.split_first() else { return false };
    let after_dots = rest.iter().find(|byte| **byte != b'.');
    !matches!(after_dots, Some(b'/' | b'\\')) && !path.iter().any(u8::is_ascii_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(url: &str, path: &str) -> LoginPage {
        LoginPage { url: url.to_owned(), path: path.to_owned() }
    }

    fn login() -> Login {
        Login { page: page("/login/", "/login/"), next_parameter: "next".to_owned(), second_factor: None }
    }

    #[test]
    fn a_page_load_is_sent_to_log_in_and_back() {
        let location = |target: &str| login().location(false, target, true).unwrap();
        assert_eq!(location("/"), "/login/?next=%2F");
        assert_eq!(location("/orders/7?a=1&b=%20x#"), "/login/?next=%2Forders%2F7%3Fa%3D1%26b%3D%2520x%23");
        assert_eq!(location("/~a-b_c.d"), "/login/?next=%2F~a-b_c.d");
        let with_query = Login { page: page("https://id.example/in?app=1", "/in"), ..login() };
        assert_eq!(with_query.location(false, "/x", true).unwrap(), "https://id.example/in?app=1&next=%2Fx");
        assert_eq!(
            login().location(false, "/x", false).unwrap(),
            "/login/",
            "an answer to a form is no page to return to"
        );
    }

    #[test]
    fn who_lacks_the_second_factor_is_sent_to_enter_it() {
        let login = Login { second_factor: Some(page("/2fa", "/2fa")), ..login() };
        assert_eq!(login.location(true, "/x", true).unwrap(), "/2fa?next=%2Fx");
        assert_eq!(login.location(false, "/x", true).unwrap(), "/login/?next=%2Fx");
        assert_eq!(login.location(true, "/login/", true).unwrap(), "/2fa?next=%2Flogin%2F");
        assert_eq!(login.location(false, "/2fa", true).unwrap(), "/login/?next=%2F2fa");
        assert_eq!(login.location(true, "/2fa?x", true), None);
        assert_eq!(super::tests::login().location(true, "/x", true).unwrap(), "/login/?next=%2Fx");
    }

    #[test]
    fn the_login_page_is_never_sent_to_itself() {
        for target in ["/login/", "/login/?next=%2F", "/login/?"] {
            assert_eq!(login().location(false, target, true), None, "{target}");
            assert_eq!(login().location(false, target, false), None, "{target}");
        }
        assert!(login().location(false, "/login", true).is_some());
        let elsewhere = Login { page: page("https://id.example/in", "/in"), ..login() };
        assert_eq!(elsewhere.location(false, "/in", true), None, "id.example may be a host of this gate's");
    }

    #[test]
    fn nobody_is_led_to_another_origin() {
        for target in [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/%2fevil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/%255cevil.example",
            "/%25255cevil.example",
            "/%2525255cevil.example",
            "/%252525255cevil.example",
            "/%5%63evil.example",
            "/%09/evil.example",
            "/%0d%0alocation:%20https://evil.example",
            "/%00/evil.example",
            "/a%250abc",
            "/.//evil.example",
            "/..//evil.example",
            "/./\\evil.example",
            "/%2e%2e%2f%2fevil.example",
            "/.%2f/evil.example",
            "/a/..//evil.example",
            "/a/../\\evil.example",
            "/a%2f..%2f%2fevil.example",
            "/a/..%2f%2fevil.example",
            "/;%2f..%2f%2fevil.example",
            "/%61%2f..%2f%5cevil.example",
            "/ /evil.example",
            "/\t/evil.example",
            "/caf\u{e9}",
            "https://evil.example/",
            "http://app.example/",
            "javascript:alert(1)",
            "evil.example",
            "*",
            "?x",
            "",
        ] {
            assert_eq!(login().location(false, target, true).unwrap(), "/login/", "{target:?}");
        }
        let long = format!("/{}", "a".repeat(MAX_TARGET_BYTES));
        assert_eq!(login().location(false, &long, true).unwrap(), "/login/");
    }

    #[test]
    fn an_own_target_is_led_back_to_however_odd() {
        for target in [
            "/a?x=//b",
            "/a?x=\\",
            "/a//b",
            "/a%2Fb",
            "/caf%C3%A9",
            "/%C3%A9",
            "/100%25",
            "/.well-known/x",
            "/.",
            "/...",
        ] {
            assert!(login().location(false, target, true).unwrap().starts_with("/login/?next=%2F"), "{target}");
        }
    }
}
