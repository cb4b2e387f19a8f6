//! The authority of a request (RFC 3986, section 3.2).

/// Whether it is one host, with or without a port of digits. Of anything else upstreams make different hosts: user
/// information (`x@api.example`), escapes, a port that is none (`api.example:x`, which Go's `ServeMux` cuts off), two
/// hosts that a proxy has joined by a comma. What RFC 3986 allows in names beyond letters, digits and `-._` is in
/// none that resolves.
pub fn is_valid(authority: &str) -> bool {
    let (host, port) = split(authority);
    let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    let is_port =
        port.is_none_or(|port| !host.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()));
    (is_name || is_ipv6(host)) && is_port
}

/// Its host, and its port where it has one.
fn split(authority: &str) -> (&str, Option<&str>) {
    let end_of_host = if authority.starts_with('[') { authority.find(']').map_or(0, |at| at + 1) } else { 0 };
    let (name, rest) = authority.split_at(end_of_host);
    match rest.find(':') {
        Some(at) => {
            let (before, after) = authority.split_at(name.len() + at);
            (before, after.get(1..))
        }
        None => (authority, None),
    }
}

/// The authority without its port.
pub fn without_port(authority: &str) -> &str {
    split(authority).0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_with_or_without_a_port_is_one() {
        for (authority, host) in [
            ("", ""),
            ("a.example", "a.example"),
            ("A_b-c.example.:8443", "A_b-c.example."),
            ("a.example:", "a.example"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]", "[::1]"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
        ] {
            assert!(is_valid(authority), "{authority}");
            assert_eq!(without_port(authority), host);
        }
    }

    #[test]
    fn what_upstreams_read_as_different_hosts_is_none() {
        for authority in [
            "a:x",
            "a:-1",
            "a:0x50",
            "a:80:80",
            "a:123456",
            "a: 80",
            ":80",
            "a,b",
            "a;b",
            "a*",
            "~a",
            "a'b",
            "x@a",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "%61",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[v1.a]",
            "::1",
            "[a]",
            "x[::1]",
            "caf\u{e9}",
        ] {
            assert!(!is_valid(authority), "{authority}");
        }
    }
}
