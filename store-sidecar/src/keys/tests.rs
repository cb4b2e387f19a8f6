use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde_json::{Value, json};
use session_gate_protocol::{Claims, DenyReason, JwkSet, Metadata, UnixSeconds};

use super::{signer::TOKEN_TYP, *};
use crate::rng::testing::SeededRandom;

const SECRET: &str = "a secret that is long enough for each of HS256, HS384 and HS512...";
const ISSUER: &str = "session-gate";

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/keys/testdata").join(name)
}

fn files(names: &[&str], algorithm: Option<Algorithm>) -> KeySource {
    let files = names.iter().map(|name| testdata(name)).collect();
    KeySource { signing: Signing::Files { files, algorithm }, previous_secret: None }
}

fn secret(algorithm: Algorithm) -> KeySource {
    KeySource { signing: Signing::Secret { secret: SecretString::from(SECRET), algorithm }, previous_secret: None }
}

fn load(source: &KeySource) -> KeyRing {
    source.load(&SeededRandom::default()).unwrap()
}

fn claims() -> Claims {
    Claims {
        iss: ISSUER.to_owned(),
        sub: "alice".parse().unwrap(),
        aud: session_gate_protocol::Audience::One("api".to_owned()),
        exp: UnixSeconds(2000),
        nbf: UnixSeconds(1000),
        iat: UnixSeconds(1000),
        jti: "token-1".parse().unwrap(),
        generation: 0,
        session_exp: None,
        sid: None,
        scope: "read".to_owned(),
        auth_time: None,
        amr: Vec::new(),
        idle: None,
        pending_2fa: false,
        narrowed: false,
        renewal: None,
        ip_hash: None,
        ua_hash: None,
        metadata: Metadata::new(),
    }
}

/// One source for each algorithm.
fn every_source() -> Vec<(Algorithm, KeySource)> {
    Algorithm::ALL
        .into_iter()
        .map(|algorithm| match algorithm.key_type() {
            KeyType::Ed25519 => (algorithm, files(&["ed25519.pem"], None)),
            KeyType::Hmac => (algorithm, secret(algorithm)),
            KeyType::P256 => (algorithm, files(&["p256.pem"], None)),
            KeyType::P384 => (algorithm, files(&["p384.pem"], None)),
            KeyType::Rsa => (algorithm, files(&["rsa-2048.pem"], Some(algorithm))),
        })
        .collect()
}

#[test]
fn a_token_of_each_algorithm_round_trips_and_has_the_length_foretold() {
    for (algorithm, source) in every_source() {
        let ring = load(&source);
        assert_eq!(ring.signing().algorithm(), algorithm);
        let token = ring.mint(&claims()).unwrap();
        assert_eq!(token.len(), ring.minted_bytes(&claims()).unwrap(), "{algorithm}");
        assert_eq!(ring.verify(&token, ISSUER, "api").unwrap().claims(), &claims(), "{algorithm}");
    }
}

#[test]
fn the_filters_verifier_accepts_the_tokens_with_the_keys_that_it_is_given() {
    use session_gate_jose::{self as jose, KeySet, NoHostCrypto};
    for (algorithm, source) in every_source() {
        let ring = load(&source);
        let token = ring.mint(&claims()).unwrap();
        let unverified = jose::parse(&token).unwrap();
        let keys = KeySet::strict(&ring.verification_keys(), &[]).unwrap();
        assert_eq!(keys.verify(&unverified, &NoHostCrypto), Ok(()), "{algorithm}");
        let read = jose::TokenClaims::read(&unverified.payload().unwrap(), "scope").unwrap();
        assert_eq!((read.subject, read.token_id.as_deref()), (claims().sub, Some("token-1")));
    }
}

#[test]
fn no_ring_accepts_the_token_of_another_and_no_bit_can_change() {
    let rings: Vec<KeyRing> = every_source().iter().map(|(_, source)| load(source)).collect();
    for (i, ring) in rings.iter().enumerate() {
        let token = ring.mint(&claims()).unwrap();
        for (j, other) in rings.iter().enumerate() {
            assert_eq!(other.verify(&token, ISSUER, "api").is_ok(), i == j, "{i} {j}");
        }
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(ring.verify(&changed, ISSUER, "api").is_err(), "{at}");
        }
    }
}

#[test]
fn every_other_spelling_of_a_token_is_refused() {
    let ring = load(&files(&["p256.pem"], None));
    let token = ring.mint(&claims()).unwrap();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}\n.{signature}"),
        token.replace('.', ".."),
        "a".repeat(verify::MAX_VERIFIED_BYTES + 1),
    ] {
        assert!(ring.verify(&bad, ISSUER, "api").is_err(), "{bad:?}");
    }
}

