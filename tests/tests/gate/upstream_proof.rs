//! The proof that a request came through the gate, checked by the code of `docs/backends.md`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ring::hmac;
use serde_json::{Value, json};
use session_gate_tests::envoy::Config;
use session_gate_tests::poll::until;
use session_gate_tests::stack::Builder;
use session_gate_tests::upstream::header_values;
use session_gate_tests::{Call, Http, Stack, backend, documents, raw, tools};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request's headers as a backend's framework has them.
type Seen = BTreeMap<String, String>;

/// The configuration that the document gives the gate, and its secret.
fn documented() -> Result<(Value, String)> {
    let blocks = documents::blocks(&documents::read(backend::DOCUMENT)?, "json");
    let section: Value = serde_json::from_str(blocks.first().context("a configuration")?)?;
    let secret =
        section.pointer("/upstreams/orders/proof_keys/2026-11").and_then(Value::as_str).context("a secret")?.to_owned();
    Ok((section, secret))
}

/// The gate of the document, which says all that the document lists.
fn gate(section: &Value) -> Builder {
    let section = section.clone();
    Stack::builder()
        .routes(json!([
            {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public"},
            {"name": "optional", "match": {"path": {"prefix": "/optional"}}, "authentication": "optional"},
            {"name": "second", "match": {"path": {"prefix": "/second"}}, "accept_pending_2fa": true},
            {"name": "billing", "match": {"path": {"prefix": "/billing"}}, "upstream": "billing"},
            {"name": "orders", "match": {"path": {"prefix": "/orders"}}},
        ]))
        .filter(move |filter| {
            let filter = filter.as_object_mut().context("sections")?;
            filter.extend(section.as_object().cloned().context("sections")?);
            let upstreams = filter.get_mut("upstreams").and_then(Value::as_object_mut).context("upstreams")?;
            let billing = json!({"proof_keys": {"2026-11": "another-secret-of-32-characters-or-more"}});
            upstreams.insert("billing".to_owned(), billing);
            let headers = json!({
                "amr": "x-session-amr", "auth_time": "x-session-auth-time", "expires_at": "x-session-expires-at",
            });
            filter.insert("upstream_headers".to_owned(), headers);
            Ok(())
        })
}

/// Two of a name are joined as WSGI, ASGI and Node join them.
fn seen(request: &Value) -> Result<Seen> {
    let mut seen = Seen::new();
    for pair in request["headers"].as_array().context("headers")? {
        let (name, value) = (pair[0].as_str().context("a name")?, pair[1].as_str().context("a value")?);
        seen.entry(name.to_owned()).and_modify(|all| *all = format!("{all},{value}")).or_insert(value.to_owned());
    }
    Ok(seen)
}

async fn through(stack: &Stack, http: Http, path: &str, token: Option<&str>) -> Result<Seen> {
    let call = token.into_iter().fold(Call::get(path), Call::bearer);
    let reply = call.send(stack.address(), http).await?;
    ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text());
    seen(&reply.json()?)
}

fn proof_of(seen: &Seen) -> Result<&str> {
    seen.get("x-session-proof").map(String::as_str).context("no proof")
}

fn bucket_of(seen: &Seen) -> Result<u64> {
    Ok(proof_of(seen)?.split('.').next().context("a bucket")?.parse()?)
}

/// The case of these headers, checked in the middle of the proof's own bucket.
fn case(headers: &Seen) -> Result<Value> {
    Ok(json!({"headers": headers, "now": bucket_of(headers)? * 10 + 5}))
}

