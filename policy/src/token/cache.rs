//! Tokens whose signature was found good, so that it is checked once a worker and not once a request.

use std::{collections::HashMap, fmt, rc::Rc};

use session_gate_protocol::UnixSeconds;

use super::verified::VerifiedClaims;

/// A bounded map from a token's text to its claims. Only tokens with a good signature are ever put
/// in, so that forged ones cannot fill it; the one used longest ago goes first.
///
/// The text itself is the key: two tokens never share an entry, whatever they hash to.
pub struct TokenCache {
    max_entries: usize,
    max_bytes: usize,
    bytes: usize,
    clock: u64,
    entries: HashMap<Rc<str>, Entry>,
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys are tokens.
        f.debug_struct("TokenCache").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

struct Entry {
    claims: VerifiedClaims,
    /// What it holds, its text included.
    bytes: usize,
    used: u64,
}

impl TokenCache {
    /// An empty cache of at most that many tokens, and bytes that they and their claims hold. Zero: no cache.
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { max_entries, max_bytes, bytes: 0, clock: 0, entries: HashMap::new() }
    }

    /// The text and the claims of a token that was verified before. Its time is the caller's to check.
    pub fn get(&mut self, token: &str) -> Option<(Rc<str>, VerifiedClaims)> {
        self.clock += 1;
        let text = self.entries.get_key_value(token).map(|(text, _)| Rc::clone(text))?;
        let entry = self.entries.get_mut(token)?;
        entry.used = self.clock;
        Some((text, entry.claims.clone()))
    }

    /// Keeps a token's claims, and lets go of expired and of old ones until both bounds hold.
    pub fn insert(&mut self, token: Rc<str>, claims: VerifiedClaims, now: UnixSeconds) {
        let bytes = token.len() + claims.held_bytes();
        if bytes > self.max_bytes || self.max_entries == 0 {
            return;
        }
        if self.entries.len() >= self.max_entries || self.bytes + bytes > self.max_bytes {
            self.make_room(bytes, now);
        }
        self.clock += 1;
        let entry = Entry { claims, bytes, used: self.clock };
        self.bytes += bytes;
        if let Some(before) = self.entries.insert(token, entry) {
            self.bytes -= before.bytes;
        }
    }

    /// Forgets a token: it is not to be had any more.
    pub fn remove(&mut self, token: &str) {
        if let Some(entry) = self.entries.remove(token) {
            self.bytes -= entry.bytes;
        }
    }

    /// Forgets everything: the keys have changed.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Drops what has expired and then the older half: one pass over the map for many inserts.
    fn make_room(&mut self, needed: usize, now: UnixSeconds) {
        self.entries.retain(|_, entry| entry.claims.check_time(now).is_ok());
        self.recount();
        if self.entries.len() < self.max_entries && self.bytes + needed <= self.max_bytes {
            return;
        }
        let mut uses: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
        let middle = uses.len() / 2;
        let threshold = if uses.is_empty() { 0 } else { *uses.select_nth_unstable(middle).1 };
        self.entries.retain(|_, entry| entry.used > threshold);
        self.recount();
        if self.bytes + needed > self.max_bytes {
            self.clear();
        }
    }

    fn recount(&mut self) {
        self.bytes = self.entries.values().map(|entry| entry.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use session_gate_jose::NoHostCrypto;

    use super::*;
    use crate::{
        config::Config,
        testing::{NOW, jwk, sign},
        token::{Issuers, TokenText},
    };

    fn issuers() -> Issuers {
        let issuer = json!({
            "issuer": "i", "audiences": ["a"], "jwks": {"inline": {"keys": [jwk(1, "k")]}}, "revocation": "none",
        });
        Config::from_value(json!({"issuers": [issuer]})).unwrap().issuers
    }

    fn verified(issuers: &Issuers, token: &str) -> VerifiedClaims {
        issuers.verify(token, None, &NoHostCrypto).unwrap()
    }

    fn token(claim: &str, value: Value) -> String {
        let mut claims = json!({"iss": "i", "sub": "alice", "aud": "a", "exp": NOW.0 + 60});
        claims[claim] = value;
        sign(1, &json!({"alg": "ES256", "kid": "k"}), &claims)
    }

    /// Whoever has tokens minted as they like cannot have the cache hold much more than its bound.
    #[test]
    fn what_a_token_holds_is_counted_whatever_it_says() {
        let issuers = issuers();
        let short: Vec<String> = (0..1500).map(|i| format!("{i:x}")).collect();
        for (claim, value) in [
            ("scope", json!("read")),
            ("scope", json!(short.join(" "))),
            ("aud", json!([&["a".to_owned()], &short[..]].concat())),
            ("jti", json!("x".repeat(5_000))),
            ("sid", json!("x".repeat(5_000))),
            ("sub", json!("x".repeat(250))),
            ("roles", json!(short)),
            ("roles", json!("x".repeat(5_000))),
            ("roles", json!(vec![vec![0; 9]; 200])),
        ] {
            let text = token(claim, value);
            drop(verified(&issuers, &text));
            let mut claims = None;
            let held = allocation_counter::measure(|| {
                let verified = verified(&issuers, &text);
                verified.claim(TokenText(&text), "roles");
                claims = Some(verified);
            });
            let held = usize::try_from(held.bytes_current).unwrap();
            let counted = claims.unwrap().held_bytes();
            assert!((held..=held * 4).contains(&counted), "{claim}: {counted} are counted and {held} held");
        }
    }

    #[test]
    fn bytes_are_bounded_and_the_oldest_go() {
        let issuers = issuers();
        let tokens: Vec<String> = (0..6).map(|i| token("jti", json!(format!("{i}{}", "x".repeat(2_000))))).collect();
        let one = tokens[0].len() + verified(&issuers, &tokens[0]).held_bytes();
        let mut cache = TokenCache::new(100, one * 4);
        for text in &tokens {
            cache.insert(text.as_str().into(), verified(&issuers, text), NOW);
            assert!(cache.bytes <= one * 4);
            assert_eq!(cache.bytes, cache.entries.values().map(|entry| entry.bytes).sum::<usize>());
        }
        assert!(cache.get(&tokens[0]).is_none() && cache.get(&tokens[5]).is_some());
        let mut none = TokenCache::new(100, one - 1);
        none.insert(tokens[0].as_str().into(), verified(&issuers, &tokens[0]), NOW);
        assert!(none.get(&tokens[0]).is_none(), "more than all of the room");
    }
}