#[test]
fn a_good_signature_does_not_make_up_for_a_bad_header_or_payload() {
    use jwt_simple::prelude::{ECDSAP256KeyPairLike as _, ES256KeyPair, HeaderOptions, KeyMetadata};
    let ring = load(&files(&["p256.pem"], None));
    let kid = ring.signing().id().as_str();
    let payload = serde_json::to_value(claims()).unwrap();
    let verify = |payload: &Value| ring.verify(&ring.signing().sign(payload).unwrap(), ISSUER, "api");
    assert!(verify(&payload).is_ok());
    for (member, value, reason) in [
        ("iss", json!("other"), DenyReason::TokenIssuerUnknown),
        ("aud", json!("other"), DenyReason::TokenAudienceRefused),
        ("aud", json!(["other", "another"]), DenyReason::TokenAudienceRefused),
        ("sub", json!(""), DenyReason::TokenClaimUnusable),
        ("exp", json!(-1), DenyReason::TokenClaimUnusable),
        ("exp", json!(1.5), DenyReason::TokenClaimUnusable),
        ("exp", Value::Null, DenyReason::TokenClaimUnusable),
        ("jti", json!("a b"), DenyReason::TokenClaimUnusable),
        ("sid", json!("not a session id"), DenyReason::TokenClaimUnusable),
    ] {
        let mut payload = payload.clone();
        payload[member] = value;
        assert_eq!(verify(&payload), Err(reason), "{member}");
    }
    // Headers that this service does not write, signed with its key all the same.
    let pem = fs::read_to_string(testdata("p256.pem")).unwrap();
    let pair = |kid: &str| ES256KeyPair::from_pem(&pem).unwrap().with_key_id(kid);
    let signed = |pair: &ES256KeyPair, typ: &str, cty: Option<&str>| {
        let options = HeaderOptions { signature_type: Some(typ.to_owned()), content_type: cty.map(str::to_owned) };
        let claims = jwt_simple::prelude::Claims::with_custom_claims(&payload, Default::default());
        let claims =
            jwt_simple::prelude::JWTClaims { issued_at: None, expires_at: None, invalid_before: None, ..claims };
        ring.verify(&pair.sign_with_options(claims, &options).unwrap(), ISSUER, "api").map(drop)
    };
    assert_eq!(signed(&pair(kid), TOKEN_TYP, None), Ok(()));
    assert_eq!(signed(&pair("other"), TOKEN_TYP, None), Err(DenyReason::TokenKeyUnknown));
    assert_eq!(signed(&pair(kid), "logout+jwt", None), Err(DenyReason::TokenTypeRefused));
    assert_eq!(signed(&pair(kid), TOKEN_TYP, Some("JWT")), Err(DenyReason::TokenTypeRefused));
    // A key in the header is not looked at: it is not taken from there, and does no harm.
    let mut key_in_header = pair(kid);
    key_in_header.attach_metadata(KeyMetadata::default().with_public_key("{}")).unwrap();
    assert_eq!(signed(&key_in_header, TOKEN_TYP, None), Ok(()));
    // And a shared secret does not verify what claims to be another's signature.
    let secret = load(&secret(Algorithm::Hs256));
    assert!(ring.verify(&secret.mint(&claims()).unwrap(), ISSUER, "api").is_err());
}

#[test]
fn claims_are_in_force_from_nbf_until_just_before_exp() {
    let ring = load(&secret(Algorithm::Hs256));
    let verified = ring.verify(&ring.mint(&claims()).unwrap(), ISSUER, "api").unwrap();
    let none = std::time::Duration::ZERO;
    let leeway = std::time::Duration::from_secs(10);
    for (now, without, with) in [
        (989, false, false),
        (990, false, true),
        (999, false, true),
        (1000, true, true),
        (1999, true, true),
        (2000, false, true),
        (2009, false, true),
        (2010, false, false),
    ] {
        assert_eq!(verified.in_force(UnixSeconds(now), none), without, "{now}");
        assert_eq!(verified.in_force(UnixSeconds(now), leeway), with, "{now}");
    }
}