/// The case of these headers with one changed, or taken away.
fn altered(headers: &Seen, name: &str, value: Option<&str>) -> Result<Value> {
    let mut case = case(headers)?;
    let all = case.get_mut("headers").and_then(Value::as_object_mut).context("headers")?;
    match value {
        Some(value) => all.insert(name.to_owned(), json!(value)),
        None => all.remove(name),
    };
    Ok(case)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_check_accepts_what_comes_through_the_gate() -> Result<()> {
    let (section, secret) = documented()?;
    let mut stack = gate(&section).start().await?;
    let login = stack.login_with(json!({"user_id": "Zoë", "scopes": ["read", "write"], "amr": ["pwd"]})).await?;
    let pending = stack.login_with(json!({"user_id": "bob", "pending_2fa": true})).await?;
    let mut cases = Vec::new();
    for http in Http::ALL {
        for (path, token) in [
            ("/public", None),
            ("/public", Some(login.token.as_str())),
            ("/optional", None),
            ("/optional", Some(&login.token)),
            ("/orders", Some(&login.token)),
            ("/second", Some(&login.token)),
            ("/second", Some(&pending.token)),
        ] {
            // By the clocks of both: no more than ten seconds may lie between.
            let headers = through(&stack, http, path, token).await?;
            ensure!(backend::check(&secret, &json!([{ "headers": headers }]))? == [true], "{path}: {headers:?}");
            cases.push(case(&headers)?);
        }
    }
    // And whatever the client has sent under these names.
    for lines in [
        &[&b"X-Session-Proof: 1.2026-11.00"[..], b"X-User-Id: root"][..],
        &[b"x-session-proof: a", b"x-session-proof: b", b"X-Scopes: admin"],
        &[b"Connection: x-session-proof, x-user-id"],
        &[b"Connection: close, X-Session-Proof"],
        &[b"X-Session-Amr: otp", b"TE: trailers, x-session-proof"],
    ] {
        for authorization in ["X-None: none".to_owned(), format!("Authorization: Bearer {}", login.token)] {
            let lines: Vec<&[u8]> = lines.iter().copied().chain([authorization.as_bytes()]).collect();
            let reply = raw::get(stack.address(), b"/optional", &lines).await?;
            ensure!(reply.status == 200, "{}", reply.text);
            let (_, body) = reply.text.split_once("\r\n\r\n").context("a body")?;
            cases.push(case(&seen(&serde_json::from_str(body)?)?)?);
        }
    }
    let checked = backend::check(&secret, &json!(cases))?;
    ensure!(checked.len() == cases.len() && checked.iter().all(|good| *good), "{checked:?} {cases:#?}");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reaches_the_backend_past_the_gate_is_refused_with_a_proof_of_anything_else() -> Result<()> {
    let (section, secret) = documented()?;
    let mut stack = gate(&section).start().await?;
    let login = stack.login_with(json!({"user_id": "alice", "scopes": ["read"], "amr": ["pwd"]})).await?;
    let bob = stack.login("bob", &["read"]).await?;
    let pending = stack.login_with(json!({"user_id": "carol", "pending_2fa": true})).await?;
    let anonymous = through(&stack, Http::V1, "/public", None).await?;
    let alice = through(&stack, Http::V1, "/orders", Some(&login.token)).await?;
    let bob = through(&stack, Http::V1, "/orders", Some(&bob.token)).await?;
    let billing = through(&stack, Http::V1, "/billing", Some(&login.token)).await?;
    let pending = through(&stack, Http::V1, "/second", Some(&pending.token)).await?;
    let proof = proof_of(&alice)?;
    let (bucket, mac) = (bucket_of(&alice)?, proof.rsplit('.').next().context("a MAC")?);
    let at = |seconds: i64| -> Result<Value> {
        let now = i64::try_from(bucket)? * 10 + seconds;
        Ok(json!({"headers": alice, "now": now}))
    };
    let mut good = vec![case(&anonymous)?, case(&alice)?, case(&bob)?, case(&pending)?];
    // The bucket before and the one after.
    good.extend([at(-10)?, at(-1)?, at(0)?, at(9)?, at(10)?, at(19)?]);
    let mut bad = vec![
        // Not through the gate at all.
        json!({"headers": {}}),
        json!({"headers": {"x-user-id": "alice"}}),
        altered(&alice, "x-session-proof", Some(""))?,
        // A right proof, of something else.
        altered(&anonymous, "x-user-id", Some("alice"))?,
        altered(&anonymous, "x-user-id", Some(""))?,
        altered(&anonymous, "x-session-amr", Some("otp"))?,
        altered(&alice, "x-user-id", Some("bob"))?,
        altered(&alice, "x-user-id", Some("alice,alice"))?,
        altered(&alice, "x-user-id", None)?,
        altered(&alice, "x-scopes", Some("read admin"))?,
        altered(&alice, "x-scopes", None)?,
        altered(&alice, "x-session-amr", Some("pwd otp"))?,
        altered(&alice, "x-session-expires-at", Some("9999999999"))?,
        altered(&alice, "x-session-proof", Some(proof_of(&bob)?))?,
        altered(&alice, "x-session-proof", Some(proof_of(&anonymous)?))?,
        altered(&pending, "x-session-status", Some("active"))?,
        altered(&pending, "x-session-status", None)?,
        altered(&alice, "x-scopes", Some("read\nx-session-amr:3:pwd"))?,
        // Of another upstream, or by another key.
        case(&billing)?,
        altered(&alice, "x-session-proof", Some(&proof.replace(".2026-11.", ".2026-12.")))?,
        altered(&alice, "x-session-proof", Some(&proof.replace(".2026-11.", ".__proto__.")))?,
        // Its parts changed.
        altered(&alice, "x-session-proof", Some(&format!("{}.2026-11.{mac}", bucket + 1)))?,
        altered(&alice, "x-session-proof", Some(&format!("0{proof}")))?,
        altered(&alice, "x-session-proof", proof.get(..proof.len() - 1))?,
        altered(&alice, "x-session-proof", Some(&proof.to_uppercase()))?,
        altered(&alice, "x-session-proof", Some(&format!("{bucket}.2026-11.{}", "0".repeat(64))))?,
    ];
    // By the key that a backend has which was given none.
    let empty = hmac::Key::new(hmac::HMAC_SHA256, b"");
    let forged = hmac::sign(&empty, format!("session-gate-proof-v1\n{bucket}\norders\n").as_bytes());
    let forged: String = forged.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let proof = format!("{bucket}.2026-11.{forged}");
    bad.push(json!({"headers": {"x-session-proof": proof}, "now": bucket * 10, "keys": {"2026-11": ""}}));
    // Too old, and too new.
    bad.extend([at(-11)?, at(20)?, at(30)?, at(3600)?]);
    let checked = backend::check(&secret, &json!(good))?;
    ensure!(checked.iter().all(|accepted| *accepted), "{checked:?} {good:#?}");
    let checked = backend::check(&secret, &json!(bad))?;
    ensure!(checked.len() == bad.len(), "{checked:?}");
    for (accepted, case) in checked.iter().zip(&bad) {
        ensure!(!accepted, "{case:#}");
    }
    ensure!(billing.get("x-user-id") == alice.get("x-user-id") && proof_of(&billing)? != proof, "{billing:?}");
    stack.assert_still_serving().await
}

/// Sends a request with trailers, by HTTP/2 as the upstream speaks it, too.
async fn with_trailers(address: SocketAddr, trailers: &[(&'static str, &'static str)]) -> Result<Value> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let trailers = trailers.iter().map(|(name, value)| Ok((name.parse()?, value.parse()?)));
    let trailers = trailers.collect::<Result<HeaderMap>>()?;
    let (mut writer, body) = Channel::<Bytes, Infallible>::new(2);
    let request = Request::post(format!("http://{address}/public")).body(body)?;
    let answer = sender.send_request(request);
    writer.send_data(Bytes::from_static(b"body")).await?;
    writer.send_trailers(trailers).await?;
    drop(writer);
    let body = timeout(Duration::from_secs(20), answer).await??.into_body().collect().await?;
    Ok(serde_json::from_slice(&body.to_bytes())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn none_of_it_comes_as_a_trailer() -> Result<()> {
    let (section, secret) = documented()?;
    let speak = |config: &mut Config| config.speak_as_the_client_does("app");
    let mut stack = gate(&section).envoy(speak).start().await?;
    let trailers = [("x-session-proof", "x"), ("x-user-id", "root"), ("x-session-amr", "otp"), ("x-kept", "kept")];
    let request = with_trailers(stack.address(), &trailers).await?;
    ensure!(request["trailers"] == json!([["x-kept", "kept"]]), "{request}");
    let headers = seen(&request)?;
    ensure!(!headers.contains_key("x-user-id"), "{request}");
    ensure!(backend::check(&secret, &json!([case(&headers)?]))? == [true], "{request}");
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_proof_is_the_same_for_all_requests_of_a_token_and_changes_with_what_is_said() -> Result<()> {
    let (section, secret) = documented()?;
    let mut stack = gate(&section).start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let mut by_bucket: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for path in ["/orders", "/orders/1", "/orders/2?x=y"] {
        let headers = through(&stack, Http::V1, path, Some(&login.token)).await?;
        by_bucket.entry(bucket_of(&headers)?).or_default().push(proof_of(&headers)?.to_owned());
    }
    ensure!(by_bucket.values().all(|proofs| proofs.windows(2).all(|two| two[0] == two[1])), "{by_bucket:?}");
    // Its scopes change: so does what is proved, at once.
    let path = format!("/v1/sessions/{}", login.session_id);
    let call = Call::new(Method::PATCH, &path).json(&json!({"scopes": ["read", "admin"]}));
    let reply = stack.ask_sidecar(call).await?;
    ensure!(reply.status == 200, "{}", reply.text());
    until("the new scopes to be in force", async || {
        let headers = through(&stack, Http::V1, "/orders", Some(&login.token)).await?;
        ensure!(backend::check(&secret, &json!([case(&headers)?]))? == [true], "{headers:?}");
        ensure!(headers.get("x-scopes").map(String::as_str) == Some("admin read"), "{headers:?}");
        Ok(())
    })
    .await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_key_replaces_another_backends_with_either_accept() -> Result<()> {
    let (mut section, old) = documented()?;
    let new = "the-secret-that-takes-its-place-0123456789";
    section["upstreams"]["orders"]["proof_keys"]["2026-12"] = json!(new);
    let mut stack = gate(&section).start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let headers = through(&stack, Http::V1, "/orders", Some(&login.token)).await?;
    ensure!(proof_of(&headers)?.split(' ').count() == 2, "{headers:?}");
    let with = |keys: Value| -> Result<Value> {
        let mut case = case(&headers)?;
        case["keys"] = keys;
        Ok(case)
    };
    let cases = json!([
        with(json!({"2026-11": old}))?,
        with(json!({"2026-12": new}))?,
        with(json!({"2026-11": old, "2026-12": new}))?,
        with(json!({"2026-12": old}))?,
        with(json!({"2026-10": old}))?,
        with(json!({}))?,
    ]);
    ensure!(backend::check(&old, &cases)? == [true, true, true, false, false, false]);
    stack.assert_still_serving().await
}

#[test]
fn the_documented_vectors_are_what_the_documented_check_accepts() -> Result<()> {
    let document = documents::read(backend::DOCUMENT)?;
    let vectors: Vec<&str> = document
        .lines()
        .filter(|line| line.starts_with('|') && line.contains(".2026-11."))
        .filter_map(|line| line.split('`').rev().nth(1))
        .collect();
    let [anonymous, zoe] = vectors.as_slice() else { bail!("{vectors:?}") };
    let case = |proof: &str, headers: Value| {
        let mut headers = headers;
        headers["x-session-proof"] = json!(proof);
        json!({"headers": headers, "now": 1_800_000_007})
    };
    let said = json!({"x-scopes": "read write", "x-token-issuer": "session-gate", "x-user-id": "Zo%C3%AB"});
    let cases =
        json!([case(anonymous, json!({})), case(zoe, said.clone()), case(anonymous, said), case(zoe, json!({})),]);
    ensure!(backend::check("a-secret-of-32-characters-or-more", &cases)? == [true, true, false, false]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_said_by_the_check_of_a_configuration_nor_by_envoy() -> Result<()> {
    let (section, secret) = documented()?;
    let mut stack = gate(&section).start().await?;
    let good = stack.dir().join("good.yaml");
    std::fs::write(&good, stack.config().render()?)?;
    let bad = stack.dir().join("bad.yaml");
    let mut config = stack.config().clone();
    config.filter()["upstream"] = json!("nobody");
    config.filter()["upstreams"]["orders"]["proof_keys"]["2026-11"] = json!([secret.clone()]);
    std::fs::write(&bad, config.render()?)?;
    for (file, is_good) in [(good, true), (bad, false)] {
        let check = std::process::Command::new(tools::sidecar()?).args(["filter", "check"]).arg(&file).output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
        ensure!(check.status.success() == is_good, "{said}");
        ensure!(is_good || said.contains("upstreams.orders.proof_keys.2026-11"), "{said}");
        ensure!(!said.contains(&secret), "{said}");
    }
    let seen = stack.send(Call::get("/public")).await?.json()?;
    ensure!(header_values(&seen, "x-session-proof").len() == 1, "{seen}");
    stack.assert_still_serving().await
}
