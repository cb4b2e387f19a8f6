//! Wycheproof's vectors get one verdict on every path: natively, in the wasm build, and from Envoy.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_gate_jose::{NoHostCrypto, VerifyingKey};
use session_gate_tests::envoy::{Config, Envoy};
use session_gate_tests::{tools, vectors};

#[test]
fn every_vector_gets_its_verdict_natively() -> Result<()> {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let (mut good, mut bad) = (0, 0);
    for group in vectors::groups()? {
        let key = VerifyingKey::from_jwk(&group.jwk, &[]).ok();
        for case in group.cases {
            let (text, signature) = (decode(&case.text), decode(&case.signature));
            let verdict = key.as_ref().is_some_and(|key| key.verify(&text, &signature, &NoHostCrypto));
            assert!(case.good.is_none_or(|good| good == verdict), "{} {}: {verdict}", group.name, case.id);
            if verdict { good += 1 } else { bad += 1 }
        }
    }
    // The vectors are there, of both kinds: a file that went missing would not fail otherwise.
    assert!(good > 1000 && bad > 3000, "{good} good, {bad} bad");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_vector_gets_the_same_verdict_in_the_wasm_build_and_from_envoy() -> Result<()> {
    let groups = vectors::groups()?;
    let expected: usize = groups.iter().map(|group| group.cases.len()).sum();
    let dir = tempfile::tempdir()?;
    let mut config = Config::example()?;
    config.use_free_ports()?;
    config.set_module(&tools::vectors_plugin()?)?;
    *config.filter() = serde_json::to_value(&groups)?;
    let mut envoy = Envoy::start(&config, 1, dir.path()).await?;
    // Two VMs stay, the main thread's and the worker's; a third, the canary, has counted and gone.
    let counted = envoy.admin().stats("^wasmcustom.vectors").await?;
    let count = |name: &str| counted.get(&format!("wasmcustom.vectors.{name}")).copied().context("no such counter");
    let checked = count("checked")?;
    assert_eq!(checked % u64::try_from(expected)?, 0);
    assert!(checked >= 2 * u64::try_from(expected)?, "{checked} of {expected}");
    assert_eq!(count("wrong")?, 0, "{}", envoy.output());
    envoy.ensure_no_crash().await
}
