//! Guessing passwords is slowed down, and nobody locks an account's owner out.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use session_gate_tests::upstream::{REPLY_HEADER, REPLY_STATUS, header_values};
use session_gate_tests::{Builder, Call, Http, Reply, Stack, Store, documents, envoy::Config};

use crate::login_story::expect;

const COOKIE: &str = "__Host-session-gate";
const DEVICE: &str = "__Host-session-gate-d";

/// Envoy takes the client's address from the last `X-Forwarded-For`.
fn counting() -> Builder {
    let commands = json!({"allow": ["login", "login_failed", "logout", "password_changed"]});
    Stack::builder()
        .routes(json!([
            {
                "name": "login", "match": {"path": {"exact": "/login"}}, "authentication": "public",
                "session_commands": commands,
            },
            {
                "name": "basic", "match": {"path": {"exact": "/basic"}}, "authentication": "public",
                "session_commands": {"allow": ["login", "login_failed"], "account_from": "basic"},
            },
            {
                "name": "body", "match": {"path": {"exact": "/body"}}, "authentication": "public",
                "session_commands": {
                    "allow": ["login", "login_failed"],
                    "account_from": {"metadata": {"namespace": "session-gate", "key": "account"}},
                },
            },
            {
                "name": "careless", "match": {"path": {"exact": "/careless"}}, "authentication": "public",
                "session_commands": {"allow": ["login"]},
            },
        ]))
        .envoy(|config| {
            config.manager()?["xff_num_trusted_hops"] = json!(1);
            read_bodies(config)
        })
}

/// As the document has it: the login's body is read by filters of Envoy's.
fn read_bodies(config: &mut Config) -> Result<()> {
    let blocks = documents::blocks(&documents::read("session-commands.md")?, "yml");
    let [filters, routes] = <[String; 2]>::try_from(blocks).map_err(|found| anyhow!("two blocks: {found:?}"))?;
    config.put_before_gate(&filters)?;
    let enabled = "{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}";
    let both = format!("login-form: {enabled}\n    login-json: {enabled}");
    config.put_routes_first(&routes.replace("/login", "/body").replace(&format!("login-form: {enabled}"), &both))
}

/// A login form that is sent from that address.
fn form(address: &str) -> Call {
    Call::post("/login").header("sec-fetch-site", "same-origin").header("x-forwarded-for", address)
}

/// A wrong guess: the application refuses it.
fn wrong(address: &str, account: &str) -> Call {
    form(address).header(REPLY_STATUS, "401").header(REPLY_HEADER, format!("x-session-login-failed: \"{account}\""))
}

/// A right one: the application logs in, and sends the browser on.
fn right(address: &str, user: &str) -> Call {
    form(address)
        .header(REPLY_STATUS, "303")
        .header(REPLY_HEADER, "location: /app")
        .header(REPLY_HEADER, "set-cookie: theirs=1")
        .header(REPLY_HEADER, format!("x-session-login: \"{user}\""))
}

fn with_cookies(call: Call, cookies: &[(&str, &str)]) -> Call {
    let line: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    call.header("cookie", line.join("; "))
}

/// The cookies that an answer sets.
fn set_cookies(reply: &Reply) -> Vec<&str> {
    reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()).collect()
}

/// What an answer has a browser keep under that name.
fn kept(reply: &Reply, name: &str) -> Result<String> {
    let start = format!("{name}=");
    let lines = set_cookies(reply);
    let value = lines.iter().find_map(|line| line.strip_prefix(&start)).and_then(|rest| rest.split(';').next());
    value.map(str::to_owned).with_context(|| format!("{} sets no {name}: {lines:?} {}", reply.status, reply.text()))
}

/// What of an answer must not tell a right guess from a wrong one. The second may have changed between two.
fn visible(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let hidden = ["date", "x-request-id", "retry-after"];
    let headers = reply.headers.iter().filter(|(name, _)| !hidden.contains(&name.as_str()));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    (reply.status, headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(), reply.text())
}

fn retry_after(reply: &Reply) -> Result<u64> {
    Ok(reply.header("retry-after").context("a time to come again")?.parse()?)
}

