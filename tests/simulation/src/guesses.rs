//! Guessed passwords: failed logins of a few accounts, at many places at once, and their owners' logins between them.
//!
//! An outcome is what an application tells whoever guesses: that the password was wrong. It may have been counted at any
//! moment between the question and the answer.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use store_sidecar::{config::LockoutConfig, store::LockRules};

use crate::{
    clocks::Millis,
    numbers::UserNumber,
    rules::{self, ADDRESSES},
};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 6] = [
    ("guesses", "counted"),
    ("guesses", "locked"),
    ("guesses", "right, and locked"),
    ("guesses", "right"),
    ("guesses", "right, from a known device"),
    ("guesses", "unlocked"),
];

/// The first of these users.
pub(crate) const FIRST: UserNumber = 20_000;
/// How many of them there are.
pub(crate) const USERS: UserNumber = 4;
/// How many guesses come at once at most.
pub(crate) const AT_ONCE: u8 = 24;
/// The longest of first locks.
pub(crate) const FIRST_LOCK: Duration = Duration::from_secs(60);
/// How many logins may come between two of a device's: an account knows no more than so many devices, nor a device tokens.
pub(crate) const KNOWN_FOR: u32 = 12;

/// When a guess was asked about, and when its outcome was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) begun: Millis,
    pub(crate) answered: Millis,
}

/// What those who guess were told.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    pub(crate) outcomes: HashMap<UserNumber, Vec<Told>>,
    /// When nothing counted any more.
    pub(crate) forgotten: HashMap<UserNumber, Millis>,
    /// The token of each owner's device, and how many logins have begun since it was told.
    pub(crate) devices: HashMap<UserNumber, (String, u32)>,
}

/// The rules of a run: a few seconds each.
pub(crate) fn drawn_rules(rng: &mut fastrand::Rng) -> Option<LockRules> {
    let seconds = |rng: &mut fastrand::Rng| Duration::from_secs(rng.u64(1..8));
    let rules = LockRules { max_failures: rng.u32(1..6), window: seconds(rng), longest: seconds(rng) };
    rng.bool().then_some(rules)
}

/// What sidecars are told of them.
pub(crate) fn lockout(rules: Option<LockRules>) -> LockoutConfig {
    let known = LockoutConfig::default();
    match rules {
        Some(account) => LockoutConfig { account, address: Some(LockRules { max_failures: 50, ..account }), ..known },
        None => known,
    }
}

/// A failed login of that user's, in one of the forms of their name.
pub(crate) fn failure(user: UserNumber, variety: u32) -> Value {
    let account = match variety % 4 {
        0 => format!("USER-{user}"),
        1 => format!(" user-{user}\t"),
        _ => format!("user-{user}"),
    };
    let address = variety.is_multiple_of(3).then(|| rules::address((variety % u32::from(ADDRESSES)) as u8));
    json!({"account": account, "ip_address": address})
}

/// Whether logins of that user ask the lock.
pub(crate) fn is_guessed(user: UserNumber) -> bool {
    user.checked_sub(FIRST).is_some_and(|number| number < USERS)
}

impl Guesses {
    /// The token of the owner's device.
    pub(crate) fn device(&self, user: UserNumber) -> Option<&str> {
        self.devices.get(&user).map(|(token, _)| token.as_str())
    }

    /// All that was counted is forgotten.
    pub(crate) fn lost(&mut self, now: Millis) {
        self.outcomes.clear();
        self.devices.clear();
        (FIRST..FIRST + USERS).for_each(|user| _ = self.forgotten.insert(user, now));
    }

    pub(crate) fn note(&mut self, user: UserNumber, told: Told) {
        if self.forgotten.get(&user).is_none_or(|forgotten| *forgotten < told.begun) {
            self.outcomes.entry(user).or_default().push(told);
        }
    }

    /// Those outcomes after which there must be a lock: as many as lock, and within a window surely.
    pub(crate) fn locks(&self, user: UserNumber, rules: LockRules) -> impl Iterator<Item = (Millis, Millis)> {
        let all = self.outcomes.get(&user).map_or(&[][..], Vec::as_slice);
        all.windows(rules.max_failures as usize).filter_map(move |told| {
            let first = told.iter().map(|told| told.begun).min()?;
            let (begun, last) = (told.iter().map(|told| told.begun).max()?, told.last()?.answered);
            (last.saturating_sub(first) < millis(rules.window))
                .then(|| (last, begun + millis(rules.longest.min(FIRST_LOCK))))
        })
    }

    /// More outcomes than allowed, in so short a time that not all of them can have been counted before the next.
    pub(crate) fn surplus(&self, user: UserNumber, rules: LockRules) -> Option<(usize, Millis)> {
        let all = self.outcomes.get(&user)?;
        let bound = millis(rules.window.min(rules.longest.min(FIRST_LOCK)));
        all.iter().find_map(|first| {
            let is_close = |told: &&Told| told.begun >= first.begun && told.answered < first.begun + bound;
            let number = all.iter().filter(is_close).count();
            (number > rules.max_failures as usize).then_some((number, bound))
        })
    }
}

pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
