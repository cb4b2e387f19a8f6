//! The Lua scripts: one per step of the store. Each file says what it takes, what it replies and why
//! it must be atomic.

use std::sync::LazyLock;

/// A script and the hash under which Redis knows it.
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) hash: String,
}

/// The script in that file, after the preludes.
macro_rules! script {
    ($($file:literal),+) => {
        LazyLock::new(|| {
            let code = concat!(include_str!("scripts/prelude.lua") $(, include_str!(concat!("scripts/", $file)))+);
            Script { code, hash: redis::Script::new(code).get_hash().to_owned() }
        })
    };
}

pub(super) static CHECK: LazyLock<Script> = script!("check.lua");
pub(super) static CREATE: LazyLock<Script> = script!("create.lua");
pub(super) static FEED_APPEND: LazyLock<Script> = script!("feed_prelude.lua", "feed_append.lua");
pub(super) static FEED_READ: LazyLock<Script> = script!("feed_prelude.lua", "feed_read.lua");
pub(super) static FOLLOWERS_PUBLISH: LazyLock<Script> = script!("followers_publish.lua");
pub(super) static FOLLOWERS_READ: LazyLock<Script> = script!("followers_read.lua");
pub(super) static LEASE: LazyLock<Script> = script!("account.lua", "lease.lua");
pub(super) static LIST: LazyLock<Script> = script!("list.lua");
pub(super) static OPAQUE: LazyLock<Script> = script!("opaque.lua");
pub(super) static PUT_OPAQUE: LazyLock<Script> = script!("put_opaque.lua");
pub(super) static REVOKE: LazyLock<Script> = script!("revoke.lua");
pub(super) static SESSION: LazyLock<Script> = script!("session.lua");
pub(super) static TERMINATE: LazyLock<Script> = script!("terminate.lua");
pub(super) static TERMINATE_ALL: LazyLock<Script> = script!("terminate_all.lua");
pub(super) static TOUCH: LazyLock<Script> = script!("touch.lua");
pub(super) static UPDATE: LazyLock<Script> = script!("update.lua");
