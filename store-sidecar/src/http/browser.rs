//! Keeps web pages away from a service that asks for no credentials: a browser on this machine reaches it,
//! and runs whatever page its user looks at.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header, uri::Authority};

/// Whether the request may come from a web page of somebody else's: its `Origin` is not of this machine,
/// the browser says so (`Sec-Fetch-Site`), or its `Host` is a name that anybody can let point here (DNS
/// rebinding). A name without a dot is nobody's in the public DNS.
pub(super) fn is_foreign_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let foreign_origin =
        |origin: &str| origin.parse::<Uri>().ok().and_then(|uri| uri.host().map(is_local)) != Some(true);
    let foreign_host = |host: &str| !host.parse::<Authority>().is_ok_and(|named| is_private_name(named.host()));
    text(header::ORIGIN).any(foreign_origin)
        || text(header::HOST).any(foreign_host)
        || uri.host().is_some_and(|host| !is_private_name(host))
        || text(header::HeaderName::from_static("sec-fetch-site")).any(|site| site == "cross-site")
}

/// A name of this machine.
fn is_local(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || address(host).is_some_and(|address| address.is_loopback())
}

/// A host that the public DNS cannot name.
fn is_private_name(host: &str) -> bool {
    is_local(host) || address(host).is_some() || !host.contains('.')
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn is_foreign(target: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_foreign_page(&target.parse().unwrap(), &headers.collect())
    }

    #[test]
    fn programs_and_pages_of_this_machine_may_call() {
        assert!(!is_foreign("/", &[]));
        for host in ["127.0.0.1:8081", "localhost:8081", "[::1]:8081", "gate.localhost", "sidecar", "10.0.0.7"] {
            assert!(!is_foreign("/", &[("host", host)]), "{host}");
        }
        for origin in ["http://localhost:3000", "http://127.0.0.1:8081", "http://[::1]"] {
            assert!(!is_foreign("/", &[("host", "localhost:8081"), ("origin", origin)]), "{origin}");
        }
        assert!(!is_foreign("/", &[("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn pages_of_others_may_not() {
        for host in ["evil.example", "evil.example:8081", "localhost.evil.example", "a b", ""] {
            assert!(is_foreign("/", &[("host", host)]), "{host}");
        }
        assert!(is_foreign("http://evil.example/v1/login", &[("host", "localhost")]));
        for origin in ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://10.0.0.7"] {
            assert!(is_foreign("/", &[("host", "localhost:8081"), ("origin", origin)]), "{origin}");
        }
        assert!(is_foreign("/", &[("host", "localhost"), ("sec-fetch-site", "cross-site")]));
    }
}
