//! The sections that concern browsers: cookie, CSRF, CORS, security headers.

use std::time::Duration;

use session_gate_protocol::is_token;

use super::{
    problems::Problems,
    raw::{RawCookie, RawCors, RawCsrf, RawHeader, RawHeaderMode, RawHeaderWithMode, RawSameSite, RawSecurityHeaders},
};
use crate::{
    http::{
        cors::{AllowedOrigins, Cors},
        csrf::CsrfPolicy,
        security_headers::{HSTS, Precedence, SecurityHeader},
    },
    response::cookie::{SameSite, SessionCookie},
};

/// Headers that tell an attacker what runs behind.
const REVEALING: [&str; 7] = [
    "server",
    "x-powered-by",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-runtime",
    "x-generator",
    "x-envoy-upstream-service-time",
];

pub(super) fn cookie(raw: RawCookie, problems: &mut Problems) -> SessionCookie {
    let RawCookie { name, domain, same_site, partitioned } = raw;
    let name = name.unwrap_or_else(|| "__Host-session-gate".to_owned());
    if !is_token(&name) {
        problems.add("cookie.name", "must be a token of RFC 6265: letters, digits, and !#$%&'*+-.^_`|~");
    }
    if name.len() > 128 {
        problems.add("cookie.name", "must have at most 128 characters: with the token it has to fit into 4096 bytes");
    }
    if let Some(domain) = &domain {
        // Browsers compare the prefix in any case (RFC 6265bis, section 4.1.3.2).
        if name.get(..7).is_some_and(|prefix| prefix.eq_ignore_ascii_case("__Host-")) {
            let message = "must not be set beside a cookie.name that begins with __Host-: browsers refuse that cookie";
            problems.add("cookie.domain", message);
        }
        if !is_domain(domain) {
            problems.add("cookie.domain", "must be a domain of two labels or more, in lower case and without scheme, port or dots at its ends: example.com");
        }
    }
    let same_site = match same_site {
        Some(RawSameSite::Lax) => SameSite::Lax,
        Some(RawSameSite::None) => SameSite::None,
        Some(RawSameSite::Strict) => SameSite::Strict,
        None if partitioned => SameSite::None,
        None => SameSite::Lax,
    };
    if partitioned && same_site != SameSite::None {
        problems.add("cookie.same_site", "must be none beside partitioned: frames of other sites get no other cookie");
    }
    SessionCookie { name, domain, same_site, partitioned }
}

/// Labels of letters, digits and hyphens, two at least: browsers refuse a cookie of a whole top-level domain.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(is_label)
        && text.parse::<std::net::IpAddr>().is_err()
}

pub(super) fn csrf(raw: RawCsrf, problems: &mut Problems) -> CsrfPolicy {
    check_origins(&raw.allowed_origins, "csrf.allowed_origins", problems);
    CsrfPolicy { allowed_origins: raw.allowed_origins, allow_missing_origin: raw.allow_missing_origin }
}

fn check_origins(origins: &[String], path: &str, problems: &mut Problems) {
    for (place, origin) in origins.iter().enumerate() {
        if !is_origin(origin) {
            problems.add(
                format!("{path}[{place}]"),
                "must be an origin as browsers send it: https://app.example.com, in lower case, no default port, no path",
            );
        }
    }
}

/// The serialization of the HTML standard: what a browser never sends would never match. Web views and extensions
/// have schemes of their own: `capacitor://localhost`.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let default_port = match scheme {
        "https" => "443",
        "http" => "80",
        _ => "",
    };
    // RFC 3986, section 3.1.
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.'));
    let is_name = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port_fits = port.is_none_or(|port| port != default_port && port.parse::<u16>().is_ok());
    is_scheme && port_fits && (is_name(host) || crate::http::authority::is_ipv6(host))
}

pub(super) fn cors(raw: RawCors, path: &str, problems: &mut Problems) -> Cors {
    let RawCors { allow_origins, allow_credentials, allow_methods, allow_headers, max_age } = raw;
    let lists = [("allow_methods", &allow_methods), ("allow_headers", &allow_headers)];
    for (field, list) in lists {
        for (place, name) in list.iter().flatten().enumerate() {
            if !is_token(name) {
                problems.add(format!("{path}.{field}[{place}]"), "must be a name");
            }
        }
    }
    let max_age_path = format!("{path}.max_age");
    let (day, default) = (Duration::from_secs(86_400), Duration::from_secs(600));
    Cors {
        origins: origins(allow_origins, allow_credentials, path, problems),
        allow_methods,
        allow_headers,
        max_age: problems.duration(max_age_path, max_age.as_deref(), Duration::ZERO..=day, default),
    }
}

