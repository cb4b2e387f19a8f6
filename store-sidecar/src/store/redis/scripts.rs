//! The Lua scripts: one per step of the store. Each file says what it takes, what it replies and why
//! it must be atomic.

use std::sync::LazyLock;

/// A script and the hash under which Redis knows it.
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) hash: String,
}

/// Defines each script by its files, which stand after the prelude, and the list of all.
macro_rules! scripts {
    ($($name:ident: [$($file:literal),+];)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let code = concat!(include_str!("scripts/prelude.lua") $(, include_str!(concat!("scripts/", $file)))+);
            Script { code, hash: redis::Script::new(code).get_hash().to_owned() }
        });)+

        /// The name and the hash of each.
        #[cfg(any(test, feature = "test-util"))]
        pub(super) fn all() -> Vec<(&'static str, &'static str)> {
            vec![$((stringify!($name), $name.hash.as_str())),+]
        }

        /// The text of the one of that name; empty where there is none.
        #[cfg(any(test, feature = "test-util"))]
        pub(super) fn code(name: &str) -> &'static str {
            match name {
                $(stringify!($name) => $name.code,)+
                _ => "",
            }
        }
    };
}

scripts! {
    BEGIN_CUT_OFF: ["cut_off_prelude.lua", "begin_cut_off.lua"];
    CHECK: ["check.lua"];
    CREATE: ["cut_off_prelude.lua", "create.lua"];
    FEED_APPEND: ["feed_prelude.lua", "feed_append.lua"];
    FEED_READ: ["feed_prelude.lua", "feed_read.lua"];
    FINISH_CUT_OFF: ["cut_off_prelude.lua", "finish_cut_off.lua"];
    FOLLOWERS_PUBLISH: ["followers_publish.lua"];
    FOLLOWERS_READ: ["followers_read.lua"];
    INDEX: ["index.lua"];
    LEASE: ["account.lua", "lease.lua"];
    LIST: ["list.lua"];
    OPAQUE: ["opaque.lua"];
    PUT_OPAQUE: ["put_opaque.lua"];
    RESTORE_SUSPENSION: ["restore_suspension.lua"];
    REVOKE: ["revoke.lua"];
    SALT: ["salt.lua"];
    SESSION: ["session.lua"];
    TERMINATE: ["terminate.lua"];
    TOUCH: ["touch.lua"];
    UPDATE: ["update.lua"];
}
