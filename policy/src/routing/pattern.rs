//! What a rule matches: hosts, methods, and shapes of paths.

use super::{case::folded, path_regex::PathRegex};
use crate::http::authority::is_ipv6;

/// Which requests a rule matches: all of its parts must.
#[derive(Debug, Default)]
pub struct Matcher {
    /// Any of these hosts; none given: every host.
    pub hosts: Vec<HostPattern>,
    /// Any of these methods; none given: every method.
    pub methods: Vec<String>,
    /// This path; none given: every path.
    pub path: Option<PathPattern>,
}

/// A host, or with `*.` in front every host below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host that ends in this text, which begins with a dot.
    Suffix(String),
}

/// A path, or a shape of paths. A slash at the end makes no difference.
#[derive(Debug)]
pub struct PathPattern {
    as_written: Shape,
    /// For paths in lower case.
    folded: Shape,
    /// Whether the two may differ on a path in lower case.
    has_case: bool,
}

/// Whether case counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Counts,
    /// The path is in lower case already.
    Ignored,
}

#[derive(Debug)]
enum Shape {
    Exact(String),
    /// `/a` matches `/a` and `/a/b`, not `/ab`.
    Prefix(String),
    Regex(Box<PathRegex>),
    Template(Vec<TemplateSegment>),
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplateSegment {
    /// Any one segment.
    Any,
    Literal(String),
}

impl Matcher {
    /// As far as host and method go.
    pub(super) fn serves(&self, host: &str, method: &str) -> bool {
        (self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host)))
            && (self.methods.is_empty() || self.methods.iter().any(|allowed| serves(allowed, method)))
    }

    /// Whether it surely matches all that `later` does, so that a rule after it would never be reached.
    pub fn covers(&self, later: &Self) -> bool {
        let covers_host = |host: &HostPattern| self.hosts.iter().any(|pattern| pattern.covers(host));
        let covers_method = |method: &String| self.methods.iter().any(|allowed| serves(allowed, method));
        let covers_path =
            |pattern: &PathPattern| later.path.as_ref().is_some_and(|path| pattern.as_written.covers(&path.as_written));
        (self.hosts.is_empty() || (!later.hosts.is_empty() && later.hosts.iter().all(covers_host)))
            && (self.methods.is_empty() || (!later.methods.is_empty() && later.methods.iter().all(covers_method)))
            && self.path.as_ref().is_none_or(covers_path)
    }

    pub(super) fn matches_path(&self, path: &str, case: Case) -> bool {
        self.path.as_ref().is_none_or(|pattern| pattern.matches(path, case))
    }

    pub(super) fn has_case(&self) -> bool {
        self.path.as_ref().is_some_and(|pattern| pattern.has_case)
    }
}

/// HEAD is GET without the body (RFC 9110, section 9.3.2), so a rule for GET is one for HEAD.
fn serves(allowed: &str, method: &str) -> bool {
    allowed == method || (allowed == "GET" && method == "HEAD")
}

impl HostPattern {
    /// Reads `api.example.com` or `*.example.com`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, wild) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let fits = !name.is_empty()
            && !name.starts_with('.')
            && (is_ipv6(name) || name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')));
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        fits.then(|| if wild { Self::Suffix(format!(".{name}")) } else { Self::Exact(name) })
    }

    fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Exact(name) => self.matches(name),
            Self::Suffix(suffix) => match self {
                Self::Exact(_) => false,
                Self::Suffix(wider) => suffix.ends_with(wider.as_str()),
            },
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

impl PathPattern {
    /// This path; none where it is not [plain](is_plain_pattern).
    pub fn exact(text: &str) -> Option<Self> {
        is_plain_pattern(text).then(|| Self::folding(text, |text| Shape::Exact(text.to_owned())))
    }

    /// This path and everything below it: `/a` matches `/a` and `/a/b`, not `/ab`.
    pub fn prefix(text: &str) -> Option<Self> {
        is_plain_pattern(text).then(|| Self::folding(text, |text| Shape::Prefix(text.to_owned())))
    }

