//! The names of all keys: `<prefix>sg1:{<tag>}:<kind>:<name>`.
//!
//! The tag, made from the user id, decides the Cluster slot (Redis hashes what stands between the
//! first `{` and the next `}`), so all keys of one user share a slot and one script may use them
//! together. It is base64url, as is everything after it: user ids and token ids may contain braces
//! and colons, so they never stand in a key as they are. `1` is the version of this layout; a change
//! of it leaves all older keys alone. The prefix is the operator's, so that several services can share a Redis.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_gate_protocol::{CounterId, SessionId, SlotTag, TokenId, UserId};
use sha2::{Digest as _, Sha256};

use crate::store::{IdempotencyHash, LoginCounter, LoginHash};

/// The names, for one prefix.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    /// The epoch of the feed, its log, the places of the rules that stand, and these. As the others of `{feed}`, they belong
    /// to no user: one slot for all. No tag of a user has as few characters.
    pub(super) feed: [String; 4],
    /// The records of followers.
    pub(super) followers: String,
    /// By which operations sessions of whom are about to end, and since when.
    pub(super) evictions: String,
    /// The issuer whose sessions these are.
    pub(super) issuer: String,
    /// What decides which part a counter of a rate limit is of.
    pub(super) salt: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let feed = |name: &str| format!("{prefix}sg1:{{feed}}:{name}");
        Self {
            prefix: prefix.to_owned(),
            feed: ["epoch", "log", "rules", "standing"].map(feed),
            followers: feed("workers"),
            evictions: feed("evictions"),
            issuer: feed("issuer"),
            salt: format!("{prefix}sg1:{{limit}}:salt"),
        }
    }

    /// The key of a session.
    pub(super) fn session(&self, id: &SessionId) -> String {
        self.of_user(&id.tag(), "sess", id.as_str())
    }

    /// The key of a user's index of sessions.
    pub(super) fn index(&self, user: &UserId) -> String {
        self.of_user(&SlotTag::of_user(user), "user", &index_name(user))
    }

    /// The key of a token's entry in the blacklist. The user is part of it: users who share a tag may
    /// own tokens with the same id, from different issuers.
    pub(super) fn revoked(&self, user: &UserId, token: &TokenId) -> String {
        // No id contains a line feed, so no two pairs give the same text.
        let name = Sha256::digest(format!("{user}\n{token}"));
        self.of_user(&SlotTag::of_user(user), "revoked", &URL_SAFE_NO_PAD.encode(name))
    }

    /// The key of an opaque token of a user with that tag.
    pub(super) fn opaque(&self, tag: &SlotTag, hash: &str) -> String {
        self.of_user(tag, "opaque", hash)
    }

    /// The key of what is known of the generations of sessions, of all users with that tag.
    pub(super) fn cut_offs(&self, tag: &SlotTag) -> String {
        format!("{}sg1:{{{tag}}}:cutoffs", self.prefix)
    }

    /// The keys of a counter of a rate limit: its own, and those of the index of its part, which has a slot of its
    /// own. No tag of a user has so many characters, nor a dot.
    pub(super) fn counter(&self, part: u16, counter: &CounterId) -> [String; 3] {
        let index = |name| format!("{}sg1:{{limit.{part:03x}}}:{name}", self.prefix);
        [self.account(part, counter), index("idle"), index("ends")]
    }

    /// The key of a counter alone.
    pub(super) fn account(&self, part: u16, counter: &CounterId) -> String {
        format!("{}sg1:{{limit.{part:03x}}}:counter:{counter}", self.prefix)
    }

    /// The key of the sessions that logins of a user have ended, and that nobody may have been told of.
    pub(super) fn untold(&self, user: &UserId) -> String {
        self.of_user(&SlotTag::of_user(user), "untold", &index_name(user))
    }

    /// The key of a login of a user that was refused for want of room.
    pub(super) fn takeover(&self, user: &UserId, hash: &str) -> String {
        self.of_user(&SlotTag::of_user(user), "takeover", hash)
    }

    /// The key of a counter of failed logins. Each has a slot of its own; no tag of a user has a dot.
    pub(super) fn login_counter(&self, counter: &LoginCounter) -> String {
        match counter {
            LoginCounter::Account(hash) => self.of_login(hash, "failures"),
            LoginCounter::Address(hash) => format!("{}sg1:{{address.{}}}:failures", self.prefix, hash.as_str()),
        }
    }

    /// The key of the devices that an account knows, in the slot of its counter.
    pub(super) fn login_devices(&self, account: &LoginHash) -> String {
        self.of_login(account, "devices")
    }

    /// The key of what is kept of a request with an `Idempotency-Key`. Each has a slot of its own.
    pub(super) fn idempotency(&self, hash: &IdempotencyHash) -> String {
        format!("{}sg1:{{once.{}}}:answer", self.prefix, hash.as_str())
    }

    fn of_login(&self, account: &LoginHash, kind: &str) -> String {
        format!("{}sg1:{{login.{}}}:{kind}", self.prefix, account.as_str())
    }

    fn of_user(&self, tag: &SlotTag, kind: &str, name: &str) -> String {
        format!("{}sg1:{{{tag}}}:{kind}:{name}", self.prefix)
    }
}