/// The replies to all of these, sent at once.
async fn at_once(calls: impl Iterator<Item = (SocketAddr, Call)>) -> Result<Vec<Reply>> {
    let sent = calls.map(|(gate, call)| tokio::spawn(async move { call.send(gate, Http::V1).await }));
    let mut replies = Vec::new();
    for reply in sent.collect::<Vec<_>>() {
        replies.push(reply.await??);
    }
    Ok(replies)
}

/// Locks it, from five addresses.
async fn lock(stack: &Stack, account: &str) -> Result<()> {
    for number in 1..=5 {
        let reply = stack.send(wrong(&format!("198.51.100.{number}"), account)).await?;
        expect(&reply, 401, None)?;
        ensure!(reply.header("x-session-login-failed").is_none());
    }
    Ok(())
}

/// Cases L2 and L11. Two gates, and two sidecars on one Redis.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_guesses_at_once_five_count() -> Result<()> {
    for store in Store::ALL {
        let mut stack = counting().store(store).concurrency(2).start().await?;
        let replica = if store == Store::Redis { Some(stack.another_sidecar().await?) } else { None };
        let port = replica.as_ref().map(|replica| replica.address().port());
        let other = match port {
            Some(port) => {
                stack.another_envoy_with(|config| config.set_cluster_port("session-gate-sidecar", port)).await?
            }
            None => stack.another_envoy().await?,
        };
        stack.wait_until_it_serves().await?;
        let gates = [stack.address(), other.address()];
        let guesses = (0..200_usize).map(|number| {
            let address = format!("203.0.113.{number}");
            // The password that is right is among them.
            let call = if number == 120 { right(&address, "alice") } else { wrong(&address, "alice") };
            (gates[number % 2], call)
        });
        let replies = at_once(guesses).await?;
        let failed = replies.iter().filter(|reply| reply.status == 401).count();
        let logged_in = replies.iter().filter(|reply| reply.status == 303).count();
        let locked = replies.iter().filter(|reply| reply.status == 429).count();
        assert_eq!(failed + logged_in + locked, 200, "{store:?}");
        // The right one may be among the first, and begins the count anew.
        assert!(logged_in <= 1 && failed <= 5 + 4 * logged_in, "{store:?}: {failed} {logged_in}");
        // From here on it is locked, on both.
        for gate in gates {
            let failed = wrong("192.0.2.9", "alice").send(gate, Http::V1).await?;
            let guessed = right("192.0.2.9", "alice").send(gate, Http::V1).await?;
            expect(&guessed, 429, Some("login_locked"))?;
            assert!(set_cookies(&guessed).is_empty() && guessed.header("location").is_none());
            assert_eq!(visible(&failed), visible(&guessed), "{store:?}: to the byte");
            assert!(retry_after(&failed)?.abs_diff(retry_after(&guessed)?) <= 1);
        }
        let live = stack.ask_sidecar(Call::get("/v1/users/alice/sessions")).await?.json()?;
        assert_eq!(live["sessions"].as_array().map(Vec::len), Some(logged_in), "no session is made: {live}");
        drop(other);
        stack.assert_still_serving().await?;
    }
    Ok(())
}

/// Nothing tells whether an account exists; and a page load gets a page.
#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_locked_all_answers_are_the_same() -> Result<()> {
    let mut stack = counting().start().await?;
    lock(&stack, "alice").await?;
    lock(&stack, "zed").await?;
    let page = |call: Call| call.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
    for dress in [|call: Call| call, page] {
        let replies = [
            stack.send(dress(right("192.0.2.1", "alice"))).await?,
            stack.send(dress(wrong("192.0.2.1", "ALICE "))).await?,
            stack.send(dress(wrong("192.0.2.1", "zed"))).await?,
            stack.send(dress(right("192.0.2.1", "zed"))).await?,
        ];
        for reply in &replies {
            assert_eq!(reply.status, 429, "{}", reply.text());
            let (status, headers, _) = visible(reply);
            assert_eq!((status, &headers), (429, &visible(&replies[0]).1));
            assert!((1..=60).contains(&retry_after(reply)?));
        }
        // A page may say the seconds.
        let without_digits = |reply: &Reply| reply.text().replace(|c: char| c.is_ascii_digit(), "");
        assert!(replies.iter().all(|reply| without_digits(reply) == without_digits(&replies[0])));
    }
    let html = stack.send(page(right("192.0.2.1", "alice"))).await?;
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    // A password reset, or a call, lifts it.
    let reset = form("192.0.2.1").header(REPLY_HEADER, "x-session-password-changed: \"alice\"");
    expect(&stack.send(reset).await?, 200, None)?;
    expect(&stack.send(right("192.0.2.1", "alice")).await?, 303, None)?;
    let lifted = Call::new(hyper::Method::DELETE, "/v1/lockouts/zed");
    expect(&stack.ask_sidecar(lifted).await?, 204, None)?;
    expect(&stack.send(right("192.0.2.1", "zed")).await?, 303, None)?;
    stack.assert_still_serving().await
}

