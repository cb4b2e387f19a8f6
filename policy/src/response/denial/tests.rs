use super::*;

fn plain(reason: DenyReason) -> Reply {
    reply(reason, &ReplyStyle::default(), "session-gate", None, None)
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// Clients match on these: a change here is a breaking one.
#[test]
fn every_reason_has_its_status_and_challenge() {
    let table: String = DenyReason::ALL
        .into_iter()
        .map(|reason| {
            let reply = plain(reason);
            let challenge = header(&reply, "www-authenticate").unwrap_or("-");
            format!("{} {} {challenge}\n", reason.as_str(), reply.status)
        })
        .collect();
    assert_eq!(table, include_str!("golden.txt"));
}

#[test]
fn the_body_is_a_problem_with_the_reasons_code() {
    let reply = plain(DenyReason::TokenExpired);
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "type": "urn:session-gate:problem:token_expired",
            "title": "The token has expired",
            "status": 401,
            "code": "token_expired",
        })
    );
    assert_eq!(header(&reply, "content-type"), Some("application/problem+json"));
    assert_eq!(header(&reply, "cache-control"), Some("no-store"));
}

#[test]
fn our_own_trouble_says_when_to_try_again_and_asks_for_no_login() {
    for reason in [DenyReason::StoreUnavailable, DenyReason::KeysUnavailable, DenyReason::Overloaded] {
        let reply = plain(reason);
        assert_eq!((reply.status, header(&reply, "retry-after")), (503, Some("1")));
        assert_eq!(header(&reply, "www-authenticate"), None);
        assert_eq!(header(&reply, "set-cookie"), None);
    }
}

#[test]
fn insufficient_scope_names_the_scopes() {
    let scopes = Scopes::parse_list("write admin").unwrap();
    let reply = reply(DenyReason::ScopeInsufficient, &ReplyStyle::default(), "r", Some(&scopes), None);
    assert!(header(&reply, "www-authenticate").unwrap().ends_with(r#", scope="admin write""#));
}

#[test]
fn a_grpc_client_gets_a_grpc_status() {
    let grpc = |kind: &str| ReplyStyle::of(&[("content-type", kind)].into_iter().collect()).grpc;
    assert!(grpc("application/grpc") && grpc("application/grpc+proto"));
    assert!(!grpc("application/grpc-web") && !grpc("application/grpc;x") && !grpc("application/json"));
    let client = ReplyStyle { grpc: true, ..ReplyStyle::default() };
    for (reason, status) in [
        (DenyReason::CredentialMissing, GrpcStatus::Unauthenticated),
        (DenyReason::ScopeInsufficient, GrpcStatus::PermissionDenied),
        (DenyReason::StoreUnavailable, GrpcStatus::Unavailable),
        (DenyReason::PathInvalid, GrpcStatus::InvalidArgument),
        (DenyReason::NoRule, GrpcStatus::Unimplemented),
        (DenyReason::RateLimited, GrpcStatus::ResourceExhausted),
    ] {
        assert_eq!(reply(reason, &client, "r", None, None).grpc.unwrap().0, status);
    }
}

#[test]
fn only_a_page_load_by_http_is_sent_to_https() {
    let base = [(":method", "GET"), (":authority", "app.example:8080"), (":path", "/x?y=1")];
    let page: Headers = base.into_iter().chain([("accept", "text/html,*/*")]).collect();
    let sent = reply(DenyReason::HttpsRequired, &ReplyStyle::of(&page), "r", None, None);
    assert_eq!((sent.status, header(&sent, "location")), (308, Some("https://app.example/x?y=1")));
    let api: Headers = base.into_iter().chain([("accept", "application/json")]).collect();
    assert_eq!(reply(DenyReason::HttpsRequired, &ReplyStyle::of(&api), "r", None, None).status, 403);
    let fetch: Headers = base.into_iter().chain([("accept", "text/html"), ("sec-fetch-mode", "cors")]).collect();
    assert_eq!(reply(DenyReason::HttpsRequired, &ReplyStyle::of(&fetch), "r", None, None).status, 403);
    let post: Headers =
        [(":method", "POST"), (":authority", "a"), (":path", "/"), ("accept", "text/html")].into_iter().collect();
    assert_eq!(reply(DenyReason::HttpsRequired, &ReplyStyle::of(&post), "r", None, None).status, 403);
}

#[test]
fn every_reply_can_stand_in_headers() {
    for reason in DenyReason::ALL {
        for (name, value) in plain(reason).headers {
            assert!(value.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{name}: {value}");
        }
    }
}
