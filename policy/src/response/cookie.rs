//! The session cookie as browsers are told to keep it, and to forget it (RFC 6265bis, CHIPS).

use std::fmt;

use crate::http::{
    credential::DEVICE_SUFFIX,
    headers::{HeaderChange, Headers},
};

/// Longest life of a cookie, in seconds: browsers cut longer ones to 400 days (RFC 6265bis, section 5.5).
const MAX_AGE: u64 = 400 * 86_400;

/// Longest name and value together, in bytes: a browser drops a longer cookie without a word (RFC 6265bis, section 5.7).
const MAX_BYTES: usize = 4096;

/// On which requests from pages of other sites a browser sends the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// On page loads alone.
    Lax,
    /// On all.
    None,
    /// On none.
    Strict,
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lax => "Lax",
            Self::None => "None",
            Self::Strict => "Strict",
        })
    }
}

/// The session cookie: one set of attributes, however it is set or removed. `Path` is `/`; it is always `Secure` and
/// `HttpOnly`, and never has an `Expires`, which goes by the client's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCookie {
    /// Its name.
    pub name: String,
    /// The domain whose hosts share it; none: this host's alone.
    pub domain: Option<String>,
    /// On which requests from pages of other sites it is sent.
    pub same_site: SameSite,
    /// Whether each top-level site has one of its own (CHIPS).
    pub partitioned: bool,
}

impl SessionCookie {
    /// The `Set-Cookie` that has a browser keep the token, for so many seconds, or until it is closed. None: the cookie
    /// would be too large.
    pub fn keep(&self, token: &str, max_age: Option<u64>) -> Option<String> {
        if self.name.len() + 1 + token.len() > MAX_BYTES {
            return None;
        }
        let max_age = max_age.map(|seconds| format!("; Max-Age={}", seconds.min(MAX_AGE))).unwrap_or_default();
        let domain = self.domain.as_deref();
        Some(self.line(&format!("={token}; Path=/{max_age}"), domain, self.same_site, self.partitioned))
    }

    /// The name of the device cookie that goes with it.
    pub fn device_name(&self) -> String {
        format!("{}{DEVICE_SUFFIX}", self.name)
    }

    /// The `Set-Cookie` that has a browser keep a device token: longer than any session. A login page is sent it on page
    /// loads from other sites, too; and in a frame where the session cookie is.
    pub fn keep_device(&self, token: &str, max_age: u64) -> Option<String> {
        let same_site = if self.same_site == SameSite::None { SameSite::None } else { SameSite::Lax };
        Self { name: self.device_name(), same_site, ..self.clone() }.keep(token, Some(max_age))
    }

    /// The `Set-Cookie`s that remove it in each form in which it may have been set: the partitioned one is another cookie,
    /// and so is the one of this host alone.
    pub fn removal(&self) -> Vec<String> {
        let domains: &[Option<&str>] = match self.domain.as_deref() {
            Some(domain) => &[Some(domain), None],
            None => &[None],
        };
        let plain = if self.partitioned { SameSite::Lax } else { self.same_site };
        let forms = domains.iter().flat_map(|domain| [(*domain, plain, false), (*domain, SameSite::None, true)]);
        forms
            .map(|(domain, same_site, partitioned)| self.line("=; Path=/; Max-Age=0", domain, same_site, partitioned))
            .collect()
    }

    /// Whether an answer sets a cookie of our name.
    pub fn is_set_by(&self, answer: &Headers) -> bool {
        answer.all("set-cookie").any(|line| name_of(line) == self.name.as_bytes())
    }

    /// What takes the upstream's own cookies of our names out of an answer: there is one line of each in it.
    pub fn removed_from(&self, answer: &Headers) -> Vec<HeaderChange> {
        let device = self.device_name();
        let is_ours = |line: &[u8]| {
            let name = name_of(line);
            name == self.name.as_bytes() || name == device.as_bytes()
        };
        if !answer.all("set-cookie").any(is_ours) {
            return Vec::new();
        }
        let others =
            answer.all("set-cookie").filter(|line| !is_ours(line)).map(|line| HeaderChange::add("set-cookie", line));
        [HeaderChange::Remove("set-cookie".to_owned())].into_iter().chain(others).collect()
    }

    fn line(&self, value: &str, domain: Option<&str>, same_site: SameSite, partitioned: bool) -> String {
        let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        let partitioned = if partitioned { "; Partitioned" } else { "" };
        format!("{}{value}{domain}; Secure; HttpOnly; SameSite={same_site}{partitioned}", self.name)
    }
}

/// The name in a `Set-Cookie`.
fn name_of(line: &[u8]) -> &[u8] {
    line.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie() -> SessionCookie {
        let name = "__Host-session-gate".to_owned();
        SessionCookie { name, domain: None, same_site: SameSite::Lax, partitioned: false }
    }

    #[test]
    fn it_is_kept_as_long_as_its_session_may_last() {
        let base = "__Host-session-gate=abc; Path=/";
        let kept = |max_age| cookie().keep("abc", max_age).unwrap();
        assert_eq!(kept(None), format!("{base}; Secure; HttpOnly; SameSite=Lax"));
        assert_eq!(kept(Some(60)), format!("{base}; Max-Age=60; Secure; HttpOnly; SameSite=Lax"));
        assert_eq!(kept(Some(u64::MAX)), format!("{base}; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax"));
        let shared = SessionCookie { name: "gate".to_owned(), domain: Some("example.com".to_owned()), ..cookie() };
        let expected = "gate=abc; Path=/; Domain=example.com; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(shared.keep("abc", None).unwrap(), expected);
        let partitioned = SessionCookie { partitioned: true, same_site: SameSite::None, ..cookie() };
        assert!(partitioned.keep("abc", None).unwrap().ends_with("; SameSite=None; Partitioned"));
    }

    #[test]
    fn the_device_cookie_is_kept_beside_it() {
        let kept = |cookie: SessionCookie| cookie.keep_device("d", 60).unwrap();
        let expected = "__Host-session-gate-d=d; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(kept(cookie()), expected);
        assert_eq!(kept(SessionCookie { same_site: SameSite::Strict, ..cookie() }), expected);
        let framed = kept(SessionCookie { same_site: SameSite::None, partitioned: true, ..cookie() });
        assert!(framed.ends_with("; SameSite=None; Partitioned"), "{framed}");
    }

    #[test]
    fn one_that_a_browser_would_drop_is_not_set() {
        let room = MAX_BYTES - "__Host-session-gate=".len();
        assert!(cookie().keep(&"a".repeat(room), None).is_some());
        assert_eq!(cookie().keep(&"a".repeat(room + 1), None), None);
    }

    #[test]
    fn it_is_removed_in_each_form_that_it_may_have() {
        let gone = "__Host-session-gate=; Path=/; Max-Age=0; Secure; HttpOnly";
        let both = [format!("{gone}; SameSite=Lax"), format!("{gone}; SameSite=None; Partitioned")];
        assert_eq!(cookie().removal(), both);
        let partitioned = SessionCookie { partitioned: true, same_site: SameSite::None, ..cookie() };
        assert_eq!(partitioned.removal(), both);
        let shared = SessionCookie { name: "gate".to_owned(), domain: Some("example.com".to_owned()), ..cookie() };
        let removal = shared.removal();
        assert_eq!(removal.len(), 4);
        assert_eq!(removal.iter().filter(|line| line.contains("; Domain=example.com;")).count(), 2);
    }
}
