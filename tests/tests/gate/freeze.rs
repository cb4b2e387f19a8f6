//! The sidecar that an Envoy follows is frozen, and sessions are ended through another replica.

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::json;
use session_gate_tests::poll::until;
use session_gate_tests::{Call, Http, Stack, Store};

use crate::feed::served_alone;
use crate::login_story::expect;

/// A rule for each failure mode.
const DENY: &str = "/deny";
const LAST_KNOWN: &str = "/last-known";
const BRIEFLY: &str = "/briefly";
const ALLOW: &str = "/allow";

async fn gate() -> Result<Stack> {
    let route = |path: &str, mode: serde_json::Value| json!({"name": path.trim_start_matches('/'), "match": {"path": {"exact": path}}, "failure_mode": mode});
    let routes = json!([
        route(ALLOW, json!("allow")),
        route(LAST_KNOWN, json!({"last_known": "1h"})),
        route(BRIEFLY, json!({"last_known": "2s"})),
        route(DENY, json!("deny")),
    ]);
    Stack::builder().store(Store::Redis).routes(routes).start().await
}

async fn answer(stack: &Stack, path: &str, token: &str, status: u16, code: Option<&str>) -> Result<()> {
    expect(&stack.send(Call::get(path).bearer(token)).await?, status, code)
}

async fn answer_in_the_end(stack: &Stack, path: &str, token: &str, status: u16, code: Option<&str>) -> Result<()> {
    until(&format!("{path} to answer {status}"), async || answer(stack, path, token, status, code).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_sidecar_is_frozen_each_rule_answers_as_its_failure_mode_says() -> Result<()> {
    let mut stack = gate().await?;
    let replica = stack.another_sidecar().await?;
    let live = served_alone(&stack).await?;
    let [known, unknown, receipted] =
        [stack.login("bob", &[]).await?, stack.login("bob", &[]).await?, stack.login("bob", &[]).await?];
    for path in [DENY, LAST_KNOWN, BRIEFLY, ALLOW] {
        for login in [&live, &known, &unknown, &receipted] {
            answer(&stack, path, &login.token, 200, None).await?;
        }
    }
    let end = |id: &str, query: &str| Call::new(Method::DELETE, &format!("/v1/sessions/{id}{query}"));
    let reply = stack.ask_sidecar(end(&known.session_id, "?wait=applied")).await?;
    ensure!(reply.json()? == json!({"applied": true, "pending": []}), "{}", reply.text());

    stack.sidecar.pause()?;
    let reply = end(&unknown.session_id, "").send(replica.address(), Http::V1).await?;
    expect(&reply, 204, None)?;
    answer_in_the_end(&stack, DENY, &unknown.token, 503, Some("store_unavailable")).await?;
    let refused = stack.send(Call::get(DENY).bearer(&live.token)).await?;
    expect(&refused, 503, Some("store_unavailable"))?;
    ensure!(refused.header("retry-after").is_some(), "a 503 says when to try again: {:?}", refused.headers);
    answer(&stack, LAST_KNOWN, &live.token, 200, None).await?;
    answer(&stack, ALLOW, &live.token, 200, None).await?;
    for path in [DENY, LAST_KNOWN, BRIEFLY, ALLOW] {
        answer(&stack, path, &known.token, 401, Some("session_terminated")).await?;
    }
    // Once the other replica says that nobody trusts what they knew, that is so.
    let reply = end(&receipted.session_id, "?wait=applied").send(replica.address(), Http::V1).await?;
    ensure!(reply.json()? == json!({"applied": true, "pending": []}), "{}", reply.text());
    answer(&stack, DENY, &receipted.token, 503, Some("store_unavailable")).await?;
    answer_in_the_end(&stack, BRIEFLY, &live.token, 503, Some("store_unavailable")).await?;

    stack.sidecar.resume()?;
    for path in [DENY, LAST_KNOWN, BRIEFLY, ALLOW] {
        answer_in_the_end(&stack, path, &live.token, 200, None).await?;
        for login in [&known, &unknown, &receipted] {
            answer_in_the_end(&stack, path, &login.token, 401, Some("session_terminated")).await?;
        }
    }
    stack.assert_still_serving().await
}
