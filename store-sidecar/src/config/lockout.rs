//! How failed logins are counted.

use std::time::Duration;

use super::{
    judge::{Judge, minutes},
    raw::RawSecurity,
};
use crate::store::LockRules;

/// How failed logins are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutConfig {
    /// Those of one account.
    pub account: LockRules,
    /// Those from one address; none: they are not counted.
    pub address: Option<LockRules>,
    /// Whether names that differ in case, in their form in Unicode or in spaces around them are one account's.
    pub folds_names: bool,
}

impl Default for LockoutConfig {
    fn default() -> Self {
        let account = LockRules { max_failures: 5, window: minutes(15), longest: minutes(30) };
        Self { account, address: Some(LockRules { max_failures: 50, ..account }), folds_names: true }
    }
}

/// How they are, with the number of failures and the longest lock that are published.
pub(super) fn judged(raw: &RawSecurity, max_failures: u64, longest: Duration, judge: &mut Judge<'_>) -> LockoutConfig {
    let window = "security.login_failure_window_minutes";
    let window = judge.number(window, raw.login_failure_window_minutes, 15, 1..=1440);
    // Each of them is kept with its moment.
    let address = "security.max_login_failures_per_address";
    let address = judge.number(address, raw.max_login_failures_per_address, 50, 0..=1000);
    let rules = |most| {
        let max_failures = u32::try_from(most).unwrap_or(u32::MAX);
        LockRules { max_failures, window: minutes(window), longest }
    };
    LockoutConfig {
        account: rules(max_failures),
        address: (address > 0).then(|| rules(address)),
        folds_names: raw.fold_account_names.unwrap_or(true),
    }
}