/// The last part of the key of a user's index. The whole hash: two users may share a tag.
pub(super) fn index_name(user: &UserId) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(user.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new("")
    }

    fn user(text: &str) -> UserId {
        text.parse().unwrap()
    }

    /// Golden: a change here makes every stored session and revocation unknown.
    #[test]
    fn keys_have_the_form_that_is_stored() {
        let alice = user("alice");
        let id = SessionId::new(&alice, &[7; 32]);
        let token: TokenId = "token-1".parse().unwrap();
        assert_eq!(keys().session(&id), "sg1:{K9gGyX}:sess:K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
        assert_eq!(keys().index(&alice), "sg1:{K9gGyX}:user:K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA");
        let opaque_token = keys().opaque(&SlotTag::of_user(&alice), "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        assert_eq!(opaque_token, "sg1:{K9gGyX}:opaque:n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        let account = LoginHash::of("alice");
        assert_eq!(
            keys().login_counter(&LoginCounter::Account(account.clone())),
            "sg1:{login.K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA}:failures"
        );
        assert_eq!(
            keys().login_counter(&LoginCounter::Address(account.clone())),
            "sg1:{address.K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA}:failures"
        );
        let devices = "sg1:{login.K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA}:devices";
        assert_eq!(keys().login_devices(&account), devices);
        let once = "sg1:{once.0000000000000000000000000000000000000000007}:answer";
        assert_eq!(keys().idempotency(&IdempotencyHash::numbered(7)), once);
        assert_eq!(keys().revoked(&alice, &token), "sg1:{K9gGyX}:revoked:lzjWYdlzySwZii1DPWl6U5yhBc5kIk5D0E3QJvkBmLA");
    }

    #[test]
    fn a_prefix_stands_before_each_and_changes_no_slot() {
        let (alice, counter) = (user("alice"), "AbCdEfGhIjKlMnOp".parse().unwrap());
        let all = |keys: &Keys| {
            let mut all = vec![keys.session(&SessionId::new(&alice, &[7; 32])), keys.index(&alice)];
            let tag = SlotTag::of_user(&alice);
            all.extend([keys.revoked(&alice, &"t".parse().unwrap()), keys.opaque(&tag, "hash"), keys.cut_offs(&tag)]);
            all.extend([keys.untold(&alice), keys.takeover(&alice, "hash"), keys.evictions.clone()]);
            all.extend(keys.counter(7, &counter));
            all.push(keys.idempotency(&IdempotencyHash::numbered(7)));
            all.extend([
                keys.login_devices(&LoginHash::of("a")),
                keys.login_counter(&LoginCounter::Address(LoginHash::of("a"))),
            ]);
            all.extend(keys.feed.clone());
            all.extend([&keys.followers, &keys.issuer, &keys.salt].map(String::clone));
            all
        };
        let (plain, staging) = (all(&keys()), all(&Keys::new("staging:")));
        assert_eq!(plain.iter().map(|key| format!("staging:{key}")).collect::<Vec<_>>(), staging);
    }

    #[test]
    fn no_text_leaves_its_slot_or_meets_another_key() {
        let long = "{".repeat(256);
        let users = ["alice", "{alice}", "}alice{", "a:sess:b", "}{x}", "ü{}", "\"", &long].map(user);
        let tokens = ["t", "{t}", "}:t{", ":", "t\\n"].map(|text| text.parse::<TokenId>().unwrap());
        let mut seen = std::collections::HashSet::new();
        for user in &users {
            let start = format!("sg1:{{{}}}:", SlotTag::of_user(user));
            let keys = tokens.iter().map(|token| keys().revoked(user, token)).chain([keys().index(user)]);
            for key in keys {
                assert!(key.starts_with(&start), "{key}");
                assert_eq!(key.matches(['{', '}']).count(), 2, "{key}");
                assert!(seen.insert(key));
            }
        }
    }

    #[test]
    fn what_is_user_and_what_is_token_cannot_be_confused() {
        let split = |user_id, token: &str| keys().revoked(&user(user_id), &token.parse().unwrap());
        let name = |key: String| key.rsplit(':').next().unwrap().to_owned();
        assert_ne!(name(split("a", "bc")), name(split("ab", "c")));
    }
}