#[test]
fn keys_in_files_agree_with_the_rfcs() {
    let p256 = load(&files(&["p256.pem"], None));
    // RFC 7515, appendix A.3.
    let jwk = p256.signing().public_jwk().unwrap();
    assert_eq!(jwk.x.as_deref(), Some("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"));
    assert_eq!(jwk.y.as_deref(), Some("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"));
    // RFC 8037, appendix A.3.
    let ed25519 = load(&files(&["ed25519.pem"], None));
    assert_eq!(ed25519.signing().id().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    // The same key in both forms.
    let (pkcs8, pkcs1) = (load(&files(&["rsa-2048.pem"], None)), load(&files(&["rsa-2048-pkcs1.pem"], None)));
    assert_eq!(pkcs8.signing().id(), pkcs1.signing().id());
    // And in the form that was generated up to 0.1, with the public key beside the private one (RFC 5958).
    let v2 = load(&files(&["ed25519-v2.pem"], None));
    assert_eq!(v2.signing().algorithm(), Algorithm::EdDsa);
}

#[test]
fn a_token_with_the_id_that_a_secret_had_before_is_still_accepted() {
    use jwt_simple::prelude::{Claims, HS256Key, HeaderOptions, JWTClaims, MACLike as _};
    let ring = load(&secret(Algorithm::Hs256));
    let ids: Vec<_> = ring.verification_keys().keys.into_iter().filter_map(|key| key.kid).collect();
    let [now, before] = &ids[..] else { panic!("{ids:?}") };
    assert_eq!(now, ring.signing().id().as_str());
    let claims = Claims::with_custom_claims(claims(), Default::default());
    let claims = JWTClaims { issued_at: None, expires_at: None, invalid_before: None, ..claims };
    let options = HeaderOptions { signature_type: Some(TOKEN_TYP.to_owned()), content_type: None };
    let old = HS256Key::from_bytes(SECRET.as_bytes()).with_key_id(before);
    let old = old.authenticate_with_options(claims, &options).unwrap();
    assert!(ring.verify(&old, ISSUER, "api").is_ok());
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    for (name, algorithm, expected) in [
        ("rsa-1024.pem", None, "is too small: an RSA key needs at least 2048 bits"),
        ("ed25519-v2-other.pem", None, "public part"),
        ("p521.pem", None, "is neither an RSA, P-256, P-384 nor Ed25519 key"),
        ("p256-sec1.pem", None, "openssl pkcs8 -topk8 -nocrypt"),
        ("encrypted.pem", None, "an encrypted one must be decrypted first"),
        ("README.md", None, "has no private key in PEM form"),
        ("absent.pem", None, "entity not found"),
        ("p256.pem", Some(Algorithm::Es384), "is a P-256 key, but ES384 needs a P-384 key"),
        ("rsa-2048.pem", Some(Algorithm::EdDsa), "is an RSA key, but EdDSA needs an Ed25519 key"),
    ] {
        let problems = files(&[name], algorithm).problems();
        assert_eq!(problems.len(), 1, "{name}");
        let text = problems[0].problem.to_string();
        assert!(text.contains(expected) && text.contains(name), "{text}");
    }
    assert_eq!(files(&["rsa-1024.pem", "p521.pem", "p256.pem"], None).problems().len(), 2, "all at once");
    assert_eq!(files(&["p256.pem", "p256.pem"], None).problems().len(), 1, "the same key twice");
}

#[test]
fn a_rotation_overlaps() {
    let old = load(&files(&["p256.pem"], None));
    let before = old.mint(&claims()).unwrap();
    let current = CurrentKeys::new(old);
    current.replace(load(&files(&["ed25519.pem", "p256.pem"], None)));
    let ring = current.get();
    assert_eq!(ring.signing().algorithm(), Algorithm::EdDsa);
    assert!(ring.verify(&before, ISSUER, "api").is_ok());
    assert_eq!(ring.public_keys().keys.len(), 2);
    // And from a shared secret, old or new, to a key pair.
    let secret = secret(Algorithm::Hs256);
    let before = load(&secret).mint(&claims()).unwrap();
    let next = KeySource { previous_secret: Some(SecretString::from(SECRET)), ..files(&["p256.pem"], None) };
    assert!(load(&next).verify(&before, ISSUER, "api").is_ok());
}

#[test]
fn shared_secrets_are_in_the_filters_set_only() {
    let source = KeySource { previous_secret: Some(SecretString::from(SECRET)), ..files(&["p256.pem"], None) };
    let ring = load(&source);
    let types = |set: JwkSet| set.keys.into_iter().map(|key| key.kty).collect::<Vec<_>>();
    assert_eq!(types(ring.public_keys()), ["EC"]);
    assert_eq!(types(ring.verification_keys()), ["EC", "oct", "oct"], "the secret under its id and its former one");
    let shown = format!("{ring:?} {source:?} {:?}", ring.verification_keys());
    assert!(!shown.contains(SECRET) && !shown.contains(&URL_SAFE_NO_PAD.encode(SECRET)));
}

#[test]
fn a_key_is_generated_once_and_only_its_owner_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    let source = KeySource { signing: Signing::Generated(path.clone()), previous_secret: None };
    assert_eq!(source.problems(), []);
    assert!(!path.exists(), "judging makes nothing");
    let first = load(&source);
    assert_eq!(first.signing().algorithm(), Algorithm::Es256);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(load(&source).signing().id(), first.signing().id(), "used from then on");
    let names: BTreeSet<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1, "nothing else is left: {names:?}");
    fs::write(&path, "something else").unwrap();
    assert_eq!(source.problems().len(), 1);
    assert_eq!(generate(&path, Algorithm::Es256, &SeededRandom::default()), Ok(Generated::Existed));
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
}

#[test]
fn what_is_generated_can_be_read_and_what_cannot_be_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let path = dir.path().join(algorithm.as_str());
        assert_eq!(generate(&path, algorithm, &SeededRandom::default()), Ok(Generated::Made));
        assert_eq!(pem::read(&path, Some(algorithm)).unwrap().algorithm(), algorithm);
    }
    let error = generate(&dir.path().join("x"), Algorithm::Rs256, &SeededRandom::default()).unwrap_err();
    assert!(error.to_string().contains("openssl genpkey"), "{error}");
    let error = generate(Path::new("/nowhere/at/all"), Algorithm::Es256, &SeededRandom::default()).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
}
