//! The counters of global rate limits: what of each was used, and who has taken what of it ahead.
//!
//! An [`Account`] is the whole of one counter, with one pure step. The memory store keeps accounts; the
//! Redis store has the same step as a script (`account.lua`), and a test that both answer alike.

mod account;
mod count;
mod leased;
mod parts;
#[cfg(test)]
pub(super) mod tests;

pub use self::leased::Leased;
pub(crate) use self::parts::{PARTS, Parts, SMALLEST_PART};
pub(super) use self::{account::Account, count::is_alike};
