//! What an upstream is told of its clients beside their ids: in values that every server reads alike, and never by a client.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::stack::Builder;
use session_gate_tests::upstream::header_values;
use session_gate_tests::{Call, Http, Stack};

fn with_more_headers() -> Builder {
    Stack::builder().filter(|filter| {
        let issuer = filter.pointer_mut("/issuers/0").and_then(Value::as_object_mut).context("an issuer")?;
        issuer.insert("opaque_tokens".to_owned(), json!(true));
        let headers = json!({
            "amr": "x-session-amr",
            "auth_time": "x-session-auth-time",
            "expires_at": "x-session-expires-at",
            "claims": [
                {"claim": "metadata.plan", "header": "x-plan"},
                {"claim": "metadata.name", "header": "x-name"},
                {"claim": "metadata.seats", "header": "x-seats"},
                {"claim": "metadata.trial", "header": "x-trial"},
                {"claim": "metadata.roles", "header": "x-roles"},
                {"claim": "metadata.empty", "header": "x-nothing"},
                {"claim": "metadata.missing", "header": "x-missing"},
            ],
        });
        filter.as_object_mut().context("sections")?.insert("upstream_headers".to_owned(), headers);
        Ok(())
    })
}

const NAMES: [&str; 10] = [
    "x-session-amr",
    "x-session-auth-time",
    "x-session-expires-at",
    "x-plan",
    "x-name",
    "x-seats",
    "x-trial",
    "x-roles",
    "x-nothing",
    "x-missing",
];

/// A login of whom no header could tell as it is.
async fn login(stack: &Stack, is_opaque: bool) -> Result<(String, Value)> {
    let body = json!({
        "user_id": "Zoë 100%", "scopes": ["read", "50%"], "amr": ["pwd", "otp"], "opaque": is_opaque,
        "token_metadata": {
            "plan": "gold", "name": "Zoë\r\nx-user-id: root", "seats": 7, "trial": false, "roles": ["a", "ë"], "empty": "",
        },
    });
    let reply = stack.ask_sidecar(Call::post("/v1/login").json(&body)).await?;
    ensure!(reply.status == 201, "{}", reply.text());
    Ok((reply.field("/token/token").context("a token")?, reply.json()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_how_and_until_when_a_user_is_logged_in_and_chosen_claims() -> Result<()> {
    let mut stack = with_more_headers().start().await?;
    stack.wait_until_it_serves().await?;
    for is_opaque in [false, true] {
        let (token, login) = login(&stack, is_opaque).await?;
        let ends = login["session"]["expires_at"].to_string();
        let begun = login["session"]["created_at"].to_string();
        // The second time from what the worker has kept.
        for http in [Http::V1, Http::V2, Http::V1] {
            let call = NAMES.iter().fold(Call::get("/orders"), |call, name| call.header(name, "forged"));
            let reply = call.bearer(&token).send(stack.address(), http).await?;
            ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
            let seen = reply.json()?;
            for (name, values) in [
                ("x-user-id", &["Zo%C3%AB 100%25"][..]),
                ("x-scopes", &["50%25 read"]),
                ("x-session-amr", &["pwd otp"]),
                ("x-session-auth-time", &[begun.as_str()]),
                ("x-session-expires-at", &[ends.as_str()]),
                ("x-plan", &["gold"]),
                ("x-name", &["Zo%C3%AB%0D%0Ax-user-id: root"]),
                ("x-seats", &["7"]),
                ("x-trial", &["false"]),
                ("x-roles", &["WyJhIiwiw6siXQ=="]),
                ("x-nothing", &[]),
                ("x-missing", &[]),
            ] {
                ensure!(header_values(&seen, name) == values, "opaque: {is_opaque}, {name}: {seen}");
            }
        }
    }
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_without_a_token_brings_none_of_it() -> Result<()> {
    let mut stack = with_more_headers()
        .routes(json!([
            {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
            {"name": "optional", "match": {"path": {"prefix": "/optional"}}, "authentication": "optional"},
        ]))
        .envoy(|config| {
            config.manager()?["common_http_protocol_options"]["headers_with_underscores_action"] = json!("ALLOW");
            Ok(())
        })
        .start()
        .await?;
    for path in ["/public", "/optional"] {
        for http in Http::ALL {
            let call = NAMES.iter().fold(Call::get(path), |call, name| {
                call.header(name, "forged")
                    .header(&name.replace('-', "_"), "forged")
                    .header(&name.to_uppercase(), "again")
            });
            let seen = call.send(stack.address(), http).await?.json()?;
            ensure!(!seen["headers"].to_string().contains("forged"), "{path}: {seen}");
            ensure!(!seen["headers"].to_string().contains("again"), "{path}: {seen}");
        }
    }
    stack.assert_still_serving().await
}

/// An upstream that is made for them believes no client where the gate does not send them.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_not_sent_is_no_clients_either() -> Result<()> {
    let mut stack = Stack::builder().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let names = ["x-session-amr", "x-session-auth-time", "x-session-expires-at", "x-session-status"];
    let call = names.iter().fold(Call::get("/orders").bearer(&login.token), |call, name| call.header(name, "forged"));
    let reply = stack.send(call).await?;
    ensure!(reply.status == 200, "{}", reply.text());
    ensure!(!reply.text().contains("forged"), "{}", reply.text());
    stack.assert_still_serving().await
}
