//! Failed logins: counted by account and by address, and apart from these by device.
//!
//! A [`Tally`] is the whole of one counter, with one pure step. The memory store keeps tallies; the Redis store has the same
//! step as a script (`login_attempt.lua`), and one suite tests both.

mod attempt;
mod counters;
mod devices;
mod tally;

pub use self::{
    attempt::{
        DeviceTallied, LockRules, LoginAttempt, LoginCounter, LoginHash, MAX_DEVICE_TOKENS, MAX_DEVICES,
        PREDECESSOR_GRACE, Tallied,
    },
    counters::LoginCounters,
};
pub(super) use self::{
    devices::Devices,
    tally::{Tally, millis},
};
