//! The names of all keys: `sg1:{<tag>}:<kind>:<name>`.
//!
//! The tag, made from the user id, decides the Cluster slot (Redis hashes what stands between the
//! first `{` and the next `}`), so all keys of one user share a slot and one script may use them
//! together. It is base64url, as is everything after it: user ids and token ids may contain braces
//! and colons, so they never stand in a key as they are. `1` is the version of this layout; a change
//! of it leaves all older keys alone.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_gate_protocol::{CounterId, SessionId, SlotTag, TokenId, UserId};
use sha2::{Digest as _, Sha256};

/// The key of a session.
pub(super) fn session(id: &SessionId) -> String {
    format!("sg1:{{{}}}:sess:{id}", id.tag())
}

/// The key of a user's index of sessions.
pub(super) fn index(user: &UserId) -> String {
    format!("sg1:{{{}}}:user:{}", SlotTag::of_user(user), index_name(user))
}

/// The key of what is known of the generations of sessions, of all users with that tag.
pub(super) fn cut_offs(tag: &SlotTag) -> String {
    format!("sg1:{{{tag}}}:cutoffs")
}

/// The last part of the key of a user's index. The whole hash: two users may share a tag.
pub(super) fn index_name(user: &UserId) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(user.as_str()))
}

/// The key of a token's entry in the blacklist. The user is part of it: users who share a tag may
/// own tokens with the same id, from different issuers.
pub(super) fn revoked(user: &UserId, token: &TokenId) -> String {
    // No id contains a line feed, so no two pairs give the same text.
    let name = Sha256::digest(format!("{user}\n{token}"));
    format!("sg1:{{{}}}:revoked:{}", SlotTag::of_user(user), URL_SAFE_NO_PAD.encode(name))
}

/// The key of an opaque token of a user with that tag.
pub(super) fn opaque(tag: &SlotTag, hash: &str) -> String {
    format!("sg1:{{{tag}}}:opaque:{hash}")
}

/// The keys of the change feed, which belong to no user: one slot for all. No tag of a user has as few
/// characters.
pub(super) const FEED_EPOCH: &str = "sg1:{feed}:epoch";
pub(super) const FEED_FOLLOWERS: &str = "sg1:{feed}:workers";
pub(super) const FEED_LOG: &str = "sg1:{feed}:log";
pub(super) const FEED_RULES: &str = "sg1:{feed}:rules";
pub(super) const FEED_STANDING: &str = "sg1:{feed}:standing";

/// What decides which part a counter of a rate limit is of.
pub(super) const LIMIT_SALT: &str = "sg1:{limit}:salt";

/// The keys of a counter of a rate limit: its own, and those of the index of its part, which has a slot of its
/// own. No tag of a user has so many characters, nor a dot.
pub(super) fn counter(part: u16, counter: &CounterId) -> [String; 3] {
    let index = |name| format!("sg1:{{limit.{part:03x}}}:{name}");
    [account(part, counter), index("idle"), index("ends")]
}

/// The key of a counter alone.
pub(super) fn account(part: u16, counter: &CounterId) -> String {
    format!("sg1:{{limit.{part:03x}}}:counter:{counter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        text.parse().unwrap()
    }

    /// Golden: a change here makes every stored session and revocation unknown.
    #[test]
    fn keys_have_the_form_that_is_stored() {
        let alice = user("alice");
        let id = SessionId::new(&alice, &[7; 32]);
        let token: TokenId = "token-1".parse().unwrap();
        assert_eq!(session(&id), "sg1:{K9gGyX}:sess:K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
        assert_eq!(index(&alice), "sg1:{K9gGyX}:user:K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA");
        let opaque_token = opaque(&SlotTag::of_user(&alice), "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        assert_eq!(opaque_token, "sg1:{K9gGyX}:opaque:n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        assert_eq!(revoked(&alice, &token), "sg1:{K9gGyX}:revoked:lzjWYdlzySwZii1DPWl6U5yhBc5kIk5D0E3QJvkBmLA");
    }

    #[test]
    fn no_text_leaves_its_slot_or_meets_another_key() {
        let long = "{".repeat(256);
        let users = ["alice", "{alice}", "}alice{", "a:sess:b", "}{x}", "ü{}", "\"", &long].map(user);
        let tokens = ["t", "{t}", "}:t{", ":", "t\\n"].map(|text| text.parse::<TokenId>().unwrap());
        let mut seen = std::collections::HashSet::new();
        for user in &users {
            let start = format!("sg1:{{{}}}:", SlotTag::of_user(user));
            let keys = tokens.iter().map(|token| revoked(user, token)).chain([index(user)]);
            for key in keys {
                assert!(key.starts_with(&start), "{key}");
                assert_eq!(key.matches(['{', '}']).count(), 2, "{key}");
                assert!(seen.insert(key));
            }
        }
    }

    #[test]
    fn what_is_user_and_what_is_token_cannot_be_confused() {
        let split = |user_id, token: &str| revoked(&user(user_id), &token.parse().unwrap());
        let name = |key: String| key.rsplit(':').next().unwrap().to_owned();
        assert_ne!(name(split("a", "bc")), name(split("ab", "c")));
    }
}