/// Where the request names the account, its application need not compare a password while that is locked.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_a_locked_account_does_not_reach_its_application() -> Result<()> {
    let mut stack = counting().store(Store::Redis).start().await?;
    let basic = |address: &str, says: &str| {
        Call::post("/basic")
            .header("sec-fetch-site", "same-origin")
            .header("x-forwarded-for", address)
            .header("authorization", "Basic YWxpY2U6eA==")
            .header(REPLY_HEADER, says)
    };
    let upstream = async |stack: &Stack| -> Result<u64> {
        let counters = stack.envoy.admin().stats("cluster.app.upstream_rq_total$").await?;
        Ok(counters.values().sum())
    };
    let (failed, login) = ("x-session-login-failed: \"alice\"", "x-session-login: \"alice\"");
    let own = stack.send(basic("192.0.2.7", login)).await?;
    expect(&own, 200, None)?;
    let device = kept(&own, DEVICE)?;
    for number in 0..5 {
        expect(&stack.send(basic(&format!("198.51.100.{number}"), failed)).await?, 200, None)?;
    }
    let before = upstream(&stack).await?;
    ensure!(before >= 6, "{before}");
    for says in [failed, login] {
        let refused = stack.send(basic("192.0.2.1", says)).await?;
        expect(&refused, 429, Some("login_locked"))?;
        ensure!((1..=60).contains(&retry_after(&refused)?) && set_cookies(&refused).is_empty());
    }
    assert_eq!(upstream(&stack).await?, before, "the application has seen none of them");
    let known = with_cookies(basic("192.0.2.1", login), &[(DEVICE, &device)]);
    expect(&stack.send(known).await?, 200, None)?;
    // Without a sidecar to ask, the application sees it; what counts is decided by its answer.
    stack.sidecar.kill().await?;
    expect(&stack.send(basic("192.0.2.1", login)).await?, 503, Some("store_unavailable"))?;
    assert_eq!(upstream(&stack).await?, before + 2);
    Ok(())
}

/// A form or a JSON body names it, which filters of Envoy's read.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_account_in_a_form_or_a_json_body_does_not_reach_its_application() -> Result<()> {
    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json; charset=utf-8";
    let mut stack = counting().start().await?;
    let posted = |kind: &str, body: &str| {
        let call = Call::post("/body").header("sec-fetch-site", "same-origin").header("x-forwarded-for", "192.0.2.1");
        let call = call.header("content-type", kind).header(REPLY_STATUS, "401");
        call.header(REPLY_HEADER, "x-session-login-failed: %\"J%c3%bcrg a\"").body(body.as_bytes().to_vec())
    };
    let named = [
        (FORM, "password=x&user=J%c3%bcrg+a"),
        ("Application/X-WWW-Form-Urlencoded;charset=utf-8", "us%65r=%20j%C3%BCrg%20a&next=/"),
        (JSON, "{\"password\": \"x\", \"user\": \"JÜRG a\"}"),
    ];
    let unnamed = [
        (FORM, "user=x&user=J%c3%bcrg+a"),
        (FORM, "username=J%c3%bcrg+a"),
        (FORM, ""),
        (JSON, "{\"user\": 7, \"user"),
        ("text/plain", "user=J%c3%bcrg+a"),
    ];
    for (kind, body) in named.iter().chain(&named).take(5) {
        let reply = stack.send(posted(kind, body)).await?;
        expect(&reply, 401, None)?;
    }
    let upstream = async |stack: &Stack| -> Result<u64> {
        let counters = stack.envoy.admin().stats("cluster.app.upstream_rq_total$").await?;
        Ok(counters.values().sum())
    };
    let before = upstream(&stack).await?;
    for (kind, body) in named {
        expect(&stack.send(posted(kind, body)).await?, 429, Some("login_locked"))?;
    }
    assert_eq!(upstream(&stack).await?, before, "the application has seen none of them");
    for (number, (kind, body)) in unnamed.into_iter().enumerate() {
        expect(&stack.send(posted(kind, body)).await?, 429, Some("login_locked"))?;
        assert_eq!(upstream(&stack).await?, before + number as u64 + 1, "{body}: its answer names the account");
    }
    let seen = stack.upstream.seen();
    let bytes = seen.last().and_then(|request| request.get("body_bytes"));
    assert_eq!(bytes, Some(&json!("user=J%c3%bcrg+a".len())), "as it was sent");
    let long = format!("user={}", "a".repeat(2 << 20));
    expect(&stack.send(posted(FORM, &long)).await?, 413, None)?;
    stack.assert_still_serving().await
}

