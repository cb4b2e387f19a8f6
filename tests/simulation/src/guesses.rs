//! Guessed passwords: failed logins of a few accounts, at many places at once, and their owners' logins between them.
//!
//! An outcome is what an application tells whoever guesses: that the password was wrong. It may have been counted at any
//! moment between the question and the answer.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use session_gate_protocol::LoginReply;
use store_sidecar::{
    config::LockoutConfig,
    store::{LockRules, LoginHash},
};

use crate::{
    clients::{ClientCall, Kind},
    clocks::Millis,
    numbers::UserNumber,
    promise::{Promise, Violation},
    refusal::Refusal,
    rules::{self, ADDRESSES},
    sidecar::Answer,
    world::World,
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
const FIRST: UserNumber = 20_000;
/// How many of them there are.
const USERS: UserNumber = 4;
/// How many guesses come at once at most.
const AT_ONCE: u8 = 24;
/// The longest of first locks.
const FIRST_LOCK: Duration = Duration::from_secs(60);
/// How many logins may come between two of a device's: an account knows no more than so many devices, nor a device tokens.
const KNOWN_FOR: u32 = 12;

/// When a guess was asked about, and when its outcome was told.
#[derive(Clone, Copy, Debug)]
struct Told {
    begun: Millis,
    answered: Millis,
}

/// What those who guess were told.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    outcomes: HashMap<UserNumber, Vec<Told>>,
    /// When nothing counted any more.
    forgotten: HashMap<UserNumber, Millis>,
    /// The token of each owner's device, and how many logins have begun since it was told.
    devices: HashMap<UserNumber, (String, u32)>,
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

    fn note(&mut self, user: UserNumber, told: Told) {
        if self.forgotten.get(&user).is_none_or(|forgotten| *forgotten < told.begun) {
            self.outcomes.entry(user).or_default().push(told);
        }
    }

    /// Those outcomes after which there must be a lock: as many as lock, and within a window surely.
    fn locks(&self, user: UserNumber, rules: LockRules) -> impl Iterator<Item = (Millis, Millis)> {
        let all = self.outcomes.get(&user).map_or(&[][..], Vec::as_slice);
        all.windows(rules.max_failures as usize).filter_map(move |told| {
            let first = told.iter().map(|told| told.begun).min()?;
            let (begun, last) = (told.iter().map(|told| told.begun).max()?, told.last()?.answered);
            (last.saturating_sub(first) < millis(rules.window))
                .then(|| (last, begun + millis(rules.longest.min(FIRST_LOCK))))
        })
    }

    /// More outcomes than allowed, in so short a time that not all of them can have been counted before the next.
    fn surplus(&self, user: UserNumber, rules: LockRules) -> Option<(usize, Millis)> {
        let all = self.outcomes.get(&user)?;
        let bound = millis(rules.window.min(rules.longest.min(FIRST_LOCK)));
        all.iter().find_map(|first| {
            let is_close = |told: &&Told| told.begun >= first.begun && told.answered < first.begun + bound;
            let number = all.iter().filter(is_close).count();
            (number > rules.max_failures as usize).then_some((number, bound))
        })
    }
}

fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl World {
    /// Somebody guesses, once or many times at once; or the owner logs in; or the lock is lifted. Operations.
    pub(crate) fn guess(&mut self) {
        let user = FIRST + self.rng.u32(0..USERS);
        match self.rng.u8(0..12) {
            0 => self.client_calls(Kind::Unlock, user, None, None, None),
            1..4 => self.client_calls(Kind::Login, user, None, None, None),
            4..6 => self.client_calls(Kind::LoginByDevice, user, None, None, None),
            6..8 => self.client_calls(Kind::Guess, user, None, None, None),
            _ => {
                for _ in 0..self.rng.u8(2..=AT_ONCE) {
                    self.client_calls(Kind::Guess, user, None, None, None);
                }
            }
        }
    }

    /// A guess was answered.
    pub(crate) fn on_guessed(&mut self, call: &ClientCall, answer: &Answer, begun: Millis) {
        let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let is_counted = said.get("counted").and_then(Value::as_bool) == Some(true);
        self.counts.one("guesses", if is_counted { "counted" } else { "locked" });
        let Some(rules) = self.parameters.guesses.filter(|_| is_counted) else { return };
        self.ledgers.guesses.note(call.user, Told { begun, answered: self.now });
        if let Some((number, bound)) = self.ledgers.guesses.surplus(call.user, rules) {
            self.judge_guesses(format!("{number} outcomes of user {} within {bound} ms, by {rules:?}", call.user));
        }
    }

    /// A login of a user whose password is guessed was answered: none while the account is surely locked, but for one from a
    /// device that it knows.
    pub(crate) fn on_owner(&mut self, call: &ClientCall, answer: &Answer, refusal: Refusal) {
        let Some(rules) = self.parameters.guesses.filter(|_| is_guessed(call.user)) else { return };
        let is_in = answer.status == 201;
        let is_known = call.kind == Kind::LoginByDevice;
        let mut locks = self.ledgers.guesses.locks(call.user, rules);
        let lock = locks.find(|(from, until)| refusal.begun > *from && refusal.acked < *until);
        drop(locks);
        let shown = match (is_in, answer.status == 429) {
            (true, _) if is_known => "right, from a known device",
            (true, _) => "right",
            (_, true) => "right, and locked",
            (false, false) => return,
        };
        self.counts.one("guesses", shown);
        if let Some((from, until)) = lock.filter(|_| is_in && !is_known) {
            let text = format!("user {} logs in, and is locked from {from} to {until}, by {rules:?}", call.user);
            self.judge_guesses(text);
        }
        let is_sure = self.ledgers.guesses.devices.get(&call.user).is_some_and(|(_, logins)| *logins < KNOWN_FOR);
        if !is_in && is_known && is_sure {
            self.judge_guesses(format!("user {} is locked out on a device that is known", call.user));
        }
        let device = serde_json::from_slice::<LoginReply>(&answer.body).ok().and_then(|reply| reply.device);
        let known = self.ledgers.guesses.devices.get(&call.user).map_or(0, |(_, logins)| *logins);
        match device {
            Some(device) => _ = self.ledgers.guesses.devices.insert(call.user, (device.token, 0)),
            None => self.note_login(call.user, known),
        }
    }

    fn note_login(&mut self, user: UserNumber, known: u32) {
        if let Some((_, logins)) = self.ledgers.guesses.devices.get_mut(&user) {
            *logins = known + 1;
        }
    }

    /// The store has forgotten what was counted of that account.
    pub(crate) fn note_forgotten(&mut self, account: &LoginHash) {
        let user = (FIRST..FIRST + USERS).find(|user| LoginHash::of(&format!("user-{user}")) == *account);
        if let Some(user) = user {
            self.counts.one("guesses", "unlocked");
            self.ledgers.guesses.outcomes.remove(&user);
            self.ledgers.guesses.forgotten.insert(user, self.now);
        }
    }

    fn judge_guesses(&mut self, text: String) {
        self.judge(Err(Violation { promise: Promise::Guesses, text, session: None, key: None, worker: 0 }));
    }
}