    fn folding(text: &str, shape: fn(&str) -> Shape) -> Self {
        let lower = folded(text);
        Self { as_written: shape(text), folded: shape(&lower), has_case: lower != text }
    }

    /// A regular expression that must match the whole path, with or without a slash at its end. Without regard to case
    /// it goes by ASCII.
    pub fn regex(text: &str) -> Option<Self> {
        let whole = |ignores_case| PathRegex::new(text, ignores_case).map(Box::new).map(Shape::Regex);
        Some(Self { as_written: whole(false)?, folded: whole(true)?, has_case: true })
    }

    /// Segments, of which those in braces match any one: `/users/{id}/orders`. Braces must enclose a whole segment, and
    /// with any segment in their place it must be a path that a request can have.
    pub fn template(text: &str) -> Option<Self> {
        is_plain_pattern(&text.replace(['{', '}'], "")).then_some(())?;
        let segments = text.strip_prefix('/')?.trim_end_matches('/').split('/').map(|segment| {
            let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match inner {
                Some(name) if !name.is_empty() && !name.contains(['{', '}']) => Some(TemplateSegment::Any),
                Some(_) => None,
                None if segment.is_empty() || segment.contains(['{', '}']) => None,
                None => Some(TemplateSegment::Literal(segment.to_owned())),
            }
        });
        let segments = segments.collect::<Option<Vec<_>>>()?;
        let lower = |segment: &TemplateSegment| match segment {
            TemplateSegment::Any => TemplateSegment::Any,
            TemplateSegment::Literal(literal) => TemplateSegment::Literal(folded(literal)),
        };
        let folded: Vec<_> = segments.iter().map(lower).collect();
        let has_case = folded != segments;
        Some(Self { as_written: Shape::Template(segments), folded: Shape::Template(folded), has_case })
    }

    /// Whether it matches this path, in its own case.
    pub fn matches_as_written(&self, path: &str) -> bool {
        self.as_written.matches(path)
    }

    fn matches(&self, path: &str, case: Case) -> bool {
        match case {
            Case::Counts => self.as_written.matches(path),
            Case::Ignored => self.folded.matches(path),
        }
    }
}

impl Shape {
    /// Whether it surely matches all that `other` does. What expressions match is known for single paths only.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(path)) => self.matches(path),
            (Self::Prefix(_), Self::Prefix(path)) => self.matches(path),
            (Self::Prefix(_) | Self::Template(_), Self::Template(segments)) => {
                // No pattern has this character, so that it is matched only where anything is.
                let segment = |segment: &TemplateSegment| match segment {
                    TemplateSegment::Any => "/\0".to_owned(),
                    TemplateSegment::Literal(literal) => format!("/{literal}"),
                };
                self.matches(&segments.iter().map(segment).collect::<String>())
            }
            (Self::Regex(_), _) | (_, Self::Regex(_)) | (Self::Exact(_) | Self::Template(_), _) => false,
        }
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => without_slash(exact) == without_slash(path),
            Self::Prefix(prefix) => {
                let prefix = without_slash(prefix);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(regex) => regex.matches(path),
            Self::Template(segments) => {
                let mut given = without_slash(path).split('/').skip(1);
                segments.iter().all(|segment| match (segment, given.next()) {
                    (_, None) => false,
                    (TemplateSegment::Any, Some(text)) => !text.is_empty(),
                    (TemplateSegment::Literal(literal), Some(text)) => literal == text,
                }) && given.next().is_none()
            }
        }
    }
}

/// Whether `text` is a path as rules are written: decoded, and with one reading only. Any other would
/// be a rule that never applies.
pub fn is_plain_pattern(text: &str) -> bool {
    text.starts_with('/')
        && !text.contains(['%', ';', '\\', '?', '#'])
        && !text.contains("//")
        && !text.chars().any(char::is_control)
        && !text.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// `/a/` and `/a` name the same to most upstreams; `/` is the empty text, below which everything is.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
