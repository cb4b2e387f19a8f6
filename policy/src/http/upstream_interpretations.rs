//! What upstreams may make of a request: the one list, each entry with a name by which the configuration
//! switches it (`upstream_interpretations`).
//!
//! An interpretation refuses nothing by itself: a request is refused only where two interpretations meet
//! different rules ([`crate::routing::RouteTable::find`]). Those that are on by default refuse what no honest
//! client sends, or what would step around a rule.

use percent_encoding::percent_decode_str;

use super::headers::collide_as_cgi_variables;

/// Declares the list, so that none is missing from it, from the names or from the defaults.
macro_rules! interpretations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $default:literal;)*) => {
        /// One thing that upstreams may make of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Interpretation {
            $($(#[$doc])* $variant,)*
        }

        impl Interpretation {
            /// All of them, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name of its switch below `upstream_interpretations`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether it is on where the configuration says nothing.
            pub const fn is_on_by_default(self) -> bool {
                match self { $(Self::$variant => $default,)* }
            }
        }
    };
}

interpretations! {
    /// `\` is `/`: Windows, and URL parsers of browsers and Node.
    BackslashesAsSlashes = "backslashes_as_slashes", true;
    /// `delete` is `DELETE`: over HTTP/2 Envoy lets a method in lower case through.
    CaseInsensitiveMethods = "case_insensitive_methods", true;
    /// `/ORDERS` is `/orders`: Express, ASP.NET, IIS, file systems of Windows and macOS.
    CaseInsensitivePaths = "case_insensitive_paths", true;
    /// A path ends where a `?` or `#` appears once it is decoded: `/admin%3fx` is `/admin`.
    DecodedQueryDelimiters = "decoded_query_delimiters", true;
    /// `/a/../b` is `/b` (RFC 3986, section 5.2.4).
    DotSegments = "dot_segments", true;
    /// `/orders.json` is `/orders`: Rails, Django REST framework, old Spring. Off: `/logo.png` beside a rule for
    /// `/logo` is common.
    FormatSuffixes = "format_suffixes", false;
    /// `X-Forwarded-Host` and the like name the host. Which of several differs: Rails takes the last, others the first.
    ForwardedHostHeaders = "forwarded_host_headers", true;
    /// `X-Forwarded-Uri` and `X-Forwarded-Path` name the path. Off: proxies set them to what it was before they
    /// changed it.
    ForwardedPathHeaders = "forwarded_path_headers", false;
    /// `//` is `/`: nginx and most frameworks.
    MergedSlashes = "merged_slashes", true;
    /// `X-HTTP-Method-Override` and the like name the method.
    MethodOverrideHeaders = "method_override_headers", true;
    /// `?_method=DELETE` names the method: Symfony, Laravel, Express. A form's body is not looked at.
    MethodOverrideQuery = "method_override_query", true;
    /// `/admin::$DATA` is `/admin`: file systems of Windows.
    NtfsStreams = "ntfs_streams", true;
    /// `X-Original-URL` and `X-Rewrite-URL` name path and host: IIS, Symfony, Zend.
    PathOverrideHeaders = "path_override_headers", true;
    /// What follows `;` in a segment does not count: servlets.
    PathParameters = "path_parameters", true;
    /// The path is decoded, once or repeatedly: `%2F` is `/`.
    PercentDecoding = "percent_decoding", true;
    /// `/admin.` and `/admin%20` are `/admin`: IIS and the file systems of Windows.
    TrailingDotsAndSpaces = "trailing_dots_and_spaces", true;
}

/// Which interpretations are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamInterpretations(u32);

impl Default for UpstreamInterpretations {
    fn default() -> Self {
        let on = Interpretation::ALL.iter().filter(|interpretation| interpretation.is_on_by_default());
        on.fold(Self(0), |set, &interpretation| set.with(interpretation, true))
    }
}

