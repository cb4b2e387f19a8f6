//! The Lua scripts: one per step of the store. Each file says what it takes, what it replies and why
//! it must be atomic.

use std::sync::LazyLock;

/// A script and the hash under which Redis knows it.
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) hash: String,
    /// By which connection it goes.
    pub(super) line: Line,
}

/// What has connections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The feed, and who follows it.
    Feed,
    /// What somebody waits for.
    Hot,
    /// What takes long, or has long replies.
    Bulk,
}

/// Defines each script by its files, which stand after the prelude, and the list of all.
macro_rules! scripts {
    ($($name:ident: $line:ident [$($file:literal),+];)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let code = concat!(include_str!("scripts/prelude.lua") $(, include_str!(concat!("scripts/", $file)))+);
            Script { code, hash: redis::Script::new(code).get_hash().to_owned(), line: Line::$line }
        });)+

        /// The name of each script that the store runs, and the hash that Redis knows it by.
        #[cfg(any(test, feature = "test-util"))]
        pub fn all() -> Vec<(&'static str, &'static str)> {
            vec![$((stringify!($name), $name.hash.as_str())),+]
        }

        /// The text of the script of that name; empty where there is none.
        #[cfg(any(test, feature = "test-util"))]
        pub fn code(name: &str) -> &'static str {
            match name {
                $(stringify!($name) => $name.code,)+
                _ => "",
            }
        }
    };
}

scripts! {
    BEGIN_CUT_OFF: Hot ["cut_off_prelude.lua", "begin_cut_off.lua"];
    CHECK: Hot ["check.lua"];
    CLAIM_IDEMPOTENCY: Hot ["claim_idempotency.lua"];
    CREATE: Hot ["cut_off_prelude.lua", "untold_prelude.lua", "create.lua"];
    EVICTIONS_TOLD: Hot ["evictions_told.lua"];
    DEVICE_ATTEMPT: Hot ["devices_prelude.lua", "device_attempt.lua"];
    FEED_APPEND: Feed ["feed_prelude.lua", "feed_append.lua"];
    FEED_READ: Feed ["feed_prelude.lua", "feed_read.lua"];
    FINISH_CUT_OFF: Hot ["cut_off_prelude.lua", "finish_cut_off.lua"];
    FOLLOWERS_PUBLISH: Feed ["followers_publish.lua"];
    FOLLOWERS_READ: Feed ["followers_read.lua"];
    FORGET_EVICTIONS: Feed ["forget_evictions.lua"];
    INDEX: Bulk ["index.lua"];
    ISSUER: Bulk ["issuer.lua"];
    ISSUE_DEVICE: Hot ["devices_prelude.lua", "issue_device.lua"];
    LEASE: Hot ["account.lua", "lease.lua"];
    LIST: Bulk ["list.lua"];
    NOTE_EVICTIONS: Feed ["note_evictions.lua"];
    LOGIN_ATTEMPT: Hot ["login_attempt.lua"];
    OPAQUE: Hot ["opaque.lua"];
    OVERDUE_EVICTIONS: Feed ["overdue_evictions.lua"];
    PUT_OPAQUE: Hot ["put_opaque.lua"];
    PUT_REFRESH: Hot ["put_refresh.lua"];
    PUT_TAKEOVER: Hot ["put_takeover.lua"];
    REFRESH: Hot ["refresh.lua"];
    RENEW: Hot ["renew.lua"];
    RESTORE_VERSION: Hot ["restore_version.lua"];
    REVOKE: Hot ["revoke.lua"];
    ROTATE: Hot ["rotate.lua"];
    SALT: Hot ["salt.lua"];
    SESSION: Hot ["session.lua"];
    SETTLE_IDEMPOTENCY: Hot ["settle_idempotency.lua"];
    TAKE_TAKEOVER: Hot ["take_takeover.lua"];
    TERMINATE: Hot ["terminate.lua"];
    TOUCH: Hot ["touch.lua"];
    UNTOLD: Hot ["untold_prelude.lua", "untold.lua"];
    UNLOCK: Hot ["unlock.lua"];
    UPDATE: Hot ["update.lua"];
}