/// Cases L3, L4 and L5, on two sidecars.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_logs_in_on_a_known_device_while_a_thousand_addresses_attack() -> Result<()> {
    let mut stack = counting().store(Store::Redis).start().await?;
    let replica = stack.another_sidecar().await?;
    let port = replica.address().port();
    let other = stack.another_envoy_with(|config| config.set_cluster_port("session-gate-sidecar", port)).await?;
    stack.wait_until_it_serves().await?;
    let first = stack.send(right("192.0.2.1", "alice")).await?;
    let device = kept(&first, DEVICE)?;
    let line = set_cookies(&first).into_iter().find(|line| line.starts_with(DEVICE)).map(str::to_owned);
    let attributes = "; Path=/; Max-Age=15552000; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(line.as_deref(), Some(&*format!("{DEVICE}={device}{attributes}")));
    assert!(set_cookies(&first).contains(&"theirs=1"), "the application's own stays");
    let bobs = kept(&stack.send(right("192.0.2.2", "bob")).await?, DEVICE)?;

    let gates = [stack.address(), other.address()];
    let mut counted = 0;
    for batch in 0..20_usize {
        let attacks =
            (0..50_usize).map(|number| (gates[number % 2], wrong(&format!("10.{batch}.0.{number}"), "alice")));
        for reply in at_once(attacks).await? {
            assert!(reply.status == 401 || reply.status == 429, "{}", reply.status);
            counted += u32::from(reply.status == 401);
        }
    }
    assert_eq!(counted, 5, "within a minute: the first lock");
    let refused = stack.send(right("192.0.2.1", "alice")).await?;
    expect(&refused, 429, Some("login_locked"))?;
    for not_hers in [bobs.as_str(), "sgd_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "garbage"] {
        let call = with_cookies(right("192.0.2.1", "alice"), &[(DEVICE, not_hers)]);
        assert_eq!(visible(&stack.send(call).await?), visible(&refused), "as without it");
    }
    // Nor does it hide the real one.
    let beside =
        [(DEVICE, "x"), (DEVICE, "sgd_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), (DEVICE, device.as_str())];
    expect(&stack.send(with_cookies(right("192.0.2.1", "alice"), &beside)).await?, 303, None)?;
    let by_device = with_cookies(right("192.0.2.1", "alice"), &[(DEVICE, &device)]);
    // A form that is sent again and again before the first answer is there; the browser drops all answers but the last.
    for reply in at_once((0..20_usize).map(|number| (gates[number % 2], by_device.clone()))).await? {
        expect(&reply, 303, None)?;
    }
    let owner = by_device.clone().send(other.address(), Http::V1).await?;
    expect(&owner, 303, None)?;
    let (token, next) = (kept(&owner, COOKIE)?, kept(&owner, DEVICE)?);
    assert_ne!(next, device);
    // It was replaced, but the answer may have been lost: it is known until a successor is shown.
    expect(&stack.send(by_device).await?, 303, None)?;

    // It is no credential, nobody behind the gate sees it, and it survives the logout.
    let as_session = Call::get("/orders/7").header("cookie", format!("{COOKIE}={next}"));
    assert_eq!(stack.send(as_session).await?.status, 401);
    let call = with_cookies(Call::get("/orders/7"), &[("a", "1"), (DEVICE, &next), (COOKIE, &token), ("b", "2")]);
    let seen = stack.send(call).await?.json()?;
    assert_eq!(header_values(&seen, "cookie"), ["a=1; b=2"]);
    let logout = with_cookies(form("192.0.2.1"), &[(DEVICE, &next), (COOKIE, &token)]);
    let gone = stack.send(logout.header(REPLY_HEADER, "x-session-logout: current")).await?;
    expect(&gone, 200, None)?;
    assert!(set_cookies(&gone).iter().all(|line| !line.starts_with(DEVICE)), "{:?}", set_cookies(&gone));

    // A stolen one is good for five wrong guesses, and leaves other devices alone.
    for number in 1..=6 {
        let call = with_cookies(wrong("203.0.113.1", "alice"), &[(DEVICE, &next)]);
        let expected = if number <= 5 { 401 } else { 429 };
        assert_eq!(stack.send(call).await?.status, expected, "{number}");
    }
    stack.assert_still_serving().await
}

/// Cases L9 and L10.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_locked_for_logins_and_nothing_else() -> Result<()> {
    let mut stack = counting().store(Store::Redis).start().await?;
    stack.wait_until_it_serves().await?;
    let own = stack.send(right("203.0.113.7", "mallory")).await?;
    let (token, device) = (kept(&own, COOKIE)?, kept(&own, DEVICE)?);
    for number in 0..50 {
        expect(&stack.send(wrong("203.0.113.7", &format!("user-{number}"))).await?, 401, None)?;
    }
    // What a client says of itself before the proxy's word counts for nothing.
    expect(&stack.send(right("192.0.2.1, 203.0.113.7", "mallory")).await?, 429, Some("login_locked"))?;
    expect(&stack.send(right("203.0.113.8", "carol")).await?, 303, None)?;
    let live =
        stack.send(with_cookies(Call::get("/orders/7").header("x-forwarded-for", "203.0.113.7"), &[(COOKIE, &token)]));
    expect(&live.await?, 200, None)?;
    let known = with_cookies(right("203.0.113.7", "mallory"), &[(DEVICE, &device)]);
    expect(&stack.send(known).await?, 303, None)?;
    let another = with_cookies(right("203.0.113.7", "carol"), &[(DEVICE, &device)]);
    expect(&stack.send(another).await?, 429, Some("login_locked"))?;
    stack.assert_still_serving().await
}

