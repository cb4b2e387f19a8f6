//! The `sidecar` and `issuers` sections.

use std::{collections::HashSet, time::Duration};

use session_gate_protocol::{JwkSet, MAX_LEEWAY, MAX_STALENESS, MIN_CREDENTIAL_CHARS, is_header_safe};

use super::{
    problems::Problems,
    raw::{RawBoundTokens, RawIssuer, RawJwks, RawRevocation, RawSidecar},
};
use crate::{
    sidecar::client::Sidecar,
    token::{Issuer, KeySource, Revocation},
};
use session_gate_jose::{Algorithm, KeySet};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn sidecar(raw: RawSidecar, problems: &mut Problems) -> Sidecar {
    let RawSidecar {
        cluster,
        authority,
        timeout,
        command_timeout,
        credential,
        keys_refresh,
        keys_refetch,
        max_staleness,
    } = raw;
    let millisecond = Duration::from_millis(1);
    let timeout =
        problems.duration("sidecar.timeout", timeout.as_deref(), millisecond..=60 * SECOND, 250 * millisecond);
    let command_timeout = problems.duration(
        "sidecar.command_timeout",
        command_timeout.as_deref(),
        1500 * millisecond..=60 * SECOND,
        2 * SECOND,
    );
    let max_staleness =
        problems.duration("sidecar.max_staleness", max_staleness.as_deref(), 100 * millisecond..=MAX_STALENESS, SECOND);
    if timeout > max_staleness {
        // A reply is believed for no longer than that from when it was asked for: waiting on is waiting for a 503.
        problems.add("sidecar.timeout", "must be at most `max_staleness`");
    }
    let keys_refresh = problems.duration("sidecar.keys_refresh", keys_refresh.as_deref(), SECOND..=DAY, 60 * SECOND);
    let keys_refetch =
        problems.duration("sidecar.keys_refetch", keys_refetch.as_deref(), SECOND..=3600 * SECOND, 5 * SECOND);
    let visible = |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if credential.as_ref().is_some_and(|credential| !visible(credential)) {
        problems.add("sidecar.credential", "must be visible ASCII, or be left out");
    } else if credential.as_ref().is_some_and(|credential| credential.len() < MIN_CREDENTIAL_CHARS) {
        problems.warn(
            "sidecar.credential",
            format!("is none of a sidecar's: these have {MIN_CREDENTIAL_CHARS} characters or more"),
        );
    }
    if authority.as_ref().is_some_and(|authority| !visible(authority)) {
        problems.add("sidecar.authority", "must be a host, with or without port");
    }
    Sidecar {
        cluster: problems.required("sidecar.cluster", cluster),
        authority: authority.unwrap_or_else(|| "session-gate-sidecar".to_owned()),
        timeout,
        command_timeout,
        credential,
        keys_refresh,
        keys_refetch,
        max_staleness,
    }
}

pub(super) fn issuers(raw: Vec<RawIssuer>, has_sidecar: bool, problems: &mut Problems) -> Vec<Issuer> {
    let mut names = HashSet::new();
    let mut issuers = Vec::new();
    for (place, raw) in raw.into_iter().enumerate() {
        let path = format!("issuers[{place}]");
        let name = problems.required(format!("{path}.issuer"), raw.issuer.clone());
        if !name.is_empty() && !is_header_safe(&name) {
            // Upstreams are told it in a header.
            problems.add(format!("{path}.issuer"), "must have no control characters and no blanks at the ends");
        }
        if !name.is_empty() && !names.insert(name.clone()) {
            problems.add(format!("{path}.issuer"), "must not be named twice");
        }
        issuers.extend(issuer(raw, name, has_sidecar, &path, problems));
    }
    issuers
}

/// `None` where there are no keys: that mistake is noted.
fn issuer(raw: RawIssuer, name: String, has_sidecar: bool, path: &str, problems: &mut Problems) -> Option<Issuer> {
    let jwks_path = format!("{path}.jwks");
    let keys = match raw.jwks {
        Some(RawJwks::Sidecar) => Some(KeySource::Sidecar),
        Some(RawJwks::Inline(set)) => inline(&set, &raw.algorithms, &jwks_path, problems),
        None => {
            if !problems.has(&jwks_path) {
                problems.add(jwks_path, "is required: \"sidecar\", or {inline: {keys: [...]}}");
            }
            None
        }
    };
    let is_sidecars = matches!(keys, Some(KeySource::Sidecar));
    let revocation = match raw.revocation {
        Some(RawRevocation::Sessions) => Revocation::Sessions,
        Some(RawRevocation::Feed) => Revocation::Feed,
        Some(RawRevocation::None) => Revocation::None,
        None if is_sidecars => Revocation::Sessions,
        None if has_sidecar => Revocation::Feed,
        None => Revocation::None,
    };
    if raw.opaque_tokens && revocation != Revocation::Sessions {
        problems.add(format!("{path}.opaque_tokens"), "must be false unless revocation is \"sessions\"");
    }
    // The sidecar's clock and Envoy's are the same operator's; a token's end is exact there.
    let default_leeway = if is_sidecars { Duration::ZERO } else { 30 * SECOND };
    let leeway =
        problems.duration(format!("{path}.leeway"), raw.leeway.as_deref(), Duration::ZERO..=MAX_LEEWAY, default_leeway);
    if raw.audiences.iter().any(String::is_empty) {
        problems.add(format!("{path}.audiences"), "must not have an empty name");
    }
    Some(Issuer {
        name,
        audiences: raw.audiences,
        algorithms: raw.algorithms,
        keys: keys?,
        leeway,
        scope_claim: raw.scope_claim.unwrap_or_else(|| "scope".to_owned()),
        revocation,
        opaque: raw.opaque_tokens,
        accept_bound: raw.bound_tokens == RawBoundTokens::AcceptAsBearer,
    })
}

fn inline(set: &JwkSet, algorithms: &[Algorithm], path: &str, problems: &mut Problems) -> Option<KeySource> {
    let field = |place: usize, member: &str| match member {
        "keys" => format!("{path}.inline.keys"),
        member => format!("{path}.inline.keys[{place}].{member}"),
    };
    match KeySet::supported(set, algorithms) {
        Ok((keys, passed_over)) => {
            for (place, problem) in passed_over {
                problems.warn(field(place, problem.member), format!("{}: this key is passed over", problem.allowed));
            }
            Some(KeySource::Inline(keys))
        }
        Err(wrong) => {
            wrong.into_iter().for_each(|(place, problem)| problems.add(field(place, problem.member), problem.allowed));
            None
        }
    }
}
