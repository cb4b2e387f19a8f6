//! Where settings come from: the file, the environment, flags. Lays them over each other and
//! remembers which name the user wrote for each.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use serde_json::{Map, Number, Value};
use session_gate_protocol::collect;

use super::{
    problem::{Problem, Problems},
    raw::RawConfig,
    settings::{self, Kind, Setting, by_path},
};
use crate::lockout_command::CREDENTIAL_VARIABLE;

/// What the user wrote, as read: nothing judged.
#[derive(Clone, Default)]
pub struct Sources {
    /// Flags, by [`Setting::flag`].
    pub flags: BTreeMap<&'static str, String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The file.
    pub file: Option<SourceFile>,
}

/// A configuration file.
#[derive(Clone)]
pub struct SourceFile {
    /// Its name, as the user gave it.
    pub name: String,
    /// Its text: YAML, or the JSON that YAML includes.
    pub text: String,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets, names are not.
        let Self { flags, env, file } = self;
        f.debug_struct("Sources")
            .field("flags", &flags.keys().collect::<Vec<_>>())
            .field("env", &env.keys().collect::<Vec<_>>())
            .field("file", file)
            .finish()
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, text: _ } = self;
        f.debug_struct("SourceFile").field("name", name).finish_non_exhaustive()
    }
}

/// For each setting that is given, the name that the user wrote.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    names: BTreeMap<&'static str, String>,
    file: Option<String>,
}

impl Origins {
    /// The name of a setting as the user wrote it; of one that is not given, its environment variable. What is within a
    /// setting has that one's name before its own.
    pub(super) fn name_of(&self, path: &str) -> String {
        let known = || self.names.get(path).cloned().or_else(|| by_path(path).map(|setting| setting.env.to_owned()));
        let within = || self.names.iter().find_map(|(setting, name)| Some((name, path.strip_prefix(setting)?)));
        let within = || within().filter(|(_, rest)| rest.starts_with('.')).map(|(name, rest)| format!("{name}{rest}"));
        known().or_else(within).unwrap_or_else(|| path.to_owned())
    }

    fn in_file(&self, path: &str) -> String {
        let file = self.file.as_deref().unwrap_or("file");
        if path.is_empty() { file.to_owned() } else { format!("{file}: {path}") }
    }
}

/// How strong the word of a source is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    File,
    Environment,
    Flag,
}

/// Lays flags over the environment over the file. A secret from a stronger source also replaces the file
/// that a weaker one names for it, and the other way round.
pub(super) fn merge(sources: &Sources, problems: &mut Problems) -> (RawConfig, Origins) {
    let mut origins = Origins { file: sources.file.as_ref().map(|file| file.name.clone()), ..Origins::default() };
    let mut value = sources.file.as_ref().map_or_else(Value::default, |file| read_file(file, problems));
    if value.is_null() {
        value = empty_section();
    }
    // The file alone first, so that its mistakes show even where something else overrides it.
    let (_, misfits) = collect::<RawConfig>(&mut value);
    for misfit in misfits {
        problems.add(Problem::new(origins.in_file(&misfit.path), misfit.message));
    }
    if !value.is_object() {
        value = empty_section();
    }
    let mut strengths: BTreeMap<&str, Strength> = BTreeMap::new();
    for setting in settings::all() {
        if lookup(&value, setting.path).is_some_and(|value| !value.is_null()) {
            origins.names.insert(setting.path, origins.in_file(setting.path));
            strengths.insert(setting.path, Strength::File);
        }
        // Charts and Compose files make a variable of whatever is not set: an empty one is none.
        let env = sources.env.get(setting.env).filter(|text| !text.is_empty());
        let env = env.map(|text| (setting.env.to_owned(), text, Strength::Environment));
        let flag = sources.flags.get(setting.flag);
        let flag = flag.map(|text| (format!("--{}", setting.flag), text, Strength::Flag));
        for (name, text, strength) in [env, flag].into_iter().flatten() {
            match parse(text, setting.kind) {
                Ok(parsed) => {
                    set(&mut value, setting.path, parsed);
                    strengths.insert(setting.path, strength);
                    origins.names.insert(setting.path, name);
                }
                Err(message) => problems.add(Problem::new(name, message)),
            }
        }
    }
    for path in overridden(&strengths) {
        set(&mut value, path, Value::Null);
        origins.names.remove(path);
    }
    for name in sources.env.keys().filter(|name| is_unknown(name)) {
        problems.add(Problem::new(name.clone(), "is no setting".to_owned()));
    }
    // What did not fit has been removed, and the rest has the kinds of the table.
    let (raw, misfits) = collect::<RawConfig>(&mut value);
    for misfit in misfits {
        problems.add(Problem::new(origins.name_of(&misfit.path), misfit.message));
    }
    (raw.unwrap_or_default(), origins)
}

