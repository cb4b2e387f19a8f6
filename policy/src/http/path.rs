//! What a request's path means, to whomever may read it after us.
//!
//! A rule protects a resource, and upstreams do not agree on which spellings name it: some decode
//! twice, some take `\` for `/`, some drop what follows `;` in a segment. So a path has several
//! *readings*, and a request is only judged where all of them meet the same rule
//! ([`crate::routing::RouteTable::find`]). Envoy's normalisation, set in every example, leaves ordinary
//! requests with exactly one.
//!
//! Not covered: upstreams that ignore case. Rules are matched with case (RFC 3986, section 6.2.2.1).

use percent_encoding::percent_decode_str;

/// Longest path, in bytes: readings are compared with every rule.
const MAX_PATH_BYTES: usize = 8192;
/// No honest path can be read in more ways.
const MAX_READINGS: usize = 64;

/// A path that is none by RFC 3986, section 3.3: it does not begin with `/`, has a character that
/// must be percent-encoded, a `%` without two hex digits, an encoded control character, or encoded
/// bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPath;

/// What a path may mean: the text as it stands first, then all else that upstreams may make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInterpretations(Vec<String>);

impl PathInterpretations {
    /// The readings of a request target's path, its query left out.
    ///
    /// # Errors
    /// [`InvalidPath`] where it is none.
    pub fn of(target: &str) -> Result<Self, InvalidPath> {
        let path = target.split('?').next().unwrap_or_default();
        if path == "*" {
            // The target of OPTIONS for the server as a whole (RFC 9112, section 3.2.4).
            return Ok(Self(vec![path.to_owned()]));
        }
        if path.len() > MAX_PATH_BYTES
            || !path.starts_with('/')
            || !path.bytes().all(is_path_byte)
            || !escapes_are_whole(path)
        {
            return Err(InvalidPath);
        }
        if is_plain(path) {
            return Ok(Self(vec![path.to_owned()]));
        }
        // In whatever order an upstream takes the steps, and whichever it leaves out.
        let mut readings = vec![decode_meaningless(path)?];
        let mut next = 0;
        while let Some(reading) = readings.get(next).cloned() {
            for step in STEPS {
                let result = step(&reading)?;
                if !readings.contains(&result) {
                    readings.push(result);
                }
            }
            if readings.len() > MAX_READINGS {
                return Err(InvalidPath);
            }
            next += 1;
        }
        Ok(Self(readings))
    }

    /// The readings, the text as it stands first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// RFC 3986's pchar, `/` and `%`, and what some clients send unencoded although they should not:
/// such a character has one meaning, and only the backslash is ever taken for another.
const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

fn escapes_are_whole(path: &str) -> bool {
    path.split('%')
        .skip(1)
        .all(|rest| matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// The common case: nothing in it can be read in two ways.
fn is_plain(path: &str) -> bool {
    !path.contains(['%', ';', '\\'])
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// Something that upstreams do to a path before they look up what it names.
type Step = fn(&str) -> Result<String, InvalidPath>;

const STEPS: [Step; 6] = [
    decode,
    |path| Ok(normalise(path)),
    |path| Ok(merge_slashes(path)),
    |path| Ok(path.replace('\\', "/")),
    |path| Ok(strip_parameters(path)),
    // Some decode before they look where the query begins.
    |path| Ok(path.split(['?', '#']).next().unwrap_or_default().to_owned()),
];

/// Decodes what means the same encoded and not: unreserved characters (RFC 3986, section 6.2.2.2),
/// blanks and what is not ASCII. Rules are written in this form.
fn decode_meaningless(path: &str) -> Result<String, InvalidPath> {
    let mut kept = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) if decoded >= 0x80 || decoded == b' ' || is_unreserved(decoded) => {
                kept.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                kept.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(kept).map_err(|_| InvalidPath)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Decodes once. Control characters are refused: one upstream ends the path there, another trims.
fn decode(path: &str) -> Result<String, InvalidPath> {
    // Not UTF-8: a character encoded in more bytes than it needs, which some decode all the same.
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| InvalidPath)?;
    if decoded.chars().any(char::is_control) { Err(InvalidPath) } else { Ok(decoded.into_owned()) }
}

fn strip_parameters(path: &str) -> String {
    path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/")
}

fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if !(character == '/' && merged.ends_with('/')) {
            merged.push(character);
        }
    }
    merged
}

/// Removes dot segments (RFC 3986, section 5.2.4) and empty ones.
fn normalise(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let ends_in_directory = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let trailing = if ends_in_directory && !segments.is_empty() { "/" } else { "" };
    format!("/{}{trailing}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(path: &str) -> Vec<String> {
        PathInterpretations::of(path).unwrap().0
    }

    #[test]
    fn an_ordinary_path_has_one_reading() {
        for path in ["/", "/orders/7", "/orders/", "/a.b/~c/d-e_f", "/x:y@z!$&'()*+,="] {
            assert_eq!(readings(path), [path]);
        }
        assert_eq!(readings("/orders?next=/../admin;x%00"), ["/orders"]);
        assert_eq!(readings("*"), ["*"]);
    }

    #[test]
    fn every_spelling_of_a_path_has_it_among_its_readings() {
        for spelling in [
            "/admin",
            "//admin",
            "///admin",
            "/./admin",
            "/x/../admin",
            "/x/%2e%2e/admin",
            "/x/.%2E/admin",
            "/%61dmin",
            "/%2561dmin",
            "/%252561dmin",
            "/%2fadmin",
            "/%252fadmin",
            "/x/..%2fadmin",
            "/x%2f..%2fadmin",
            "/\\admin",
            "/x\\..\\admin",
            "/%5cadmin",
            "/x/..%5cadmin",
            "/x/..%255cadmin",
            "/admin;v=1",
            "/admin%3bv=1",
            "/x/..;/admin",
            "/x/..;a=b/admin",
            "/x/..%3b/admin",
            "/;/admin",
            "/x;/../admin",
            "/x/%2e%2e;/admin",
            "/.;/admin",
            "/admin%3fx",
            "/admin%23x",
            "/admin%253fx",
            "/x/..%2fadmin%3f",
            "/x/;y/../../admin",
        ] {
            assert!(
                readings(spelling).iter().any(|reading| reading.trim_end_matches('/') == "/admin"),
                "{spelling}: {:?}",
                readings(spelling)
            );
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in [
            "", "admin", "?x", "/a b", "/a\tb", "/a\u{e9}", "/%", "/%2", "/%zz", "/a%0", "/a%00", "/a%0d%0a", "/%7f",
            "/a%2500", "/a#b", "\\admin",
        ] {
            assert_eq!(PathInterpretations::of(bad), Err(InvalidPath), "{bad:?}");
        }
    }

    #[test]
    fn a_path_with_too_many_readings_is_refused_and_the_work_is_bounded() {
        assert_eq!(PathInterpretations::of(&format!("/%{}61", "25".repeat(MAX_READINGS))), Err(InvalidPath));
        assert!(PathInterpretations::of(&format!("/{}", "a%20b/".repeat(1000))).is_ok());
    }

    #[test]
    fn normalising_twice_is_normalising_once() {
        for path in ["/a/../../b/./c//d/", "/..", "/.", "//", "/a/b/.."] {
            let once = normalise(path);
            assert_eq!(normalise(&once), once, "{path}");
        }
    }
}
