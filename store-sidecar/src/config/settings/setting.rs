//! What a setting is.

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its place in the file: `section.field`.
    pub path: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// Its flag, without the leading dashes.
    pub flag: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The default, as the documentation shows it.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number, 0 or more.
    Integer,
    /// Several texts: a list in the file, with commas between in the environment and flags.
    List,
    /// Several settings by their names: a section in the file, JSON in the environment and flags.
    Section,
    /// A credential: never shown.
    Secret,
    /// Several credentials.
    SecretList,
    /// Any text.
    Text,
}

impl Kind {
    /// The kind in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer => "a whole number",
            Self::List => "a list",
            Self::Section => "JSON",
            Self::Secret => "a secret",
            Self::SecretList => "a list of secrets",
            Self::Text => "text",
        }
    }
}

pub(super) const fn setting(
    path: &'static str,
    env: &'static str,
    flag: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { path, env, flag, kind, default, help }
}