/// Of each secret and the file that may hold it instead, the one from a weaker source.
fn overridden<'a>(strengths: &BTreeMap<&'a str, Strength>) -> Vec<&'a str> {
    let weaker = |(file, of_file): (&&'a str, &Strength)| {
        let (secret, of_secret) = strengths.get_key_value(file.strip_suffix("_file")?)?;
        match of_secret.cmp(of_file) {
            Ordering::Less => Some(*secret),
            Ordering::Equal => None,
            Ordering::Greater => Some(*file),
        }
    };
    strengths.iter().filter_map(weaker).collect()
}

fn empty_section() -> Value {
    Value::Object(Map::new())
}

fn read_file(file: &SourceFile, problems: &mut Problems) -> Value {
    // The parser refuses a member that is written twice.
    serde_saphyr::from_str::<Value>(&file.text).unwrap_or_else(|error| {
        let place =
            error.location().map_or_else(String::new, |at| format!(" at line {}, column {}", at.line(), at.column()));
        // Not the parser's own text, which quotes the file, secrets and all.
        let message = format!("is not YAML, or names a field twice{place}");
        problems.add(Problem::new(file.name.clone(), message));
        Value::Null
    })
}

fn parse(text: &str, kind: Kind) -> Result<Value, String> {
    if text.is_empty() {
        return Err("is empty; leave it out, or give it a value".to_owned());
    }
    let list = || {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
    };
    match kind {
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Value::Bool(true)),
            "false" | "no" | "off" | "0" => Ok(Value::Bool(false)),
            _ => Err(format!("is {text:?}; allowed: true or false")),
        },
        Kind::Integer => text
            .parse::<u64>()
            .map(|number| Value::Number(Number::from(number)))
            .map_err(|_| format!("is {text:?}; allowed: a whole number, 0 or more")),
        Kind::List | Kind::SecretList => Ok(list()),
        Kind::Section => match serde_saphyr::from_str::<Value>(text) {
            Ok(section @ Value::Object(_)) => Ok(section),
            Ok(_) => Err("is no section; allowed: a JSON object".to_owned()),
            Err(_) => Err("is not JSON, or names a field twice; allowed: a JSON object".to_owned()),
        },
        Kind::Secret | Kind::Text => Ok(Value::String(text.to_owned())),
    }
}

/// Whether a variable has our prefix but is no setting, nor what `lockout` reads: a typing mistake. Kubernetes makes variables
/// of the same prefix for a Service of the name `session-gate…`; those are none of the user's.
fn is_unknown(name: &str) -> bool {
    let made_by_kubernetes = |rest: &str| {
        rest.ends_with("SERVICE_HOST")
            || rest.contains("SERVICE_PORT")
            || rest.ends_with("PORT")
            || rest.contains("PORT_")
    };
    name.strip_prefix("SESSION_GATE_").is_some_and(|rest| !made_by_kubernetes(rest))
        && !settings::all().any(|setting: &Setting| setting.env == name)
        && name != CREDENTIAL_VARIABLE
}

fn lookup<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

fn set(value: &mut Value, path: &str, to: Value) {
    let Some((section, field)) = path.split_once('.') else { return };
    let Value::Object(sections) = value else { return };
    let section = sections.entry(section).or_insert(Value::Null);
    if !section.is_object() {
        *section = empty_section();
    }
    if let Value::Object(fields) = section {
        fields.insert(field.to_owned(), to);
    }
}