impl UpstreamInterpretations {
    /// The same with that one on or off.
    #[must_use]
    pub const fn with(self, interpretation: Interpretation, on: bool) -> Self {
        let bit = 1 << interpretation as u32;
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether that one is on.
    pub const fn has(self, interpretation: Interpretation) -> bool {
        self.0 & (1 << interpretation as u32) != 0
    }

    /// Which header this is to an upstream; none: none that changes what a request means, or one that is off.
    /// Spellings that CGI takes for the same count ([`collide_as_cgi_variables`]).
    pub(super) fn of_header(self, name: &str) -> Option<(Interpretation, &'static str)> {
        let named = |(_, known): &&(Interpretation, &'static str)| collide_as_cgi_variables(known, name);
        HEADERS.iter().find(named).filter(|(interpretation, _)| self.has(*interpretation)).copied()
    }
}

/// Whether a header of that name may put another method, path or host in place of the request's, or be taken for one that
/// does (see [`collide_as_cgi_variables`]).
pub fn changes_the_request(name: &str) -> bool {
    HEADERS.iter().any(|(_, known)| collide_as_cgi_variables(known, name))
}

/// Headers that put another method, path or host in place of the request's.
const HEADERS: [(Interpretation, &str); 13] = [
    (Interpretation::ForwardedHostHeaders, "forwarded"),
    (Interpretation::ForwardedHostHeaders, "x-forwarded-host"),
    (Interpretation::ForwardedHostHeaders, "x-forwarded-server"),
    (Interpretation::ForwardedHostHeaders, "x-host"),
    (Interpretation::ForwardedHostHeaders, "x-http-host-override"),
    (Interpretation::ForwardedHostHeaders, "x-original-host"),
    (Interpretation::ForwardedPathHeaders, "x-forwarded-path"),
    (Interpretation::ForwardedPathHeaders, "x-forwarded-uri"),
    (Interpretation::MethodOverrideHeaders, "x-http-method"),
    (Interpretation::MethodOverrideHeaders, "x-http-method-override"),
    (Interpretation::MethodOverrideHeaders, "x-method-override"),
    (Interpretation::PathOverrideHeaders, "x-original-url"),
    (Interpretation::PathOverrideHeaders, "x-rewrite-url"),
];

/// A path that is none by RFC 3986, section 3.3: it does not begin with `/`, has a character that
/// must be percent-encoded, a `%` without two hex digits, an encoded control character, or encoded
/// bytes that are not UTF-8; or one that can be read in too many ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPath;

/// Something that upstreams do to a path before they look up what it names; `None` where it changes nothing.
pub(super) type PathStep = fn(&str) -> Result<Option<String>, InvalidPath>;

/// What is done to paths, in whatever order and any number of times.
/// [`Interpretation::CaseInsensitivePaths`] is not among them: it is how a path is compared with a rule.
pub(super) const PATH_STEPS: [(Interpretation, PathStep); 9] = [
    (Interpretation::PercentDecoding, decode),
    (Interpretation::DotSegments, |path| Ok(remove_dot_segments(path))),
    (Interpretation::MergedSlashes, |path| Ok(merge_slashes(path))),
    (Interpretation::BackslashesAsSlashes, |path| Ok(path.contains('\\').then(|| path.replace('\\', "/")))),
    (Interpretation::PathParameters, |path| Ok(strip_parameters(path))),
    (Interpretation::DecodedQueryDelimiters, |path| Ok(cut_at_delimiter(path))),
    (Interpretation::NtfsStreams, |path| Ok(strip_streams(path))),
    (Interpretation::TrailingDotsAndSpaces, |path| Ok(trim_segments(path))),
    (Interpretation::FormatSuffixes, |path| Ok(strip_format(path))),
];

/// Decodes once. Control characters are refused: one upstream ends the path there, another trims.
pub(super) fn decode(path: &str) -> Result<Option<String>, InvalidPath> {
    if !path.contains('%') {
        return Ok(None);
    }
    // Not UTF-8: a character encoded in more bytes than it needs, which some decode all the same.
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| InvalidPath)?;
    if decoded.chars().any(char::is_control) {
        return Err(InvalidPath);
    }
    Ok((decoded != path).then(|| decoded.into_owned()))
}

fn segments(path: &str) -> std::str::Split<'_, char> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// To the letter of RFC 3986: a `..` takes the segment before it away, an empty one too.
fn remove_dot_segments(path: &str) -> Option<String> {
    if !segments(path).any(|segment| matches!(segment, "." | "..")) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_dots = false;
    for segment in segments(path) {
        ends_in_dots = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    if ends_in_dots {
        kept.push("");
    }
    Some(format!("/{}", kept.join("/")))
}

fn merge_slashes(path: &str) -> Option<String> {
    path.contains("//").then(|| {
        let mut merged = String::with_capacity(path.len());
        for character in path.chars() {
            if !(character == '/' && merged.ends_with('/')) {
                merged.push(character);
            }
        }
        merged
    })
}

fn strip_parameters(path: &str) -> Option<String> {
    path.contains(';').then(|| map_segments(path, |segment| segment.split(';').next().unwrap_or_default()))
}

/// A stream's name and type follow a file's name, each after a colon; the types begin with `$`.
fn strip_streams(path: &str) -> Option<String> {
    path.contains(":$").then(|| {
        map_segments(path, |segment| segment.split(':').next().filter(|_| segment.contains(":$")).unwrap_or(segment))
    })
}

/// The path with a part of each of its segments in its place. One allocation, however many there are.
fn map_segments(path: &str, part: impl Fn(&str) -> &str) -> String {
    let mut mapped = String::with_capacity(path.len() + 1);
    for segment in segments(path) {
        mapped.push('/');
        mapped.push_str(part(segment));
    }
    mapped
}

fn cut_at_delimiter(path: &str) -> Option<String> {
    path.contains(['?', '#']).then(|| path.split(['?', '#']).next().unwrap_or_default().to_owned())
}

/// Of each segment the dots and spaces at its end go. Of one that has nothing else, the dots that it begins with stay:
/// `.. .` is `..`.
fn trim_segments(path: &str) -> Option<String> {
    let is_trimmed = |segment: &str| segment.ends_with(['.', ' ']);
    segments(path).any(is_trimmed).then_some(())?;
    let trimmed = map_segments(path, |segment| {
        let name = segment.trim_end_matches(['.', ' ']);
        if name.is_empty() { segment.split(' ').next().unwrap_or_default() } else { name }
    });
    (trimmed != path).then_some(trimmed)
}

/// The last segment without what follows its last dot.
fn strip_format(path: &str) -> Option<String> {
    let bare = path.strip_suffix('/').unwrap_or(path);
    let (before, format) = bare.rsplit_once('.')?;
    let has_name = !before.is_empty() && !before.ends_with(['/', '.']);
    (has_name && !format.is_empty() && !format.contains('/')).then(|| before.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_removed_to_the_letter_of_rfc_3986() {
        for (path, expected) in [
            ("/a/b/c/./../../g", "/a/g"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/..", "/"),
            ("/.", "/"),
            ("/../a", "/a"),
            ("/api//../admin", "/api/admin"),
            ("//../a", "/a"),
            ("/a//..//b", "/a//b"),
            ("/a/../", "/"),
        ] {
            assert_eq!(remove_dot_segments(path).as_deref(), Some(expected), "{path}");
            assert_eq!(remove_dot_segments(expected), None, "{expected}");
        }
        assert_eq!(remove_dot_segments("/a.b/..c/...//"), None);
    }

    #[test]
    fn segments_lose_dots_and_spaces_at_their_end_but_stay_dot_segments() {
        for (path, expected) in [
            ("/admin.", Some("/admin")),
            ("/admin ", Some("/admin")),
            ("/admin. . /x..", Some("/admin/x")),
            ("/x/.. /admin", Some("/x/../admin")),
            ("/x/.. ./admin", Some("/x/../admin")),
            ("/x/ ./admin", Some("/x//admin")),
            ("/x/../admin/.", None),
            ("/a.b/.c", None),
            ("/...", None),
        ] {
            assert_eq!(trim_segments(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_format_is_what_follows_the_last_dot_of_the_last_segment() {
        for (path, expected) in [
            ("/orders.json", Some("/orders")),
            ("/orders/7.json/", Some("/orders/7")),
            ("/a.b/c", None),
            ("/.json", None),
            ("/a/..", None),
            ("/orders.", None),
        ] {
            assert_eq!(strip_format(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_documentation_lists_every_interpretation_with_its_default() {
        let document = include_str!("../../../docs/configuration-filter.md");
        for interpretation in Interpretation::ALL {
            let default = if interpretation.is_on_by_default() { "on" } else { "off" };
            let row = format!("| `{}` | {default} |", interpretation.name());
            assert!(document.contains(&row), "{row}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_its_names_are_unique() {
        assert!(Interpretation::ALL.is_sorted_by(|a, b| a.name() < b.name()));
        let off: Vec<_> = Interpretation::ALL.iter().filter(|i| !i.is_on_by_default()).map(|i| i.name()).collect();
        assert_eq!(off, ["format_suffixes", "forwarded_path_headers"]);
    }
}
