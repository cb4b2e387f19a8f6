//! The devices on which an account has been logged in to, and the failures of each.

use std::time::Duration;

use super::{
    attempt::{DeviceTallied, LockRules, LoginHash, MAX_DEVICE_TOKENS, MAX_DEVICES, PREDECESSOR_GRACE},
    tally::millis,
};

/// The devices of one account, in the order in which they became known. Moments are in milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Devices(Vec<Device>);

#[derive(Clone, Debug)]
struct Device {
    /// Until when it is known.
    end: u64,
    /// When one of its tokens was last shown; 0: never.
    shown: u64,
    /// How many of its logins have failed.
    total: u64,
    /// When those failed that may still count.
    failures: Vec<u64>,
    /// Those that it may show, in the order in which they were issued. They share its budget.
    tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
struct Token {
    hash: LoginHash,
    issued: u64,
}

impl Devices {
    /// What the budget says at `now` of the device that shows that token.
    pub fn attempt(&mut self, now: u64, token: &LoginHash, is_failed: bool, rules: &LockRules) -> DeviceTallied {
        let Some(device) = self.0.iter_mut().find(|device| now < device.end && device.knows(token)) else {
            return DeviceTallied::default();
        };
        device.show(now, token);
        let tallied = device.tally(now, is_failed, rules);
        if tallied.is_exhausted && device.total >= rules.void_after() {
            self.0.retain(|device| !device.knows(token));
        }
        tallied
    }

    /// Gives a token to the device that has shown `predecessor`; where none is known by it, to a new one. Where there are too
    /// many, the one goes that was shown the longest ago; before that, those that never were.
    pub fn issue(&mut self, now: u64, token: &LoginHash, predecessor: Option<&LoginHash>, lifetime: Duration) {
        self.0.retain(|device| now < device.end);
        let end = now.saturating_add(millis(lifetime));
        let token = Token { hash: token.clone(), issued: now };
        let is_its = |device: &&mut Device| {
            device.knows(&token.hash) || predecessor.is_some_and(|predecessor| device.knows(predecessor))
        };
        if let Some(device) = self.0.iter_mut().find(is_its) {
            device.end = end;
            device.take(token, predecessor);
            return;
        }
        while self.0.len() >= MAX_DEVICES {
            // The first of several.
            let Some((first, _)) = self.0.iter().enumerate().min_by_key(|(_, device)| device.shown) else { break };
            self.0.remove(first);
        }
        self.0.push(Device { end, shown: 0, total: 0, failures: Vec::new(), tokens: vec![token] });
    }

    /// When the last of them is known no more.
    pub fn end(&self) -> u64 {
        self.0.iter().map(|device| device.end).max().unwrap_or_default()
    }
}

impl Device {
    fn knows(&self, token: &LoginHash) -> bool {
        self.tokens.iter().any(|known| known.hash == *token)
    }

    /// Its browser has that token: it needs those before it no more, but for requests on their way.
    fn show(&mut self, now: u64, token: &LoginHash) {
        self.shown = now;
        let shown = self.tokens.iter().position(|known| known.hash == *token);
        let shown = shown.and_then(|place| self.tokens.get(place).map(|token| (place, token.issued)));
        if let Some((place, issued)) = shown
            && now >= issued.saturating_add(millis(PREDECESSOR_GRACE))
        {
            self.tokens.drain(..place);
        }
    }

    /// What its budget says, of which a failure takes.
    fn tally(&mut self, now: u64, is_failed: bool, rules: &LockRules) -> DeviceTallied {
        let (window, most) = (millis(rules.window), usize::try_from(rules.max_failures.max(1)).unwrap_or(usize::MAX));
        self.failures.retain(|failed| now < failed.saturating_add(window));
        if self.failures.len() >= most {
            return DeviceTallied::default();
        }
        if !is_failed {
            return DeviceTallied { is_trusted: true, is_exhausted: false };
        }
        self.failures.push(now);
        self.total = self.total.saturating_add(1);
        let is_exhausted = self.failures.len() >= most || self.total >= rules.void_after();
        DeviceTallied { is_trusted: true, is_exhausted }
    }

    /// Adds a token. Too many that were never shown are of logins without end that keep no cookie: the first goes, and
    /// never the one that such a login shows.
    fn take(&mut self, token: Token, predecessor: Option<&LoginHash>) {
        if self.knows(&token.hash) {
            return;
        }
        self.tokens.push(token);
        if self.tokens.len() > MAX_DEVICE_TOKENS
            && let Some(first) = self.tokens.iter().position(|known| Some(&known.hash) != predecessor)
        {
            self.tokens.remove(first);
        }
    }
}
