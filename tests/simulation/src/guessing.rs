//! Guesses, owners' logins and lifted locks: sent, and held against what was told.

use serde_json::Value;
use session_gate_protocol::LoginReply;
use store_sidecar::store::LoginHash;

use crate::{
    clients::{ClientCall, Kind},
    clocks::Millis,
    guesses::{AT_ONCE, FIRST, KNOWN_FOR, Told, USERS, is_guessed},
    numbers::UserNumber,
    promise::{Promise, Violation},
    refusal::Refusal,
    sidecar::Answer,
    world::World,
};

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
