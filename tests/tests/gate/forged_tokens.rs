//! Tokens that are good but for one thing. Each is made from a token that the gate accepts, and
//! signed with the sidecar's own key unless the signature is what is wrong.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use session_gate_tests::forge::{EcKey, HmacKey, Parts, RsaKey, Signer, Unsigned, base64url, now};
use session_gate_tests::{Call, Http, Stack};

/// What is wrong, the token, and the code of the refusal.
type Case = (String, String, &'static str);

fn case(what: impl Into<String>, token: Result<String>, code: &'static str) -> Result<Case> {
    Ok((what.into(), token?, code))
}

/// Sends each token over both protocols; none may reach the upstream.
async fn refuse_all(stack: &Stack, cases: &[Case]) -> Result<()> {
    let before = stack.upstream.seen().len();
    for (what, token, code) in cases {
        for http in Http::ALL {
            let reply = Call::get("/orders/forged").bearer(token).send(stack.address(), http).await?;
            ensure!(reply.status == 401, "{what}: the answer is {}: {}", reply.status, reply.text());
            ensure!(reply.code().as_deref() == Some(*code), "{what}: not {code} but {:?}", reply.code());
            let challenge = reply.header("www-authenticate").unwrap_or_default();
            ensure!(challenge.contains("error=\"invalid_token\""), "{what}: the challenge is {challenge:?}");
        }
    }
    ensure!(stack.upstream.seen().len() == before, "a refused request has reached the upstream");
    Ok(())
}

/// A running stack, a good token's parts, and the key that signed it.
async fn start() -> Result<(Stack, Parts, EcKey)> {
    let stack = Stack::builder().start().await?;
    let login = stack.login("alice", &["read"]).await?;
    let good = Parts::of(&login.token)?;
    let key = EcKey::read(stack.sidecar.key_file())?;
    // The control: whatever is refused below is refused for what is wrong with it.
    let resigned = key.token(&good.header, &good.claims)?;
    let reply = stack.send(Call::get("/orders/control").bearer(&resigned)).await?;
    ensure!(reply.status == 200, "a good token signed anew is answered with {}: {}", reply.status, reply.text());
    Ok((stack, good, key))
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_wrong() -> Result<()> {
    let (mut stack, good, key) = start().await?;
    let now = now();
    let mut cases = Vec::new();
    for (what, name, value, code) in [
        ("expired a second ago", "exp", json!(now - 1), "token_expired"),
        ("expired long ago", "exp", json!(0), "token_expired"),
        ("expired before 1970", "exp", json!(-1), "token_expired"),
        ("no expiry", "exp", Value::Null, "token_claim_unusable"),
        ("an expiry that is text", "exp", json!((now + 600).to_string()), "token_malformed"),
        ("not valid yet", "nbf", json!(now + 600), "token_not_yet_valid"),
        ("a fraction of a second in the far future", "nbf", json!(4_102_444_800.5), "token_not_yet_valid"),
        ("a beginning that is text", "nbf", json!("now"), "token_malformed"),
        ("another issuer", "iss", json!("https://issuer.example"), "token_issuer_unknown"),
        ("the issuer with a slash", "iss", json!("session-gate/"), "token_issuer_unknown"),
        ("no issuer", "iss", Value::Null, "token_issuer_unknown"),
        ("an issuer that is a list", "iss", json!(["session-gate"]), "token_malformed"),
        ("another audience", "aud", json!("somebody-else"), "token_audience_refused"),
        ("other audiences", "aud", json!(["a", "b"]), "token_audience_refused"),
        ("no audience", "aud", Value::Null, "token_audience_refused"),
        ("no subject", "sub", Value::Null, "token_claim_unusable"),
        ("an empty subject", "sub", json!(""), "token_claim_unusable"),
        ("a subject that splits a header", "sub", json!("alice\r\nx-user-id: root"), "token_claim_unusable"),
        ("a subject with a line feed", "sub", json!("alice\n"), "token_claim_unusable"),
        ("a subject with a null", "sub", json!("alice\u{0}"), "token_claim_unusable"),
        ("a subject that is a number", "sub", json!(7), "token_malformed"),
        ("a session that splits a header", "sid", json!("s\r\nx: y"), "token_claim_unusable"),
        ("a token id that splits a header", "jti", json!("t\r\nx: y"), "token_claim_unusable"),
    ] {
        cases.push(case(what, key.token(&good.header, &good.with_claim(name, value)), code)?);
    }
    let twice = good.claims.to_string().replacen('{', r#"{"sub":"root","#, 1);
    cases.push(case("a subject twice", key.token_of_text(&good.header.to_string(), &twice), "token_malformed")?);
    for (what, text) in [
        ("no JSON", "alice"),
        ("a list", "[]"),
        ("text", "\"alice\""),
        ("a trailing comma", "{\"iss\":\"session-gate\",}"),
    ] {
        cases.push(case(what, key.token_of_text(&good.header.to_string(), text), "token_malformed")?);
    }
    refuse_all(&stack, &cases).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_wrong() -> Result<()> {
    let (mut stack, good, key) = start().await?;
    let own = EcKey::generate()?;
    let mut cases = Vec::new();
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header = good.with_header("alg", json!(algorithm));
        cases.push(case(
            format!("alg {algorithm:?}, unsigned"),
            Unsigned.token(&header, &good.claims),
            "token_algorithm_refused",
        )?);
        cases.push(case(
            format!("alg {algorithm:?}, signed"),
            key.token(&header, &good.claims),
            "token_algorithm_refused",
        )?);
    }
    for algorithm in ["ES384", "RS256", "PS256", "HS256", "EdDSA", "es256", "ES256K"] {
        let token = key.token(&good.with_header("alg", json!(algorithm)), &good.claims);
        cases.push(case(format!("alg {algorithm}"), token, "token_algorithm_refused")?);
    }
    for (what, name, value, code) in [
        ("no algorithm", "alg", Value::Null, "token_malformed"),
        ("a key that nobody knows", "kid", json!("nobody"), "token_key_unknown"),
        ("a key id that is a path", "kid", json!("../../../../dev/null"), "token_key_unknown"),
        ("a key id that is a number", "kid", json!(1), "token_malformed"),
        ("an extension that must be understood", "crit", json!(["exp"]), "token_malformed"),
        ("an unencoded payload", "crit", json!(["b64"]), "token_malformed"),
        ("a logout token", "typ", json!("logout+jwt"), "token_type_refused"),
        ("a DPoP proof", "typ", json!("dpop+jwt"), "token_type_refused"),
        ("a token within the token", "cty", json!("JWT"), "token_type_refused"),
    ] {
        cases.push(case(what, key.token(&good.with_header(name, value), &good.claims), code)?);
    }
    // Keys that the token brings along, or says where to find.
    for (name, value) in [
        ("jwk", own.jwk()),
        ("jku", json!("http://127.0.0.1:1/keys")),
        ("x5u", json!("http://127.0.0.1:1/certificate")),
        ("x5c", json!(["MIIB"])),
    ] {
        let token = own.token(&good.with_header(name, value), &good.claims);
        cases.push(case(format!("its own key by {name}"), token, "token_signature_invalid")?);
    }
    refuse_all(&stack, &cases).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_are_wrong() -> Result<()> {
    let (mut stack, good, key) = start().await?;
    let token = key.token(&good.header, &good.claims)?;
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let claims = base64url(good.with_claim("sub", json!("root")).to_string());
    let raw = Parts::of(&token)?.signature;
    let flipped: Vec<u8> = raw.iter().enumerate().map(|(i, byte)| if i == 40 { byte ^ 1 } else { *byte }).collect();
    let swapped = [raw[32..].to_vec(), raw[..32].to_vec()].concat();
    let with = |bytes: &[u8]| Ok(format!("{input}.{}", base64url(bytes)));
    let cases = [
        case("another's key", EcKey::generate()?.token(&good.header, &good.claims), "token_signature_invalid")?,
        case(
            "other claims under a good signature",
            Ok(format!("{header}.{claims}.{signature}")),
            "token_signature_invalid",
        )?,
        case("a bit flipped", with(&flipped), "token_signature_invalid")?,
        case("r and s swapped", with(&swapped), "token_signature_invalid")?,
        case("all zero", with(&[0; 64]), "token_signature_invalid")?,
        case("a byte short", with(&raw[..63]), "token_signature_invalid")?,
        case("a byte long", with(&[raw.as_slice(), &[0]].concat()), "token_signature_invalid")?,
        case("in DER", with(&der(&raw)), "token_signature_invalid")?,
        case("the same, base64 padded", Ok(format!("{token}==")), "token_malformed")?,
        case("the same, with bits that no byte needs", Ok(with_stray_bits(&token)), "token_malformed")?,
        case(
            "an HMAC with the public point as its secret",
            {
                let secret = key.jwk().to_string().into_bytes();
                HmacKey(secret).token(&good.with_header("alg", json!("HS256")), &good.claims)
            },
            "token_algorithm_refused",
        )?,
    ];
    refuse_all(&stack, &cases).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_no_tokens() -> Result<()> {
    let (mut stack, good, key) = start().await?;
    let token = key.token(&good.header, &good.claims)?;
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = input.split_once('.').unwrap();
    let large = |bytes: usize| key.token(&good.header, &good.with_claim("filler", json!("x".repeat(bytes))));
    let nested = key.token(&good.header, &json!(token));
    let deep = format!("{}{}", "[".repeat(2500), "]".repeat(2500));
    let mut cases = vec![
        case("longer than allowed", large(7000), "token_too_large")?,
        case("much longer than allowed", large(30_000), "token_too_large")?,
        case("a token as the payload", nested, "token_malformed")?,
        case(
            "five parts, as an encrypted token has",
            Ok(format!("{header}.{claims}.{claims}.{claims}.{signature}")),
            "token_malformed",
        )?,
        case("nesting without end", key.token_of_text(&good.header.to_string(), &deep), "token_malformed")?,
        case("a header of nothing", Ok(format!(".{claims}.{signature}")), "token_malformed")?,
        case("claims of nothing", Ok(format!("{header}..{signature}")), "token_malformed")?,
        case("a signature of nothing", Ok(format!("{input}.")), "token_malformed")?,
        case("two parts", Ok(input.to_owned()), "token_malformed")?,
        case("four parts", Ok(format!("{token}.{signature}")), "token_malformed")?,
        case("a dot before", Ok(format!(".{token}")), "token_malformed")?,
        case("a dot after", Ok(format!("{token}.")), "token_malformed")?,
    ];
    for text in ["x", ".", "..", "...", "a.b.c", "e30.e30.e30", "null", "%00", "{}", "=", "Bearer"] {
        cases.push(case(format!("{text:?}"), Ok(text.to_owned()), "token_malformed")?);
    }
    for (what, text) in
        [("a blank within", token.replacen('.', ". ", 1)), ("the other alphabet", token.replacen('.', "+.", 1))]
    {
        cases.push(case(what, Ok(text), "token_malformed")?);
    }
    refuse_all(&stack, &cases).await?;
    stack.assert_still_serving().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_rsa_key_is_no_hmac_secret() -> Result<()> {
    let rsa = RsaKey::generate()?;
    let jwk = rsa.jwk("partner-1");
    let mut stack = Stack::builder()
        .filter(move |filter| {
            let partner = json!({"issuer": "partner", "audiences": ["gate"], "jwks": {"inline": {"keys": [jwk]}}});
            filter["issuers"].as_array_mut().unwrap().push(partner);
            Ok(())
        })
        .start()
        .await?;
    let header = |algorithm: &str| json!({"alg": algorithm, "typ": "JWT", "kid": "partner-1"});
    let claims = json!({"iss": "partner", "aud": "gate", "sub": "alice", "exp": now() + 600, "scope": "read"});
    let reply = stack.send(Call::get("/orders").bearer(&rsa.token(&header("RS256"), &claims)?)).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());

    let mut cases = Vec::new();
    for (form, secret) in rsa.public_forms()? {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let token = HmacKey(secret.clone()).token(&header(algorithm), &claims);
            cases.push(case(format!("{algorithm} with {form}"), token, "token_algorithm_refused")?);
        }
        // The key's own algorithm, and an HMAC where its signature should be.
        let token = HmacKey(secret).token(&header("RS256"), &claims);
        cases.push(case(format!("RS256 with an HMAC with {form}"), token, "token_signature_invalid")?);
    }
    // One issuer's key is no other issuer's.
    let good = Parts::of(&stack.login("alice", &["read"]).await?.token)?;
    let token = rsa.token(&header("RS256"), &good.claims);
    cases.push(case("a partner's key for the sidecar's issuer", token, "token_key_unknown")?);
    refuse_all(&stack, &cases).await?;
    stack.assert_still_serving().await
}

/// `r` and `s` as X.509 has them.
fn der(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = bytes.first().filter(|first| **first >= 0x80).map(|_| 0);
        let content: Vec<u8> = sign.into_iter().chain(bytes).collect();
        [vec![2, u8::try_from(content.len()).unwrap_or_default()], content].concat()
    };
    let (r, s) = raw.split_at(raw.len() / 2);
    let content = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(content.len()).unwrap_or_default()], content].concat()
}

/// The same bytes by another text: 64 bytes leave four bits of the last character unused.
fn with_stray_bits(token: &str) -> String {
    let mut text = token.to_owned();
    let last = match text.pop() {
        Some('A') => 'B',
        Some('Q') => 'R',
        Some('g') => 'h',
        _ => 'x',
    };
    text.push(last);
    text
}
