//! The devices on which an account has been logged in to, and the failures of each.

use std::{collections::HashMap, time::Duration};

use super::{
    attempt::{DeviceTallied, LockRules, LoginHash, MAX_DEVICES},
    tally::millis,
};

/// The devices of one account.
#[derive(Clone, Debug, Default)]
pub struct Devices(HashMap<LoginHash, Device>);

#[derive(Clone, Debug)]
struct Device {
    /// Until when it is known, in milliseconds since 1970.
    end: u64,
    /// How many of its logins have failed.
    total: u64,
    /// When those failed that may still count.
    failures: Vec<u64>,
}

impl Devices {
    /// What the device's own budget says at `now`.
    pub fn attempt(&mut self, now: u64, device: &LoginHash, is_failed: bool, rules: &LockRules) -> DeviceTallied {
        let Some(known) = self.0.get_mut(device).filter(|known| now < known.end) else {
            return DeviceTallied::default();
        };
        let (window, most) = (millis(rules.window), usize::try_from(rules.max_failures.max(1)).unwrap_or(usize::MAX));
        known.failures.retain(|failed| now < failed.saturating_add(window));
        if known.failures.len() >= most {
            return DeviceTallied::default();
        }
        if !is_failed {
            return DeviceTallied { is_trusted: true, is_exhausted: false };
        }
        known.failures.push(now);
        known.total = known.total.saturating_add(1);
        let is_void = known.total >= rules.void_after();
        let is_exhausted = is_void || known.failures.len() >= most;
        if is_void {
            self.0.remove(device);
        }
        DeviceTallied { is_trusted: true, is_exhausted }
    }

    /// Takes a device in, and another out.
    pub fn issue(&mut self, now: u64, device: &LoginHash, replaced: Option<&LoginHash>, lifetime: Duration) {
        self.0.retain(|known, state| now < state.end && replaced != Some(known));
        let end = now.saturating_add(millis(lifetime));
        self.0.insert(device.clone(), Device { end, total: 0, failures: Vec::new() });
        while self.0.len() > MAX_DEVICES {
            let oldest = self.0.iter().filter(|(known, _)| *known != device).min_by_key(|(_, state)| state.end);
            let Some(oldest) = oldest.map(|(known, _)| known.clone()) else { return };
            self.0.remove(&oldest);
        }
    }

    /// When the last of them is known no more.
    pub fn end(&self) -> u64 {
        self.0.values().map(|known| known.end).max().unwrap_or_default()
    }
}
