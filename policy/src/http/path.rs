//! What a request's path means, to whomever may read it after us.
//!
//! A rule protects a resource, and upstreams do not agree on which spellings name it: some decode
//! twice, some take `\` for `/`, some drop what follows `;` in a segment. So a path has several
//! *readings*, and a request is only judged where all of them meet the same rule
//! ([`crate::routing::RouteTable::find`]). Envoy's normalisation, set in every example, leaves ordinary
//! requests with exactly one.

pub use super::upstream_interpretations::InvalidPath;
use super::upstream_interpretations::{Interpretation, PATH_STEPS, UpstreamInterpretations, decode};

/// Longest path, in bytes: readings are compared with every rule.
const MAX_PATH_BYTES: usize = 8192;
/// Of all readings of a request together, in bytes: what one request costs is bounded as a whole.
const MAX_TEXT_BYTES: usize = 16_384;
/// No honest path can be read in more ways.
const MAX_READINGS: usize = 16;

/// What the paths of one request may cost together.
#[derive(Debug)]
pub struct PathBudget {
    /// Bytes of readings that may still come.
    text: usize,
    /// Bytes that were looked at.
    pub scanned: usize,
}

impl Default for PathBudget {
    fn default() -> Self {
        Self { text: MAX_TEXT_BYTES, scanned: 0 }
    }
}

impl PathBudget {
    fn spend(&mut self, text: &str) -> Result<(), InvalidPath> {
        self.text = self.text.checked_sub(text.len()).ok_or(InvalidPath)?;
        Ok(())
    }
}

/// What a path may mean: the text as it stands first, then all else that upstreams may make of it, each with
/// the interpretation that has led there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInterpretations(Vec<(String, Option<Interpretation>)>);

impl PathInterpretations {
    /// The readings of a request target's path, its query left out.
    ///
    /// # Errors
    /// [`InvalidPath`] where it is none.
    pub fn of(target: &str, upstreams: UpstreamInterpretations, budget: &mut PathBudget) -> Result<Self, InvalidPath> {
        let path = target.split('?').next().unwrap_or_default();
        if path == "*" {
            // The target of OPTIONS for the server as a whole (RFC 9112, section 3.2.4).
            return Ok(Self(vec![(path.to_owned(), None)]));
        }
        if path.len() > MAX_PATH_BYTES
            || !path.starts_with('/')
            || !path.bytes().all(is_path_byte)
            || !escapes_are_whole(path)
        {
            return Err(InvalidPath);
        }
        if is_plain(path, upstreams) {
            budget.spend(path)?;
            return Ok(Self(vec![(path.to_owned(), None)]));
        }
        // Whether upstreams decode it or not.
        decode(path)?;
        let as_sent = decode_meaningless(path)?;
        budget.spend(&as_sent)?;
        // In whatever order an upstream takes the steps, and whichever it leaves out.
        let mut readings = vec![(as_sent, None)];
        let mut next = 0;
        while let Some((reading, _)) = readings.get(next).cloned() {
            for (interpretation, step) in PATH_STEPS.iter().filter(|(name, _)| upstreams.has(*name)) {
                budget.scanned += reading.len();
                let Some(result) = step(&reading)? else { continue };
                let same_length = readings.iter().filter(|(known, _)| known.len() == result.len()).count();
                budget.scanned += result.len() * same_length;
                if !readings.iter().any(|(known, _)| *known == result) {
                    budget.spend(&result)?;
                    readings.push((result, Some(*interpretation)));
                }
            }
            if readings.len() > MAX_READINGS {
                return Err(InvalidPath);
            }
            next += 1;
        }
        Ok(Self(readings))
    }

    /// The readings, the text as it stands first, and what has led to them.
    pub fn into_readings(self) -> impl Iterator<Item = (String, Option<Interpretation>)> {
        self.0.into_iter()
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
fn is_plain(path: &str, upstreams: UpstreamInterpretations) -> bool {
    let has_format = upstreams.has(Interpretation::FormatSuffixes) && path.contains('.');
    let is_odd = has_format
        || path.contains(['%', ';', '\\'])
        || path.contains("//")
        || path.contains(":$")
        || path.split('/').any(|segment| segment.ends_with('.'));
    !is_odd
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Result<PathInterpretations, InvalidPath> {
        PathInterpretations::of(path, UpstreamInterpretations::default(), &mut PathBudget::default())
    }

    fn readings(path: &str) -> Vec<String> {
        of(path).unwrap().into_readings().map(|(text, _)| text).collect()
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
            "/admin.",
            "/admin%20",
            "/admin.%20.",
            "/x/..%20/admin",
            "/x//..//../admin",
            "/admin%2e%2520",
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
            assert_eq!(of(bad), Err(InvalidPath), "{bad:?}");
        }
    }

    #[test]
    fn a_path_with_too_many_readings_is_refused_and_the_work_is_bounded() {
        assert_eq!(of(&format!("/%{}61", "25".repeat(MAX_READINGS + 1))), Err(InvalidPath));
        assert!(of(&format!("/{}", "a%20b/".repeat(1000))).is_ok());
        // Each a long one under one prefix, with as many readings as may be.
        let long = format!("/f/%252fx/../c\\%3bq/%3f%25252f%253f/{}", "z/".repeat(3_900));
        assert_eq!(of(&long), Err(InvalidPath), "16 KiB of text in all");
        assert!(of(&format!("/{}/%2f", "a".repeat(5000))).is_ok());
    }

    #[test]
    fn what_is_off_is_no_reading() {
        let only = Interpretation::ALL.iter().fold(UpstreamInterpretations::default(), |set, &i| set.with(i, false));
        let all = PathInterpretations::of("/x/..%2f;a//b.", only, &mut PathBudget::default()).unwrap();
        assert_eq!(all.into_readings().count(), 1);
        assert_eq!(PathInterpretations::of("/%00", only, &mut PathBudget::default()), Err(InvalidPath));
    }
}
