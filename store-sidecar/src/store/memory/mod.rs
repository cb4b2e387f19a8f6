//! The embedded store: everything in this process, gone when it ends. For one replica only.

mod admission;
mod counters;
mod cut_off;
mod evictions;
mod idempotency;
mod lockout;
mod log;
mod logins;
mod refresh;
mod renewal;
mod state;
mod steps;
mod tables;
#[cfg(test)]
mod tests;

pub use self::tables::MemoryStore;
