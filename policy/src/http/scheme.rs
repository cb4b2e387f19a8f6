//! By which scheme a client came: asked in this one place by `require_https`, the CSRF check and HSTS.

use super::headers::Headers;

/// By which scheme a client came, as far as can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientScheme {
    /// By http all the way, or by none that is known.
    #[default]
    Http,
    /// By https all the way.
    Https,
    /// By each of them somewhere on its way, in whatever order: who came by http may say so of himself.
    Mixed,
}

impl ClientScheme {
    /// By which scheme the request's client came.
    ///
    /// `X-Forwarded-Proto` counts where Envoy lets it through: from the peers that it trusts (`xff_num_trusted_hops`), and
    /// where it does not look (`use_remote_address: false`). Otherwise Envoy has set it itself. A trusted proxy that adds
    /// its value, to the line or as another line, leaves what the client has sent before it. How many of the values are
    /// proxies' own is not known here: all must say https. Without the header: `:scheme`.
    pub fn of(request: &Headers) -> Self {
        let listed = request.all("x-forwarded-proto").flat_map(|line| line.split(|&byte| byte == b','));
        let mut listed = listed.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()).peekable();
        let is_https = |value: &[u8]| value.eq_ignore_ascii_case(b"https");
        if listed.peek().is_none() {
            return if request.get(":scheme").is_some_and(is_https) { Self::Https } else { Self::Http };
        }
        match listed.fold((true, false), |(all, any), value| (all && is_https(value), any || is_https(value))) {
            (true, _) => Self::Https,
            (false, true) => Self::Mixed,
            (false, false) => Self::Http,
        }
    }

    /// Whether the client surely came by https.
    pub const fn is_https(self) -> bool {
        matches!(self, Self::Https)
    }

    /// Whether a page of the same host that came by http may be one of ours: not if the client may have come by https.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_list_counts_in_one_line_or_in_two_and_in_any_order() {
        use ClientScheme::{Http, Https, Mixed};
        let of = |headers: &[(&str, &str)]| ClientScheme::of(&headers.iter().copied().collect());
        for (value, expected) in [
            ("https", Https),
            ("HTTPS", Https),
            (" https ,https", Https),
            (",https", Https),
            ("https,http", Mixed),
            ("http,https", Mixed),
            ("https, wss", Mixed),
            ("http", Http),
            ("http, http", Http),
            ("httpss", Http),
            ("wss", Http),
        ] {
            assert_eq!(of(&[(":scheme", "http"), ("x-forwarded-proto", value)]), expected, "{value:?}");
            assert_eq!(of(&[(":scheme", "https"), ("x-forwarded-proto", value)]), expected, "{value:?}");
        }
        for values in [["https", "http"], ["http", "https"]] {
            assert_eq!(of(&values.map(|value| ("x-forwarded-proto", value))), Mixed);
        }
        assert_eq!(of(&[(":scheme", "https")]), Https);
        assert_eq!(of(&[(":scheme", "https"), ("x-forwarded-proto", "")]), Https);
        assert_eq!((of(&[(":scheme", "http")]), of(&[])), (Http, Http));
    }
}
