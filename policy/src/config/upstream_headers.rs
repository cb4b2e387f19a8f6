//! The `upstream_headers` section.

use session_gate_protocol::is_token;

use super::{
    problems::Problems,
    raw::{RawClaimHeader, RawUpstreamHeaders},
};
use crate::{
    http::{
        headers::collide_as_cgi_variables, name_set::NameSet, session_headers::is_reserved,
        upstream_interpretations::changes_the_request,
    },
    response::upstream_headers::TrustedHeaders,
    token::{ClaimForm, ClaimHeader, ClaimHeaders},
};

/// Each is kept with every token that a worker remembers.
const MAX_CLAIMS: usize = 32;

/// The headers that upstreams trust, and which of them are claims.
pub(super) fn trusted(raw: RawUpstreamHeaders, problems: &mut Problems) -> (TrustedHeaders, ClaimHeaders) {
    let RawUpstreamHeaders {
        user_id,
        session_id,
        session_status,
        scopes,
        token_id,
        issuer,
        amr,
        auth_time,
        expires_at,
        proof,
        claims,
    } = raw;
    let mut names = Names { taken: NameSet::default(), problems };
    let trusted = TrustedHeaders {
        user_id: names.sent("user_id", user_id, "x-user-id"),
        session_id: names.sent("session_id", session_id, "x-session-id"),
        session_status: names.sent("session_status", session_status, "x-session-status"),
        scopes: names.sent("scopes", scopes, "x-scopes"),
        token_id: names.sent("token_id", token_id, "x-token-id"),
        issuer: names.sent("issuer", issuer, "x-token-issuer"),
        expires_at: names.if_named("expires_at", expires_at, "x-session-expires-at"),
        proof: names.sent("proof", proof, "x-session-proof"),
        names: NameSet::default(),
    };
    let amr = names.if_named("amr", amr, "x-session-amr");
    let auth_time = names.if_named("auth_time", auth_time, "x-session-auth-time");
    let registered = [("amr", amr, ClaimForm::Words), ("auth_time", auth_time, ClaimForm::Number)];
    let registered = registered.into_iter().filter_map(|(claim, header, form)| {
        Some(ClaimHeader { claim: claim.to_owned(), header: header?.into(), form })
    });
    let mut told: Vec<ClaimHeader> = registered.collect();
    if claims.len() > MAX_CLAIMS {
        names.problems.add("upstream_headers.claims", format!("must be at most {MAX_CLAIMS}"));
    }
    told.extend(claims.into_iter().enumerate().map(|(place, raw)| names.claim(raw, place)));
    (TrustedHeaders { names: names.taken, ..trusted }, ClaimHeaders::new(told))
}

/// The names so far, each in lower case.
struct Names<'a> {
    taken: NameSet,
    problems: &'a mut Problems,
}

impl Names<'_> {
    /// Of a header that is sent, by its default's name where the configuration says nothing.
    fn sent(&mut self, field: &str, name: Option<String>, default: &str) -> String {
        self.take(format!("upstream_headers.{field}"), name.unwrap_or_else(|| default.to_owned()))
    }

    /// Of a header that is sent only where the configuration names it. By the default's name nobody else sends it, either:
    /// an upstream that is made for it takes no client's word.
    fn if_named(&mut self, field: &str, name: Option<String>, default: &str) -> Option<String> {
        let is_sent = name.is_some();
        let name = self.sent(field, name, default);
        is_sent.then_some(name)
    }

    fn claim(&mut self, raw: RawClaimHeader, place: usize) -> ClaimHeader {
        let RawClaimHeader { claim, header } = raw;
        let field = |name: &str| format!("upstream_headers.claims[{place}].{name}");
        let claim = self.problems.required(field("claim"), claim);
        let header = self.problems.required(field("header"), header);
        let header = if header.is_empty() { header } else { self.take(field("header"), header) };
        ClaimHeader { claim, header: header.into(), form: ClaimForm::Any }
    }

    fn take(&mut self, path: String, name: String) -> String {
        let name = name.to_ascii_lowercase();
        // Other headers mean something to Envoy or to every upstream.
        if !is_token(&name) || !name.starts_with("x-") || name.starts_with("x-envoy") || name.starts_with("x-forwarded")
        {
            self.problems.add(path, "must be a header name that begins with x-, and not with x-envoy or x-forwarded");
        } else if changes_the_request(&name) || collide_as_cgi_variables("x-real-ip", &name) {
            self.problems.add(path, "must not be a header that tells upstreams another method, path, host or address");
        } else if is_reserved(&name) {
            self.problems.add(path, "must not be a header that says something of sessions");
        } else if !self.taken.insert(name.clone()) {
            self.problems.add(path, "must differ from the others' names in letters or digits");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{config::Config, testing::config};

    fn problems(section: Value) -> Vec<String> {
        let mut document = config();
        document["upstream_headers"] = section;
        Config::from_value(document).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    fn paths(section: Value) -> Vec<String> {
        problems(section).iter().map(|problem| problem.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn each_header_has_a_name_of_its_own() {
        let good = json!({
            "amr": "x-session-amr", "auth_time": "X-Auth-Time", "expires_at": "x-session-expires-at",
            "claims": [{"claim": "email", "header": "x-user-email"}, {"claim": "email", "header": "x-mail"}],
        });
        assert_eq!(problems(good), Vec::<String>::new());
        for (section, path) in [
            (json!({"amr": "x-user-id"}), "upstream_headers.amr"),
            (json!({"amr": "x_user_id"}), "upstream_headers.amr"),
            (json!({"amr": "amr"}), "upstream_headers.amr"),
            (json!({"expires_at": "x-session-login"}), "upstream_headers.expires_at"),
            // By its default's name a header that is not sent is removed: it must be nothing else.
            (json!({"user_id": "x-session-auth-time"}), "upstream_headers.auth_time"),
            (json!({"claims": [{"claim": "a", "header": "x-scopes"}]}), "upstream_headers.claims[0].header"),
            (
                json!({"claims": [{"claim": "a", "header": "x-a"}, {"claim": "b", "header": "X_A"}]}),
                "upstream_headers.claims[1].header",
            ),
            (json!({"claims": [{"claim": "a", "header": "x-forwarded-for"}]}), "upstream_headers.claims[0].header"),
            (json!({"claims": [{"claim": "a", "header": "X-Original-Url"}]}), "upstream_headers.claims[0].header"),
            (json!({"claims": [{"claim": "a", "header": "x_http_method"}]}), "upstream_headers.claims[0].header"),
            (json!({"claims": [{"claim": "a", "header": "x-real-ip"}]}), "upstream_headers.claims[0].header"),
            (json!({"claims": [{"claim": "a"}]}), "upstream_headers.claims[0].header"),
            (json!({"claims": [{"header": "x-a"}]}), "upstream_headers.claims[0].claim"),
            (json!({"claims": [{"claim": "", "header": "x-a"}]}), "upstream_headers.claims[0].claim"),
            (
                json!({"claims": [{"claim_name": "a", "claim": "a", "header": "x-a"}]}),
                "upstream_headers.claims[0].claim_name",
            ),
        ] {
            assert_eq!(paths(section.clone()), [path], "{section}");
        }
    }

    #[test]
    fn what_is_kept_with_each_token_is_bounded() {
        let claims = |count: usize| {
            let all: Vec<_> = (0..count).map(|i| json!({"claim": "c", "header": format!("x-c-{i}")})).collect();
            paths(json!({ "claims": all }))
        };
        assert_eq!(claims(32), Vec::<String>::new());
        assert_eq!(claims(33), ["upstream_headers.claims"]);
    }
}
