//! The classes of sessions: how long those live that were begun for a purpose of their own, such as to be remembered.

use std::collections::BTreeMap;

use super::{
    SessionClass,
    judge::{Judge, hours, minutes},
    raw::RawSessionClass,
};

/// Longest name of a class, in characters.
const MAX_NAME_CHARS: usize = 64;

/// The classes; what is wrong with them is noted. One that names no duration has that of sessions without a class.
pub(super) fn judged(
    raw: BTreeMap<String, RawSessionClass>,
    default_hours: u64,
    judge: &mut Judge<'_>,
) -> BTreeMap<String, SessionClass> {
    raw.into_iter()
        .map(|(name, raw)| {
            let class = self::class(&name, &raw, default_hours, judge);
            (name, class)
        })
        .collect()
}

fn class(name: &str, raw: &RawSessionClass, default_hours: u64, judge: &mut Judge<'_>) -> SessionClass {
    let path = format!("session.classes.{name}");
    if !is_name(name) {
        judge.refuse(&path, format!("is no name of a class; allowed: 1 to {MAX_NAME_CHARS} of a-z 0-9 _ -"));
    }
    let duration = judge.number(&format!("{path}.duration_hours"), raw.duration_hours, default_hours, 1..=8760);
    let idle_path = format!("{path}.idle_timeout_minutes");
    let idle = raw
        .idle_timeout_minutes
        .map(|given| judge.number(&idle_path, Some(given), 30, 1..=duration.saturating_mul(60)));
    let is_persistent = raw.persistent.unwrap_or(false);
    if !is_persistent && idle.is_none() {
        // A browser that opens yesterday's windows again has kept such a cookie all the same.
        judge.refuse(
            &idle_path,
            "is missing: a class that is not persistent needs one, or its cookies live on in browsers \
                                  that restore their windows",
        );
    }
    SessionClass { duration: hours(duration), idle_timeout: idle.map(minutes), is_persistent }
}

fn is_name(name: &str) -> bool {
    let may_be = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=MAX_NAME_CHARS).contains(&name.len()) && name.bytes().all(may_be)
}
