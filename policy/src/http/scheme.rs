//! By which scheme a client came: asked in this one place by `require_https`, the CSRF check and HSTS.

use super::headers::Headers;

/// Whether the client came by https.
///
/// `X-Forwarded-Proto` counts where Envoy lets it through, which it does from proxies that it trusts
/// (`xff_num_trusted_hops`) and otherwise sets itself. Each proxy of a chain may have added its own value, to the line or
/// as another line: the first is the one that the client's own connection had. Without the header: `:scheme`.
pub fn is_https(request: &Headers) -> bool {
    let listed = request.all("x-forwarded-proto").flat_map(|line| line.split(|&byte| byte == b','));
    let first = listed.map(<[u8]>::trim_ascii).find(|value| !value.is_empty());
    first.or(request.get(":scheme")).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_list_counts_in_one_line_or_in_two() {
        let is_https = |headers: &[(&str, &str)]| is_https(&headers.iter().copied().collect());
        let forwarded = |value| [(":scheme", "http"), ("x-forwarded-proto", value)];
        for value in ["https", "HTTPS", "https,http", "https, http", " https ,https", ",https"] {
            assert!(is_https(&forwarded(value)), "{value:?}");
        }
        for value in ["http", "http,https", "httpss", "wss"] {
            assert!(!is_https(&forwarded(value)), "{value:?}");
        }
        assert!(is_https(&[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]));
        assert!(!is_https(&[("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")]));
        assert!(is_https(&[(":scheme", "https")]) && is_https(&[(":scheme", "https"), ("x-forwarded-proto", "")]));
        assert!(!is_https(&[(":scheme", "http")]) && !is_https(&[]));
    }
}
