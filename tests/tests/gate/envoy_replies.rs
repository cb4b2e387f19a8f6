//! What replies carry, whoever makes them: the upstream, the gate, or Envoy itself.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use session_gate_tests::upstream::{REPLY_HEADER, REPLY_STATUS};
use session_gate_tests::{Call, Http, Stack, raw};

use crate::login_story::expect;

const CAREFUL: &[(&str, &str)] = &[
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("x-xss-protection", "0"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_reply_makes_browsers_careful() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    for http in Http::ALL {
        for (what, call, status) in [
            ("the upstream's", Call::get("/orders").bearer(&login.token), 200),
            ("the upstream's error", Call::get("/orders").bearer(&login.token).header(REPLY_STATUS, "500"), 500),
            ("the gate's refusal", Call::get("/orders"), 401),
            ("the gate's refusal of scopes", Call::post("/orders").bearer(&login.token), 403),
            ("Envoy's redirect", Call::get("/a%2fb"), 307),
        ] {
            let reply = call.send(stack.address(), http).await?;
            ensure!(reply.status == status, "{what}: {}", reply.status);
            for (name, value) in CAREFUL {
                ensure!(reply.header(name) == Some(value), "{what}, {http:?}: {name}: {:?}", reply.headers);
            }
            ensure!(!reply.headers.contains_key("strict-transport-security"), "{what}: HSTS over http");
            for name in ["server", "x-powered-by", "x-envoy-upstream-service-time"] {
                ensure!(!reply.headers.contains_key(name), "{what}: {name}: {:?}", reply.headers);
            }
        }
    }
    let huge = "x".repeat(100_000);
    for (what, request, status) in [
        ("no HTTP", "NONSENSE\r\n\r\n".to_owned(), 400),
        ("no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(), 426),
        ("headers too large", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {huge}\r\n\r\n"), 431),
        (
            "a length and chunks",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            400,
        ),
        (
            "a path that can't be normalised",
            "GET /..%00/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
            400,
        ),
    ] {
        let reply = raw::exchange(stack.address(), request.as_bytes()).await?;
        ensure!(reply.status == status, "{what}: {}", reply.text);
        for (name, value) in CAREFUL {
            ensure!(reply.header(name) == Some(value), "{what}: {name}: {}", reply.text);
        }
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_be_reached_is_answered_for() -> Result<()> {
    let mut stack = Stack::builder().envoy(|config| config.set_cluster_port("app", 1)).start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let reply = stack.send(Call::get("/orders").bearer(&login.token)).await?;
    ensure!(reply.status == 503, "{}", reply.status);
    for (name, value) in CAREFUL {
        ensure!(reply.header(name) == Some(value), "{name}: {:?}", reply.headers);
    }
    stack.envoy.ensure_no_crash().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_own_headers_stay_where_the_rule_says_so_and_revealing_ones_go() -> Result<()> {
    let routes = json!([
        {
            "name": "embeddable",
            "match": {"path": {"prefix": "/embeddable"}},
            "security_headers": {
                "x_frame_options": false,
                "permissions_policy": "camera=()",
                "content_security_policy": "frame-ancestors https://partner.example",
            },
        },
        {"name": "all", "match": {"path": {"prefix": "/"}}},
    ]);
    let mut stack = Stack::builder().routes(routes).start().await?;
    let login = stack.login("alice", &[]).await?;
    let call = |path: &str| {
        Call::get(path)
            .bearer(&login.token)
            .header(REPLY_HEADER, "x-frame-options: SAMEORIGIN")
            .header(REPLY_HEADER, "x-content-type-options: nonsense")
            .header(REPLY_HEADER, "content-security-policy: default-src 'none'")
            .header(REPLY_HEADER, "server: leaky/1.2.3")
            .header(REPLY_HEADER, "x-powered-by: leaky")
            .header(REPLY_HEADER, "x-own: kept")
    };
    let reply = stack.send(call("/plain")).await?;
    for (name, value) in [
        ("x-frame-options", Some("SAMEORIGIN")),
        ("x-content-type-options", Some("nosniff")),
        ("content-security-policy", Some("default-src 'none'")),
        ("permissions-policy", None),
        ("server", None),
        ("x-powered-by", None),
        ("x-own", Some("kept")),
    ] {
        ensure!(reply.header(name) == value, "{name}: {:?}", reply.headers);
    }
    let reply = stack.send(call("/embeddable")).await?;
    for (name, value) in [
        ("x-frame-options", Some("SAMEORIGIN")),
        ("content-security-policy", Some("frame-ancestors https://partner.example")),
        ("permissions-policy", Some("camera=()")),
    ] {
        ensure!(reply.header(name) == value, "{name}: {:?}", reply.headers);
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_what_envoy_says_it_is() -> Result<()> {
    let https = || {
        Stack::builder().filter(|filter| {
            filter["require_https"] = json!(true);
            Ok(())
        })
    };
    let page = || Call::get("/orders?a=1").header("accept", "text/html").header("x-forwarded-proto", "https");

    // A client's claim counts for nothing.
    let mut stack = https().start().await?;
    let reply = stack.send(page()).await?;
    ensure!(reply.status == 308, "{} {}", reply.status, reply.text());
    ensure!(reply.header("location") == Some("https://127.0.0.1/orders?a=1"), "{:?}", reply.headers);
    let reply = stack.send(Call::post("/orders").header("x-forwarded-proto", "https")).await?;
    expect(&reply, 403, Some("https_required"))?;
    stack.envoy.ensure_no_crash().await?;

    // A trusted proxy's does.
    let trusting = https().envoy(|config| {
        config.manager()?["xff_num_trusted_hops"] = json!(1);
        Ok(())
    });
    let stack = trusting.start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let reply = stack.send(page().header("x-forwarded-for", "203.0.113.7").bearer(&login.token)).await?;
    expect(&reply, 200, None)?;
    ensure!(reply.header("strict-transport-security").is_some(), "{:?}", reply.headers);
    // A proxy that adds what it saw leaves what the client has said of himself, before it: in no order is that believed.
    for (scheme, status) in [("https,https", 200), ("http", 308), ("https,http", 403), ("http,https", 403)] {
        let page = Call::get("/orders").header("accept", "text/html").header("x-forwarded-proto", scheme);
        let reply = stack.send(page.header("x-forwarded-for", "203.0.113.7").bearer(&login.token)).await?;
        expect(&reply, status, None).with_context(|| scheme.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_is_refused_in_its_own_language() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    // UNAUTHENTICATED; UNIMPLEMENTED, where no rule is for it.
    for (path, status) in [("/orders/List", "16"), ("/nowhere.Service/List", "12")] {
        let call = Call::post(path).header("content-type", "application/grpc").header("te", "trailers");
        let reply = call.send(stack.address(), Http::V2).await?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text());
        ensure!(reply.header("grpc-status") == Some(status), "{path}: {:?}", reply.headers);
        ensure!(reply.header("grpc-message").is_some(), "{path}: {:?}", reply.headers);
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_tells_the_reason_and_the_rule() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    stack.send(Call::get("/orders/allowed").bearer(&login.token)).await?;
    stack.send(Call::get("/orders/missing")).await?;
    stack.send(Call::get("/orders/malformed").bearer("x")).await?;
    stack.send(Call::post("/orders/scope").bearer(&login.token)).await?;
    stack.send(Call::get("/in-no-rule")).await?;
    for (path, parts) in [
        ("/orders/allowed", &["decision=allow", "reason=token", "rule=orders-read"][..]),
        ("/orders/missing", &["decision=deny", "reason=credential_missing", "rule=orders-read"]),
        ("/orders/malformed", &["decision=deny", "reason=token_malformed", "rule=orders-read"]),
        ("/orders/scope", &["decision=deny", "reason=scope_insufficient", "rule=orders-write"]),
        ("/in-no-rule", &["decision=deny", "reason=no_rule", "rule=default"]),
    ] {
        let line = stack.access_log_of(path).await?;
        let text = line["session_gate"].as_str().with_context(|| format!("{path}: {line}"))?;
        for part in parts {
            ensure!(text.split(' ').any(|word| word == *part), "{path}: {text}");
        }
    }
    ensure!(!stack.envoy.output().contains(&login.token), "no token is logged");
    ensure!(!stack.sidecar.output().contains(&login.token), "no token is logged");
    stack.assert_still_serving().await
}
