//! What else can be taken back through the feed: other issuers' tokens, clients and users, scopes, and
//! opaque tokens.

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use session_gate_tests::forge::{EcKey, Parts, Signer as _};
use session_gate_tests::poll::until;
use session_gate_tests::stack::Login;
use session_gate_tests::upstream::header_values;
use session_gate_tests::{Call, Http, Reply, Stack, Store};
use tokio::task::JoinSet;

use crate::feed::{asked, served_alone};
use crate::login_story::expect;

/// Tells the sidecar, and waits until every worker knows.
async fn tell(stack: &Stack, method: Method, path: &str, body: Option<Value>) -> Result<Reply> {
    let call = Call::new(method, &format!("{path}?wait=applied"));
    let reply = stack.ask_sidecar(body.iter().fold(call, |call, body| call.json(body))).await?;
    ensure!((200..300).contains(&reply.status), "{path} answers {}: {}", reply.status, reply.text());
    Ok(reply)
}

async fn get(stack: &Stack, path: &str, token: &str) -> Result<Reply> {
    stack.send(Call::get(path).bearer(token)).await
}

/// A gate that accepts the tokens of an identity provider, too, and opaque ones.
async fn start(store: Store, idp: &EcKey) -> Result<Stack> {
    let mut jwk = idp.jwk();
    jwk.as_object_mut().context("a key")?.insert("kid".to_owned(), json!("idp-1"));
    let routes = json!([
        {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
        {"name": "write", "match": {"path": {"prefix": "/write"}}, "scopes": {"all": ["write"]}},
        {"name": "session", "match": {"path": {"prefix": "/session"}}, "require_session": true},
    ]);
    let builder = Stack::builder().store(store).routes(routes).filter(move |filter| {
        let issuers = filter.get_mut("issuers").and_then(Value::as_array_mut).context("issuers")?;
        let own = issuers.first_mut().and_then(Value::as_object_mut).context("the sidecar's own")?;
        own.insert("opaque_tokens".to_owned(), json!(true));
        issuers.push(json!({"issuer": "https://idp", "audiences": ["app"], "jwks": {"inline": {"keys": [jwk]}}}));
        Ok(())
    });
    builder.start().await
}

/// A token of the identity provider, issued when that of the sidecar's was.
fn foreign(idp: &EcKey, own: &Login, subject: &str, jti: &str, tenant: &str) -> Result<String> {
    let now = Parts::of(&own.token)?.claims.get("iat").and_then(Value::as_u64).context("iat")?;
    let claims = json!({
        "iss": "https://idp", "aud": "app", "sub": subject, "jti": jti, "tenant": tenant, "iat": now, "exp": now + 600,
    });
    idp.token(&json!({"alg": "ES256", "kid": "idp-1"}), &claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_issuer_are_revoked_by_what_they_say_and_asked_about_never() -> Result<()> {
    for store in Store::ALL {
        let idp = EcKey::generate()?;
        let mut stack = start(store, &idp).await?;
        let own = served_alone(&stack).await?;
        let tokens = [("bob", "f1", "acme"), ("bob", "f2", "acme"), ("eve", "f3", "acme"), ("kim", "f4", "other")];
        let tokens: Vec<String> =
            tokens.into_iter().map(|(s, j, t)| foreign(&idp, &own, s, j, t)).collect::<Result<_>>()?;
        let statuses = async |stack: &Stack| -> Result<Vec<u16>> {
            let mut statuses = Vec::new();
            for token in &tokens {
                statuses.push(get(stack, "/orders", token).await?.status);
            }
            Ok(statuses)
        };
        let before = asked(&stack).await?;
        assert_eq!(statuses(&stack).await?, [200, 200, 200, 200]);
        let revoke = |what: Value| {
            let mut body = json!({"iss": "https://idp", "duration": 600});
            body.as_object_mut().into_iter().zip(what.as_object()).for_each(|(body, what)| body.extend(what.clone()));
            body
        };
        tell(&stack, Method::POST, "/v1/revocations", Some(revoke(json!({"jti": "f1"})))).await?;
        assert_eq!(statuses(&stack).await?, [401, 200, 200, 200]);
        tell(&stack, Method::POST, "/v1/revocations", Some(revoke(json!({"sub": "bob"})))).await?;
        assert_eq!(statuses(&stack).await?, [401, 401, 200, 200]);
        let rule =
            tell(&stack, Method::POST, "/v1/revocations", Some(revoke(json!({"claims": {"tenant": "acme"}})))).await?;
        assert_eq!(statuses(&stack).await?, [401, 401, 401, 200]);
        expect(&get(&stack, "/orders", tokens.last().context("a token")?).await?, 200, None)?;
        let path = format!("/v1/revocations/{}", rule.field("/rule_id").context("an id")?);
        tell(&stack, Method::DELETE, &path, None).await?;
        assert_eq!(statuses(&stack).await?, [401, 401, 200, 200]);
        assert_eq!(asked(&stack).await?, before, "nobody was asked");
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_users_on_the_block_list_are_refused_everywhere() -> Result<()> {
    let idp = EcKey::generate()?;
    let mut stack = start(Store::Redis, &idp).await?;
    let alice = served_alone(&stack).await?;
    let foreign_alice = foreign(&idp, &alice, "alice", "f1", "acme")?;
    let block = async |what: Value| tell(&stack, Method::POST, "/v1/blocks", Some(what)).await;
    let unblock = async |reply: Reply| {
        let path = format!("/v1/blocks/{}", reply.field("/rule_id").context("an id")?);
        tell(&stack, Method::DELETE, &path, None).await
    };

    let user = block(json!({"user_id": "alice", "note": "fraud"})).await?;
    for token in [&alice.token, &foreign_alice] {
        expect(&get(&stack, "/orders", token).await?, 403, Some("blocked"))?;
    }
    assert_eq!(stack.send(Call::get("/public")).await?.status, 200, "who it is nobody knows there");
    unblock(user).await?;
    expect(&get(&stack, "/orders", &alice.token).await?, 200, None)?;

    block(json!({"user_agent": "sqlmap", "duration": 600})).await?;
    let scanner = stack.send(Call::get("/public").header("user-agent", "SQLMap/1.8")).await?;
    expect(&scanner, 403, Some("blocked"))?;
    assert_eq!(stack.send(Call::get("/public").header("user-agent", "curl/8")).await?.status, 200);

    block(json!({"address": "203.0.113.0/24"})).await?;
    let forged = [("x-forwarded-for", "203.0.113.7"), ("x-real-ip", "203.0.113.7"), ("forwarded", "for=203.0.113.7")];
    let forged = forged.into_iter().fold(Call::get("/public"), |call, (name, value)| call.header(name, value));
    assert_eq!(stack.send(forged).await?.status, 200, "an address is none that a client can choose");
    let home = block(json!({"address": "127.0.0.1"})).await?;
    expect(&stack.send(Call::get("/public")).await?, 403, Some("blocked"))?;
    expect(&get(&stack, "/orders", &alice.token).await?, 403, Some("blocked"))?;
    unblock(home).await?;
    expect(&stack.send(Call::get("/public")).await?, 200, None)?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_change_without_a_new_login() -> Result<()> {
    for store in Store::ALL {
        let mut stack = start(store, &EcKey::generate()?).await?;
        let alice = served_alone(&stack).await?;
        let session = format!("/v1/sessions/{}", alice.session_id);
        let before = asked(&stack).await?;
        expect(&get(&stack, "/write", &alice.token).await?, 403, Some("scope_insufficient"))?;
        tell(&stack, Method::PATCH, &session, Some(json!({"scopes": ["read", "write"]}))).await?;
        expect(&get(&stack, "/write/granted", &alice.token).await?, 200, None)?;
        let seen = stack.upstream.seen();
        let granted = seen.iter().find(|request| request.get("path") == Some(&json!("/write/granted")));
        assert_eq!(header_values(granted.context("it came")?, "x-scopes"), ["read write"]);
        tell(&stack, Method::PATCH, &session, Some(json!({"scopes": ["read"]}))).await?;
        expect(&get(&stack, "/write", &alice.token).await?, 403, Some("scope_insufficient"))?;
        assert_eq!(asked(&stack).await?, before, "nobody was asked");
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_costs_one_question_and_ends_like_any_other() -> Result<()> {
    for store in Store::ALL {
        let mut stack = start(store, &EcKey::generate()?).await?;
        served_alone(&stack).await?;
        let login = json!({"user_id": "bob", "scopes": ["write"], "opaque": true});
        let bob = stack.login_with(login).await?;
        ensure!(bob.token.starts_with("sgt_"), "no opaque token");
        let mut burst = JoinSet::new();
        for _ in 0..50 {
            let (call, gate) = (Call::get("/write").bearer(&bob.token), stack.address());
            burst.spawn(async move { call.send(gate, Http::V1).await });
        }
        while let Some(reply) = burst.join_next().await {
            expect(&reply??, 200, None)?;
        }
        let before = asked(&stack).await?;
        expect(&get(&stack, "/write", &bob.token).await?, 200, None)?;
        assert_eq!(asked(&stack).await?, before, "it is known now");
        tell(&stack, Method::DELETE, &format!("/v1/sessions/{}", bob.session_id), None).await?;
        expect(&get(&stack, "/write", &bob.token).await?, 401, Some("session_terminated"))?;
        let unknown = format!("sgt_AAAAAA.{}", "A".repeat(43));
        expect(&get(&stack, "/write", &unknown).await?, 401, Some("token_unknown"))?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_issuers_user_needs_a_session_where_the_route_says_so() -> Result<()> {
    for store in Store::ALL {
        let idp = EcKey::generate()?;
        let mut stack = start(store, &idp).await?;
        let own = served_alone(&stack).await?;
        let token = foreign(&idp, &own, "carol", "f1", "acme")?;
        expect(&get(&stack, "/orders", &token).await?, 200, None)?;
        expect(&get(&stack, "/session", &token).await?, 401, Some("session_unknown"))?;
        let session = stack.login("carol", &[]).await?.session_id;
        expect(&get(&stack, "/session/mine", &token).await?, 200, None)?;
        let seen = stack.upstream.seen();
        let mine = seen.iter().find(|request| request.get("path") == Some(&json!("/session/mine")));
        assert_eq!(header_values(mine.context("it came")?, "x-session-id"), [session.as_str()]);
        tell(&stack, Method::DELETE, &format!("/v1/sessions/{session}"), None).await?;
        until("the session to be missed", async || {
            expect(&get(&stack, "/session", &token).await?, 401, Some("session_unknown"))
        })
        .await?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}
