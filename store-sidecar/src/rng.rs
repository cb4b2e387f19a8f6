//! Where ids and request numbers get their randomness: an argument, so that tests are repeatable.

use thiserror::Error;

/// A source of random bytes that nobody can guess.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`NoRandomness`] where the source has none to give; nothing may be made of `bytes` then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// The operating system's CSPRNG.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(bytes).map_err(|_| NoRandomness)
    }
}

/// `N` random bytes.
///
/// # Errors
/// As [`Random::fill`].
pub fn random_bytes<const N: usize>(random: &dyn Random) -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    random.fill(&mut bytes)?;
    Ok(bytes)
}

/// A name that nobody can guess and nobody else makes: 32 hexadecimal digits.
///
/// # Errors
/// As [`Random::fill`].
pub fn random_id(random: &dyn Random) -> Result<String, NoRandomness> {
    Ok(format!("{:032x}", u128::from_be_bytes(random_bytes(random)?)))
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};

    use sha2::{Digest as _, Sha256};

    use super::{NoRandomness, Random};

    /// The same bytes in every run: SHA-256 of a counter.
    #[derive(Debug, Default)]
    pub(crate) struct SeededRandom(AtomicU64);

    impl SeededRandom {
        /// Leaves out `blocks` of 32 bytes.
        pub(crate) fn skip(&self, blocks: u64) {
            self.0.fetch_add(blocks, Ordering::Relaxed);
        }
    }

    impl Random for SeededRandom {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
            for chunk in bytes.chunks_mut(32) {
                let block = Sha256::digest(self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_bytes_differ_each_time() {
        let random = OsRandom;
        assert_ne!(random_bytes::<32>(&random), random_bytes::<32>(&random));
    }
}
