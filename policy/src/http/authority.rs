//! The authority of a request (RFC 3986, section 3.2).

/// Whether it is a host, with or without port. User information is none of an http authority's (RFC 9113,
/// section 8.3.1): some upstreams would take `x@api.example` for `api.example`. Nor are escapes or what ends an
/// authority, which some decode or cut.
pub fn is_valid(authority: &str) -> bool {
    authority.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'@' | b'/' | b'\\' | b'?' | b'#' | b'%'))
}

/// The authority without its port.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The host: without port, and without the dot of a fully qualified name.
pub fn bare_host(authority: &str) -> &str {
    let host = without_port(authority);
    host.strip_suffix('.').unwrap_or(host)
}

/// The same in lower case.
pub fn host_name(authority: &str) -> String {
    bare_host(authority).to_ascii_lowercase()
}

/// Whether it is an IPv6 address in brackets.
pub fn is_ipv6(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}
