//! Methods that a request asks a framework for in place of its own, in every spelling: none reaches the upstream past the
//! rule for that method.

use anyhow::{Context as _, Result};
use serde_json::json;
use session_gate_tests::{Call, Http, Stack};

use crate::login_story::expect;

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_override_steps_around_the_rule_for_its_method() -> Result<()> {
    let stack = Stack::builder().routes(json!([
        {"name": "remove", "match": {"methods": ["DELETE"], "path": {"prefix": "/baskets"}}},
        {"name": "rest", "match": {"path": {"prefix": "/baskets"}}, "authentication": "public"},
    ]));
    let mut stack = stack.start().await?;
    for http in Http::ALL {
        let post = |query: &str| Call::post(&format!("/baskets/7{query}"));
        expect(&post("?a=1").send(stack.address(), http).await?, 200, None)?;
        for header in ["x-http-method-override", "x-http-method", "x-method-override", "X-HTTP-Method-Override"] {
            for value in ["DELETE", "DELETE, POST", "DELETE,", "POST, delete", "delete ;q=1", " ,\tDelete"] {
                let reply = post("").header(header, value.as_bytes()).send(stack.address(), http).await?;
                expect(&reply, 400, Some("path_ambiguous")).with_context(|| format!("{header}: {value}"))?;
            }
            let twice = post("").header(header, b"POST").header(header, b"DELETE");
            expect(&twice.send(stack.address(), http).await?, 400, Some("path_ambiguous"))?;
        }
        for name in [
            "_method",
            "%5Fmethod",
            "+_method",
            "%20_method",
            "_method%00",
            "_method[]",
            "_method[0]",
            "_method%5B%5D",
            "a;_method",
            "_method=POST&_method",
            "X-HTTP-Method-Override",
        ] {
            let reply = post(&format!("?{name}=DELETE")).send(stack.address(), http).await?;
            expect(&reply, 400, Some("path_ambiguous")).context(name)?;
        }
    }
    stack.assert_still_serving().await
}
