use serde_json::{Value, json};

use super::*;
use crate::signature::{HostCrypto, HostSignature, NoHostCrypto};
use crate::testing::{jwk, signing_key};

fn judge(change: impl FnOnce(&mut Value)) -> Result<VerifyingKey, KeyProblem> {
    judge_with(&[], change)
}

fn judge_with(algorithms: &[Algorithm], change: impl FnOnce(&mut Value)) -> Result<VerifyingKey, KeyProblem> {
    let mut key = jwk(1, "k1");
    change(&mut key);
    VerifyingKey::from_jwk(&serde_json::from_value(key).unwrap(), algorithms)
}

fn wrong_member(result: Result<VerifyingKey, KeyProblem>) -> &'static str {
    result.expect_err("the key is wrong").member
}

#[test]
fn a_key_is_bound_to_one_algorithm() {
    assert_eq!(judge(|_| {}).unwrap().algorithm(), Algorithm::ES256);
    assert_eq!(judge(|k| _ = k.as_object_mut().unwrap().remove("alg")).unwrap().algorithm(), Algorithm::ES256);
    assert_eq!(wrong_member(judge(|k| k["alg"] = json!("ES384"))), "alg");
    assert_eq!(wrong_member(judge(|k| k["alg"] = json!("none"))), "alg");
    assert_eq!(wrong_member(judge(|k| k["alg"] = json!("HS256"))), "alg");
    assert_eq!(wrong_member(judge_with(&[Algorithm::RS256], |_| {})), "kty");
}

#[test]
fn use_and_operations_and_private_parts_are_checked() {
    assert_eq!(wrong_member(judge(|k| k["use"] = json!("enc"))), "use");
    assert_eq!(wrong_member(judge(|k| k["key_ops"] = json!(["sign"]))), "key_ops");
    assert!(judge(|k| k["key_ops"] = json!(["verify"])).is_ok());
    assert_eq!(wrong_member(judge(|k| k["d"] = json!("AQ"))), "d");
    assert_eq!(wrong_member(judge(|k| k["kty"] = json!("ec"))), "kty");
}

#[test]
fn points_must_be_whole_and_on_their_curve() {
    assert_eq!(wrong_member(judge(|k| k["crv"] = json!("P-521"))), "crv");
    assert_eq!(wrong_member(judge(|k| k["crv"] = json!("P-384"))), "x");
    assert_eq!(wrong_member(judge(|k| k["y"] = k["x"].clone())), "x");
    assert_eq!(wrong_member(judge(|k| k["x"] = json!("AQ"))), "x");
    assert_eq!(wrong_member(judge(|k| k["x"] = json!(format!("{}=", k["x"].as_str().unwrap())))), "x");
    assert_eq!(wrong_member(judge(|k| _ = k.as_object_mut().unwrap().remove("y"))), "y");
    let okp = |x: &[u8]| Jwk {
        kty: "OKP".into(),
        crv: Some("Ed25519".into()),
        x: Some(URL_SAFE_NO_PAD.encode(x)),
        ..Jwk::default()
    };
    assert_eq!(wrong_member(VerifyingKey::from_jwk(&okp(&[0; 31]), &[])), "x");
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert_eq!(wrong_member(VerifyingKey::from_jwk(&okp(&neutral), &[])), "x");
}

#[test]
fn secrets_are_as_long_as_their_hash_and_moduli_long_enough() {
    let oct = |bytes: usize, alg: &str| {
        let k = Some(URL_SAFE_NO_PAD.encode(vec![7; bytes]));
        VerifyingKey::from_jwk(&Jwk { kty: "oct".into(), alg: Some(alg.into()), k, ..Jwk::default() }, &[])
    };
    for (alg, bytes) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        assert!(oct(bytes, alg).is_ok(), "{alg}");
        assert_eq!(wrong_member(oct(bytes - 1, alg)), "k", "{alg}");
    }
    let rsa = |n: Vec<u8>, e: &[u8]| {
        let encode = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        VerifyingKey::from_jwk(&Jwk { kty: "RSA".into(), n: encode(&n), e: encode(e), ..Jwk::default() }, &[])
    };
    assert_eq!(wrong_member(rsa(vec![0xff; 128], &[1, 0, 1])), "n");
    assert_eq!(wrong_member(rsa(vec![0xff; 1025], &[1, 0, 1])), "n");
    assert_eq!(wrong_member(rsa(vec![0xff; 256], &[1])), "e");
    assert_eq!(wrong_member(rsa(vec![0xff; 256], &[2])), "e");
    assert!(rsa(vec![0xff; 256], &[3]).is_ok());
}

#[test]
fn a_signature_has_one_length() {
    use p256::ecdsa::{Signature, signature::Signer as _};
    let key = judge(|_| {}).unwrap();
    let good: Signature = signing_key(1).sign(b"text");
    let good = good.to_bytes().to_vec();
    assert!(key.verify(b"text", &good, &NoHostCrypto));
    assert!(!key.verify(b"texT", &good, &NoHostCrypto));
    for wrong in [&good[..63], &[&good[..], &[0]].concat(), &[0; 64], &[0xff; 64], &[]] {
        assert!(!key.verify(b"text", wrong, &NoHostCrypto));
    }
    let der: Signature = signing_key(1).sign(b"text");
    assert!(!key.verify(b"text", der.to_der().as_bytes(), &NoHostCrypto), "DER is no JWS signature");
}

#[test]
fn the_hosts_verdict_counts_where_it_has_one() {
    struct Host(Option<bool>);
    impl HostCrypto for Host {
        fn verify(&self, job: &HostSignature<'_>) -> Option<bool> {
            assert_eq!((job.hash, job.text, job.public_key[0], job.signature[0]), ("sha256", &b"text"[..], 0x30, 0x30));
            self.0
        }
    }
    use p256::ecdsa::{Signature, signature::Signer as _};
    let key = judge(|_| {}).unwrap();
    let good: Signature = signing_key(1).sign(b"text");
    assert!(key.verify(b"text", &good.to_bytes(), &Host(None)));
    assert!(!key.verify(b"text", &good.to_bytes(), &Host(Some(false))));
    // What has not even the form of a signature never reaches the host.
    assert!(!key.verify(b"text", &[0; 64], &Host(Some(true))));
}

#[test]
fn debug_output_lacks_the_secret() {
    let k = Some(URL_SAFE_NO_PAD.encode([65; 32]));
    let key = VerifyingKey::from_jwk(&Jwk { kty: "oct".into(), k, ..Jwk::default() }, &[]).unwrap();
    let shown = format!("{key:?}");
    assert!(!shown.contains("65") && !shown.contains("QUFB"), "{shown}");
}
