//! What is known of tokens and sessions, for how long it is to be believed, and what follows for a request.

#[cfg(test)]
mod background_tests;
mod changes;
mod check_cache;
pub mod follower;
pub mod identity;
#[cfg(test)]
mod kind_tests;
pub mod standing;
#[cfg(test)]
mod standing_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod unheard_tests;

pub use self::{
    changes::Changes,
    follower::{Follower, Said},
    identity::{Identity, ServedSession},
    standing::{Evidence, Served, Standing, standing},
};
