//! What a request may mean to whomever reads it after us: method, host and path.
//!
//! Frameworks let a client ask for another method or path than the request's own, proxies tell the
//! host in headers, and paths are read in many ways ([`crate::http::path`]). A rule is only applied where
//! every combination of these readings meets the same one.

use session_gate_protocol::DenyReason;

use super::{
    authority::host_name,
    headers::{Headers, collide_as_cgi_variables},
    path::PathInterpretations,
};

/// Headers that put another method in place of the request's.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
/// Headers that put another path in place of the request's.
const PATH_OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];
/// Headers that put another host in place of the request's.
const HOST_OVERRIDES: [&str; 3] = ["x-forwarded-host", "x-original-host", "x-host"];
/// Of methods, of hosts, of paths before they are read: no honest request has more, and it bounds the
/// work.
const MAX_EACH: usize = 4;

/// Everything that a request may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInterpretations {
    /// Methods: the request's own first.
    pub methods: Vec<String>,
    /// Hosts in lower case, without port and without a dot at the end.
    pub hosts: Vec<String>,
    /// Paths.
    pub paths: Vec<String>,
    /// Whether a header asks for another method or path than the request's.
    pub overridden: bool,
}

impl RequestInterpretations {
    /// Reads a request.
    ///
    /// # Errors
    /// `PathInvalid` where a path is none; `PathAmbiguous` where there are more readings than an honest
    /// request has.
    pub fn of(request: &Headers) -> Result<Self, DenyReason> {
        let method = request.text(":method").unwrap_or_default();
        let host = request.text(":authority").unwrap_or_default();
        let target = request.text(":path").ok_or(DenyReason::PathInvalid)?;
        // Some look a method up whatever its case: over HTTP/2 Envoy lets `delete` through.
        let mut methods = distinct([method.to_owned(), method.to_ascii_uppercase()]);
        let mut hosts = vec![host_name(host)];
        let mut targets = vec![target.to_owned()];
        let mut overridden = false;
        for (name, value) in request.iter().filter(|(name, _)| !name.starts_with(':')) {
            let is_one_of = |names: &[&str]| names.iter().any(|known| collide_as_cgi_variables(known, name));
            let text = || String::from_utf8_lossy(value).trim().to_owned();
            if is_one_of(&METHOD_OVERRIDES) {
                overridden = true;
                add(&mut methods, text().to_ascii_uppercase())?;
            } else if is_one_of(&PATH_OVERRIDES) {
                overridden = true;
                add(&mut targets, text())?;
            } else if is_one_of(&HOST_OVERRIDES) {
                add_all(&mut hosts, text().split(',').map(|host| host_name(host.trim())))?;
            } else if name == "forwarded" {
                add_all(&mut hosts, forwarded_hosts(&text()))?;
            }
        }
        let mut paths = Vec::new();
        for target in targets {
            let readings = PathInterpretations::of(&target).map_err(|_| DenyReason::PathInvalid)?;
            paths.extend(readings.iter().map(str::to_owned));
        }
        Ok(Self { methods, hosts, paths: distinct(paths), overridden })
    }
}

fn distinct(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for text in texts {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}

fn add(texts: &mut Vec<String>, text: String) -> Result<(), DenyReason> {
    if texts.contains(&text) {
        return Ok(());
    }
    texts.push(text);
    if texts.len() > MAX_EACH { Err(DenyReason::PathAmbiguous) } else { Ok(()) }
}

fn add_all(texts: &mut Vec<String>, more: impl Iterator<Item = String>) -> Result<(), DenyReason> {
    more.into_iter().try_for_each(|text| add(texts, text))
}

/// The hosts of a `Forwarded` header (RFC 7239, section 5.3).
fn forwarded_hosts(value: &str) -> impl Iterator<Item = String> {
    value.split([',', ';']).filter_map(|pair| {
        let (name, host) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("host").then(|| host_name(host.trim().trim_matches('"')))
    })
}
