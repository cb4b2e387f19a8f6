//! Every setting, once: its name in the file, in the environment and as a flag, what kind of value it
//! takes, its default and what it does. The flags, the help text and the table in
//! `docs/configuration-sidecar.md` come from here.

mod security;
mod server;
mod sessions;
mod setting;
mod store;

pub use self::setting::{Kind, Setting};
use self::{
    security::SECURITY,
    server::{CREDENTIALS, MONITORING, SERVER},
    sessions::{SESSION, TOKENS},
    store::{LIMITS, REDIS},
};

/// The sections, in the order in which they are shown.
const SECTIONS: [&[Setting]; 8] = [SERVER, CREDENTIALS, SESSION, TOKENS, LIMITS, SECURITY, MONITORING, REDIS];

/// All settings, by section.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.into_iter().flatten()
}

/// The setting at that place in the file.
pub fn by_path(path: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.path == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_used_twice_and_names_follow_from_each_other() {
        for names in [|s: &Setting| s.path, |s: &Setting| s.env, |s: &Setting| s.flag] {
            assert_eq!(all().map(names).collect::<BTreeSet<_>>().len(), all().count());
        }
        for setting in all() {
            let name = setting.env.strip_prefix("SESSION_GATE_").unwrap_or(setting.env);
            assert_eq!(setting.flag, name.to_lowercase().replace('_', "-"));
        }
    }

    #[test]
    fn every_name_that_users_know_is_there() {
        for name in [
            "REDIS_URL",
            "REDIS_PASSWORD",
            "JWT_SECRET",
            "SESSION_DURATION_HOURS",
            "TOKEN_DURATION_HOURS",
            "TOKEN_REFRESH_THRESHOLD_MINUTES",
            "REQUIRE_HTTPS",
            "MAX_LOGIN_ATTEMPTS",
            "LOCKOUT_DURATION_MINUTES",
            "LOG_LEVEL",
            "ENABLE_METRICS",
        ] {
            assert!(all().any(|setting| setting.env == name), "{name}");
        }
    }
}
