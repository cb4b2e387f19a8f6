//! A message's headers as Envoy hands them over: names in lower case, values as bytes.

use std::fmt;

/// The headers of one message, pseudo-headers (`:path`) among them, in their order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Takes a host's header map.
    pub fn new(entries: Vec<(String, Vec<u8>)>) -> Self {
        Self(entries)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Every value of `name`, which must be in lower case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(entry, _)| *entry == name).map(|(_, value)| value)
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(entry, _)| *entry == name).map(|(_, value)| value)
    }

    /// The first value of `name`, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether there is a header `name`.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Values may be credentials.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl<N: Into<String>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Whether two header names become the same variable in servers that hand headers on as CGI variables
/// (WSGI, PHP): whatever differs only in what is neither letter nor digit is the same name.
pub fn collide_as_cgi_variables(one: &str, other: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    one.len() == other.len() && one.bytes().map(fold).eq(other.bytes().map(fold))
}

/// One change to a message's headers. Changes are applied in their order.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderChange {
    /// The header is there once more, with this value: whatever others there are stay.
    Add(String, Vec<u8>),
    /// Every header of that name goes.
    Remove(String),
    /// The header has this value and no other.
    Set(String, Vec<u8>),
}

impl fmt::Debug for HeaderChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(name, _) => write!(f, "Add({name}, …)"),
            Self::Remove(name) => write!(f, "Remove({name})"),
            Self::Set(name, _) => write!(f, "Set({name}, …)"),
        }
    }
}

impl HeaderChange {
    /// The header is there once more, with this value.
    pub fn add(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Add(name.into(), value.into())
    }

    /// The name and the value of a header that has no other.
    pub fn as_set(&self) -> Option<(&str, &[u8])> {
        match self {
            Self::Set(name, value) => Some((name, value)),
            Self::Add(..) | Self::Remove(_) => None,
        }
    }

    /// The header has this value and no other.
    pub fn set(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Set(name.into(), value.into())
    }
}
