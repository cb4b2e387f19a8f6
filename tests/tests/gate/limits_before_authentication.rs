//! Limits that a request must meet before its token is looked at.

use anyhow::{Context as _, Result};
use serde_json::json;
use session_gate_tests::forge::{EcKey, Parts, Signer as _};
use session_gate_tests::{Call, Store};

use crate::limits::{expect_counted, expect_denied, expect_logged, gate_of};
use crate::login_story::expect;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forged_tokens_is_refused_unseen_and_others_are_served() -> Result<()> {
    for store in Store::ALL {
        let limit = json!({"tries": {"requests": 5, "window": 60, "key": [{"header": "x-client"}]}});
        let gate = gate_of(
            limit,
            &json!([{"name": "open", "match": {"path": {"prefix": "/open"}},
            "rate_limit_before_authentication": []}]),
        );
        let gate = gate.filter(|filter| {
            let filter = filter.as_object_mut().context("an object")?;
            filter.insert("rate_limit_before_authentication".to_owned(), json!(["tries"]));
            Ok(())
        });
        let mut stack = gate.store(store).start().await?;
        let login = stack.login("alice", &["read"]).await?;
        let call = |path: &str, client: &str, token: &str| Call::get(path).bearer(token).header("x-client", client);
        for _ in 0..5 {
            let reply = stack.send(call("/flood", "mallory", &forged(&login.token)?)).await?;
            expect(&reply, 401, Some("token_signature_invalid"))?;
        }
        let denied = stack.send(call("/flood/denied", "mallory", &forged(&login.token)?)).await?;
        expect_denied(&denied, "tries", 5)?;
        expect_logged(&stack, "/flood/denied", &["decision=deny", "reason=rate_limited", "limit=tries"]).await?;
        let good = stack.send(call("/flood", "mallory", &login.token)).await?;
        expect_denied(&good, "tries", 5).context("a good token, which nobody has looked at")?;
        expect_counted(&stack, "limit.tries.denied", 2).await?;
        expect(&stack.send(call("/flood", "alice", &login.token)).await?, 200, None)?;
        let open = stack.send(call("/open", "mallory", &login.token)).await?;
        expect(&open, 200, None).context("a route that has no such limit")?;
        let nobody = stack.send(Call::get("/flood").header("x-client", "mallory")).await?;
        expect(&nobody, 401, Some("credential_missing")).context("without a token there is nothing to look at")?;
        stack.assert_still_serving().await?;
    }
    Ok(())
}

/// A token of that form which another key has signed.
fn forged(token: &str) -> Result<String> {
    let parts = Parts::of(token)?;
    EcKey::generate()?.token(&parts.header, &parts.claims)
}