fn origins(allowed: Vec<String>, credentials: bool, path: &str, problems: &mut Problems) -> AllowedOrigins {
    let path_of_origins = format!("{path}.allow_origins");
    if allowed == ["*"] {
        if credentials {
            problems.add(format!("{path}.allow_credentials"), "must not be true where every origin is allowed");
        }
        return AllowedOrigins::Any;
    }
    if allowed.is_empty() {
        if !problems.has(&path_of_origins) {
            problems.add(path_of_origins, "must name at least one origin, or be [\"*\"]");
        }
    } else {
        check_origins(&allowed, &path_of_origins, problems);
    }
    AllowedOrigins::Listed { origins: allowed, credentials }
}

pub(super) fn removed(raw: Option<Vec<String>>, problems: &mut Problems) -> Vec<String> {
    let names = raw.unwrap_or_else(|| REVEALING.map(str::to_owned).to_vec());
    for (place, name) in names.iter().enumerate() {
        if !is_token(name) {
            problems.add(format!("remove_response_headers[{place}]"), "must be a header name");
        }
    }
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// The headers of every route: the built-in ones, overridden by the configuration's.
pub(super) fn defaults(problems: &mut Problems, raw: &RawSecurityHeaders) -> Vec<SecurityHeader> {
    let built_in = [
        // Without includeSubDomains: a sibling host without TLS could not be reached for a year.
        (HSTS, "max-age=31536000", Precedence::SetIfMissing),
        // Nothing that an existing page's scripts, styles and fonts would miss.
        ("content-security-policy", "base-uri 'self'; frame-ancestors 'none'", Precedence::SetIfMissing),
        ("x-content-type-options", "nosniff", Precedence::Set),
        ("x-frame-options", "DENY", Precedence::SetIfMissing),
        ("x-xss-protection", "0", Precedence::Set),
        ("referrer-policy", "strict-origin-when-cross-origin", Precedence::SetIfMissing),
    ]
    .map(|(name, value, precedence)| {
        let pages_only = name == "content-security-policy";
        SecurityHeader { name, value: value.to_owned(), precedence, pages_only }
    });
    overridden(&built_in, raw, "security_headers", problems)
}

/// `base` with each header that `raw` mentions replaced, added or left out.
pub(super) fn overridden(
    base: &[SecurityHeader],
    raw: &RawSecurityHeaders,
    path: &str,
    problems: &mut Problems,
) -> Vec<SecurityHeader> {
    let mut headers = base.to_vec();
    for (name, setting) in named(raw) {
        let Some(setting) = setting else { continue };
        headers.retain(|header| header.name != name);
        let field = format!("{path}.{}", name.replace('-', "_"));
        let (value, precedence) = match setting {
            RawHeader::Off(false) => continue,
            RawHeader::Off(true) => {
                problems.add(field, "must be a value, {value, mode}, or false");
                continue;
            }
            RawHeader::Value(value) => (value, Precedence::Set),
            RawHeader::Full(RawHeaderWithMode { value, mode: RawHeaderMode::Set }) => (value, Precedence::Set),
            RawHeader::Full(RawHeaderWithMode { value, mode: RawHeaderMode::SetIfMissing }) => {
                (value, Precedence::SetIfMissing)
            }
        };
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            problems.add(field, "must be visible ASCII on one line");
        }
        headers.push(SecurityHeader { name, value: value.clone(), precedence, pages_only: false });
    }
    headers
}

fn named(raw: &RawSecurityHeaders) -> [(&'static str, &Option<RawHeader>); 10] {
    // Every field is named here, so that a new one does not compile until it has a header.
    let RawSecurityHeaders {
        strict_transport_security,
        content_security_policy,
        x_content_type_options,
        x_frame_options,
        x_xss_protection,
        referrer_policy,
        permissions_policy,
        cross_origin_opener_policy,
        cross_origin_embedder_policy,
        cross_origin_resource_policy,
    } = raw;
    [
        (HSTS, strict_transport_security),
        ("content-security-policy", content_security_policy),
        ("x-content-type-options", x_content_type_options),
        ("x-frame-options", x_frame_options),
        ("x-xss-protection", x_xss_protection),
        ("referrer-policy", referrer_policy),
        ("permissions-policy", permissions_policy),
        ("cross-origin-opener-policy", cross_origin_opener_policy),
        ("cross-origin-embedder-policy", cross_origin_embedder_policy),
        ("cross-origin-resource-policy", cross_origin_resource_policy),
    ]
}
