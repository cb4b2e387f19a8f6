//! What a route's application may say of sessions.

use session_gate_protocol::{Scope, Scopes, SessionCommandKind, is_token};

use super::{
    problems::Problems,
    raw::{RawAccountSource, RawMetadataKey, RawSessionCommand, RawSessionCommands, RawSiteData, RawTokenDelivery},
};
use crate::{
    http::account::AccountSource,
    routing::{SessionCommands, TokenDelivery},
};

pub(super) fn session_commands(raw: RawSessionCommands, path: &str, problems: &mut Problems) -> SessionCommands {
    let RawSessionCommands {
        allow,
        scopes,
        amr,
        classes,
        switch_user,
        on_navigation,
        token,
        account_from,
        require_nonce,
        clear_site_data,
    } = raw;
    let field = |name: &str| format!("{path}.{name}");
    if allow.is_empty() && !problems.has(&field("allow")) {
        problems
            .add(field("allow"), "must name at least one of elevate, login, login_failed, logout, password_changed");
    }
    for (place, method) in amr.iter().enumerate() {
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_graphic()) {
            problems.add(format!("{path}.amr[{place}]"), "must be visible ASCII without spaces, such as pwd or otp");
        }
    }
    for (place, class) in classes.iter().enumerate() {
        let is_name = (1..=64).contains(&class.len())
            && class.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        if !is_name {
            problems.add(
                format!("{path}.classes[{place}]"),
                "must be 1 to 64 of a-z 0-9 _ -, as the sidecar's classes are",
            );
        }
    }
    if account_from.is_some() && !allow.contains(&RawSessionCommand::LoginFailed) {
        problems.add(field("account_from"), "needs login_failed in allow: otherwise nothing counts that could lock");
    }
    SessionCommands {
        allow: allow.into_iter().map(kind).collect(),
        scopes: granted(scopes, &field("scopes"), problems),
        amr,
        classes,
        switch_user,
        on_navigation,
        token: match token {
            Some(RawTokenDelivery::Header) => TokenDelivery::Header,
            Some(RawTokenDelivery::Cookie) | None => TokenDelivery::Cookie,
        },
        account_from: account_from.map(|raw| account_source(raw, &field("account_from"), problems)),
        require_nonce,
        clear_site_data: site_data(clear_site_data, &field("clear_site_data"), problems),
    }
}

const fn kind(raw: RawSessionCommand) -> SessionCommandKind {
    match raw {
        RawSessionCommand::Elevate => SessionCommandKind::Elevate,
        RawSessionCommand::Login => SessionCommandKind::Login,
        RawSessionCommand::LoginFailed => SessionCommandKind::LoginFailed,
        RawSessionCommand::Logout => SessionCommandKind::Logout,
        RawSessionCommand::PasswordChanged => SessionCommandKind::PasswordChanged,
    }
}

fn account_source(raw: RawAccountSource, path: &str, problems: &mut Problems) -> AccountSource {
    match raw {
        RawAccountSource::Basic => AccountSource::Basic,
        RawAccountSource::Header(name) => {
            if !is_token(&name) {
                problems.add(format!("{path}.header"), "must be a header's name");
            }
            AccountSource::Header(name.to_ascii_lowercase())
        }
        RawAccountSource::Metadata(RawMetadataKey { namespace, key }) => {
            for (name, value) in [("namespace", &namespace), ("key", &key)] {
                if !(1..=256).contains(&value.len()) || !value.bytes().all(|b| b.is_ascii_graphic()) {
                    problems.add(format!("{path}.metadata.{name}"), "must be 1 to 256 visible ASCII characters");
                }
            }
            AccountSource::Metadata { namespace, key }
        }
    }
}

fn granted(names: Vec<String>, path: &str, problems: &mut Problems) -> Scopes {
    let mut scopes = Vec::new();
    for (place, name) in names.into_iter().enumerate() {
        match Scope::try_from(name) {
            Ok(scope) => scopes.push(scope),
            Err(error) => problems.add(format!("{path}[{place}]"), error.to_string()),
        }
    }
    scopes.into_iter().collect()
}

/// The header's value (Clear Site Data, section 3.1).
fn site_data(mut kinds: Vec<RawSiteData>, path: &str, problems: &mut Problems) -> Option<String> {
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.contains(&RawSiteData::Cookies) {
        problems.warn(path, "\"cookies\" clears those of every host of the registrable domain, not of this one alone");
    }
    let quoted = |kind: &RawSiteData| match kind {
        RawSiteData::Cache => "\"cache\"",
        RawSiteData::Cookies => "\"cookies\"",
        RawSiteData::Storage => "\"storage\"",
    };
    (!kinds.is_empty()).then(|| kinds.iter().map(quoted).collect::<Vec<_>>().join(", "))
}
