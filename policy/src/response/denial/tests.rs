use std::sync::LazyLock;

use super::*;
use crate::routing::LoginPage;

static PAGE: LazyLock<ErrorPage> = LazyLock::new(|| {
    ErrorPage::parse("<p>{{status}} {{title}} {{code}} {{retry_after}} {{advice}}".to_owned()).unwrap()
});

fn denial(reason: DenyReason) -> Denial<'static> {
    Denial::of(reason, "session-gate", &PAGE)
}

fn reply(reason: DenyReason, client: &ReplyStyle) -> Reply {
    denial(reason).reply(client)
}

fn plain(reason: DenyReason) -> Reply {
    reply(reason, &ReplyStyle::default())
}

fn page_load() -> ReplyStyle {
    ReplyStyle { navigation: Navigation::Load, ..ReplyStyle::default() }
}

fn login() -> Login {
    let page = |url: &str| LoginPage { url: url.to_owned(), path: url.to_owned() };
    Login { page: page("/login"), next_parameter: "next".to_owned(), second_factor: Some(page("/2fa")) }
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
    let denial = Denial { scopes: Some(&scopes), ..denial(DenyReason::ScopeInsufficient) };
    let reply = denial.reply(&ReplyStyle::default());
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
        assert_eq!(reply(reason, &client).grpc.unwrap().0, status);
    }
}

#[test]
fn only_a_page_load_by_http_is_sent_to_https() {
    let base = [(":method", "GET"), (":authority", "app.example:8080"), (":path", "/x?y=1")];
    let page: Headers = base.into_iter().chain([("accept", "text/html,*/*")]).collect();
    let sent = reply(DenyReason::HttpsRequired, &ReplyStyle::of(&page));
    assert_eq!((sent.status, header(&sent, "location")), (308, Some("https://app.example/x?y=1")));
    let api: Headers = base.into_iter().chain([("accept", "application/json")]).collect();
    assert_eq!(reply(DenyReason::HttpsRequired, &ReplyStyle::of(&api)).status, 403);
    let fetch: Headers = base.into_iter().chain([("accept", "text/html"), ("sec-fetch-mode", "cors")]).collect();
    assert_eq!(reply(DenyReason::HttpsRequired, &ReplyStyle::of(&fetch)).status, 403);
    let post: Headers =
        [(":method", "POST"), (":authority", "a"), (":path", "/"), ("accept", "text/html")].into_iter().collect();
    assert_eq!(reply(DenyReason::HttpsRequired, &ReplyStyle::of(&post)).status, 403);
}

#[test]
fn every_401_sends_a_page_load_to_log_in_and_nothing_else_does() {
    let login = login();
    let sent = |reason, client: &ReplyStyle| {
        let denial = Denial { login: Some((&login, "/x?y")), removal: vec!["gate=".to_owned()], ..denial(reason) };
        denial.reply(client)
    };
    for reason in DenyReason::ALL {
        let to = if reason == DenyReason::SessionPending2fa { "/2fa" } else { "/login" };
        let is_401 = plain(reason).status == 401;
        let redirect = sent(reason, &page_load());
        assert_eq!(redirect.status == 302, is_401, "{reason:?}");
        if is_401 {
            assert_eq!(header(&redirect, "location"), Some(format!("{to}?next=%2Fx%3Fy").as_str()));
            assert_eq!((header(&redirect, "vary"), redirect.body.as_str()), (Some("Cookie"), ""));
            let form = sent(reason, &ReplyStyle { navigation: Navigation::Submit, ..ReplyStyle::default() });
            assert_eq!((form.status, header(&form, "location")), (401, None));
            assert!(form.body.contains(&format!("<a href=\"{to}\">Sign in</a>")), "{}", form.body);
        }
        let program = sent(reason, &ReplyStyle::default());
        assert_eq!(program.status, plain(reason).status);
        assert_eq!(header(&program, "content-type"), Some("application/problem+json"));
        assert_eq!(header(&program, "location"), None);
        for reply in [redirect, program] {
            assert_eq!(header(&reply, "cache-control"), Some("no-store"), "{reason:?}");
            assert_eq!(header(&reply, "set-cookie"), Some("gate="));
        }
    }
    let at_login = Denial { login: Some((&login, "/login?next=%2F")), ..denial(DenyReason::CredentialMissing) };
    let reply = at_login.reply(&page_load());
    assert_eq!((reply.status, header(&reply, "location")), (401, None), "it would be sent there again and again");
    assert!(reply.body.contains("Sign in and try again."));
}

#[test]
fn people_get_a_page_and_programs_a_problem() {
    for navigation in [Navigation::Load, Navigation::Submit] {
        let client = ReplyStyle { navigation, ..ReplyStyle::default() };
        for (reason, expected) in [
            (
                DenyReason::CredentialMissing,
                "<p>401 Authentication is required credential_missing  Sign in and try again.",
            ),
            (DenyReason::ScopeInsufficient, "<p>403 The token lacks a scope scope_insufficient  "),
            (DenyReason::NoRule, "<p>404 There is no such resource no_rule  "),
            (
                DenyReason::StoreUnavailable,
                "<p>503 Sessions cannot be checked at the moment store_unavailable 1 Try again in a second.",
            ),
        ] {
            let reply = reply(reason, &client);
            assert_eq!((reply.status, reply.body.as_str()), (plain(reason).status, expected));
            assert_eq!(header(&reply, "content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(header(&reply, "www-authenticate"), header(&plain(reason), "www-authenticate"));
        }
        let limited = Denial { retry_after: Some(7), ..denial(DenyReason::RateLimited) }.reply(&client);
        assert_eq!(limited.body, "<p>429 Too many requests rate_limited 7 Try again in 7 seconds.");
        assert_eq!(header(&limited, "retry-after"), Some("7"));
    }
    let limited = Denial { retry_after: Some(0), ..denial(DenyReason::RateLimited) }.reply(&ReplyStyle::default());
    assert_eq!(header(&limited, "retry-after"), Some("1"), "never at once");
}

#[test]
fn a_detail_is_in_the_problem_and_on_the_page() {
    let denied = || Denial { detail: Some("a <b>".to_owned()), ..denial(DenyReason::PathAmbiguous) };
    let problem: serde_json::Value = serde_json::from_str(&denied().reply(&ReplyStyle::default()).body).unwrap();
    assert_eq!(problem["detail"], "a <b>");
    assert!(denied().reply(&page_load()).body.ends_with("a &lt;b&gt;"));
}

#[test]
fn every_reply_can_stand_in_headers() {
    for reason in DenyReason::ALL {
        for (name, value) in plain(reason).headers {
            assert!(value.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{name}: {value}");
        }
    }
}