/// Case L12, and the routes and moments where nothing counts.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_count_locks_nobody_and_what_cannot_be_counted_is_not_let_through() -> Result<()> {
    let mut stack = counting().store(Store::Redis).start().await?;
    stack.wait_until_it_serves().await?;
    for _ in 0..8 {
        let careless = Call::post("/careless").header("sec-fetch-site", "same-origin");
        let reply = stack.send(careless.header(REPLY_HEADER, "x-session-login-failed: \"alice\"")).await?;
        expect(&reply, 200, None)?;
        assert_eq!(reply.header("x-session-login-failed"), None, "it is taken out");
        let foreign =
            Call::post("/login").header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
        let reply = stack.send(foreign.header(REPLY_HEADER, "x-session-login-failed: \"alice\"")).await?;
        expect(&reply, 403, Some("csrf_refused"))?;
        expect(&stack.send(form("192.0.2.1").header(REPLY_STATUS, "500")).await?, 500, None)?;
        expect(&stack.send(form("192.0.2.1").header(REPLY_STATUS, "422")).await?, 422, None)?;
        expect(&stack.send(wrong("192.0.2.1", "")).await?, 401, None)?;
    }
    let state = stack.ask_sidecar(Call::get("/v1/lockouts/alice")).await?.json()?;
    assert_eq!(state, json!({"locked": false, "failures": 0}));
    let redis = stack.redis.as_ref().context("a Redis")?;
    redis.pause()?;
    for call in [wrong("192.0.2.1", "alice"), right("192.0.2.1", "alice")] {
        let reply = stack.send(call).await?;
        expect(&reply, 503, Some("store_unavailable"))?;
        assert!(set_cookies(&reply).is_empty() && reply.header("location").is_none());
    }
    redis.resume()?;
    let log = stack.access_log_of("/careless").await?;
    let said = log.get("session_gate").and_then(Value::as_str).unwrap_or_default();
    assert!(!said.contains("command="), "{log}");
    stack.assert_still_serving().await
}
