//! What holds for every input, not only for those that somebody thought of.

use std::{collections::BTreeSet, rc::Rc};

use crate::{
    config::Config,
    http::{
        credential,
        headers::{HeaderChange, Headers},
    },
    request::{CheckOutcome, Effect, Event},
    sidecar::client::CallReply,
    sidecar::in_flight::Asked,
    time::Now,
    vm::Vm,
    worker::Worker,
};
use proptest::{collection::vec, prelude::*, test_runner::Config as Runs};
use session_gate_jose::{self, NoHostCrypto};
use session_gate_protocol::UnixSeconds;

/// A token of RFC 7515, appendix A.3, signed with ES256 by another implementation.
const RFC7515_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const RFC7515_KEY: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

fn rfc7515_verdict(token: &str) -> bool {
    let keys = session_gate_jose::KeySet::strict(&serde_json::from_str(RFC7515_KEY).unwrap(), &[]).unwrap();
    session_gate_jose::parse(token)
        .is_ok_and(|token| token.payload().is_ok() && keys.verify(&token, &NoHostCrypto).is_ok())
}

fn worker() -> Worker {
    let config = serde_json::json!({
        "sidecar": {"cluster": "sidecar"},
        "rate_limits": {
            "default": {"requests": 2, "key": ["address", {"header": "accept"}], "cost": {"response_header": "origin"}},
            "authenticated": {"in_flight": 1, "on_store_unavailable": "allow"},
        },
        "issuers": [{"issuer": "joe", "jwks": {"inline": serde_json::from_str::<serde_json::Value>(RFC7515_KEY).unwrap()}}],
        "routes": [
            {"name": "admin", "match": {"path": {"prefix": "/public/a/admin"}}},
            {"name": "public", "match": {"path": {"prefix": "/public"}}, "authentication": "public", "rate_limit": []},
            {"name": "query", "match": {"path": {"prefix": "/q"}}, "token_query_parameter": "t", "cors": {"allow_origins": ["*"]}},
        ],
    });
    Worker::new(Config::from_value(config).unwrap(), "worker", &mut Vm::default())
}

/// Paths made of what parsers stumble over.
fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("%2F"),
        Just("%5c"),
        Just("\\"),
        Just(";"),
        Just("a"),
        Just("admin"),
        Just("public"),
        Just("PUBLIC"),
        Just("Admin"),
        Just("%20"),
        Just("%2541"),
        Just("%25"),
        Just("%00"),
        Just("%"),
        Just("?"),
        Just("#"),
        Just("é"),
        Just("//"),
        Just("%C3%A9"),
        Just("%c0%af"),
        Just(" "),
        Just("=")
    ];
    // Half of them of the few that walk about in folders.
    let walk = prop_oneof![
        Just("a"),
        Just("admin"),
        Just("/admin"),
        Just("public"),
        Just("/"),
        Just("//"),
        Just("/../"),
        Just("//../"),
        Just("/./"),
        Just("%2f"),
        Just("%2e.")
    ];
    let before = prop_oneof![Just("/"), Just("/public/"), Just("/public/a"), Just("/x/../public/"), Just("//public/a")];
    let piece = prop_oneof![piece, walk];
    (before, vec(piece, 0..12)).prop_map(|(before, pieces)| format!("{before}{}", pieces.concat()))
}

/// What upstreams may read a path as, by another implementation than the product's: on bytes, by the algorithms of the
/// servers. In lower case. What means the same encoded and not (RFC 3986, section 6.2.2.2) is decoded before.
fn upstream_readings(target: &str) -> BTreeSet<Vec<u8>> {
    let path = target.split('?').next().unwrap().to_ascii_lowercase();
    let path = path.replace("%2e", ".").replace("%20", " ").into_bytes();
    let mut readings = BTreeSet::from([path.clone()]);
    let mut new = vec![path];
    while let Some(path) = new.pop() {
        let by_segment = |change: fn(&mut Vec<Vec<u8>>, &[u8])| {
            let mut kept = Vec::new();
            path.split(|&byte| byte == b'/').skip(1).for_each(|segment| change(&mut kept, segment));
            kept.iter().fold(Vec::new(), |path, segment| [&path[..], b"/", segment].concat())
        };
        let steps = [
            percent_encoding::percent_decode(&path).collect::<Vec<u8>>().to_ascii_lowercase(),
            path.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect(),
            path.split(|byte| b"?#".contains(byte)).next().unwrap().to_vec(),
            by_segment(|kept, segment| kept.push(segment.split(|&b| b == b';').next().unwrap().to_vec())),
            by_segment(|kept, segment| match segment {
                b"." => {}
                b".." => drop(kept.pop()),
                name => kept.push(name.to_vec()),
            }),
            by_segment(|kept, segment| {
                if !segment.is_empty() {
                    kept.push(segment.to_vec())
                }
            }),
            by_segment(|kept, segment| {
                let mut name = segment.to_vec();
                let is_dots = segment.iter().all(|byte| b". ".contains(byte));
                while name.last().is_some_and(|&byte| byte == b' ' || (byte == b'.' && !is_dots)) {
                    name.pop();
                }
                kept.push(name);
            }),
        ];
        for reading in steps {
            if readings.len() < 5_000 && readings.insert(reading.clone()) {
                new.push(reading);
            }
        }
    }
    readings.retain(|reading| !reading.is_empty());
    readings
}

fn any_header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        Just(":path"),
        Just(":method"),
        Just(":authority"),
        Just(":scheme"),
        Just("authorization"),
        Just("cookie"),
        Just("origin"),
        Just("sec-fetch-site"),
        Just("upgrade"),
        Just("x-user-id"),
        Just("x_user_id"),
        Just("content-type"),
        Just("x-forwarded-proto"),
        Just("x-http-method-override"),
        Just("x-original-url"),
        Just("accept"),
        Just("access-control-request-method")
    ];
    let value = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(format!("Bearer {RFC7515_TOKEN}").into_bytes()),
        Just(format!("__Host-session-gate={RFC7515_TOKEN}; a=b").into_bytes()),
        hostile_path().prop_map(String::into_bytes),
    ];
    (name.prop_map(str::to_owned), value)
}

#[test]
fn the_vector_of_rfc_7515_is_good() {
    assert!(rfc7515_verdict(RFC7515_TOKEN));
}

#[test]
fn no_other_text_of_the_same_length_class_is_good() {
    // One canonical text: whichever single character is changed, taken out or doubled.
    for (place, original) in RFC7515_TOKEN.char_indices() {
        for replacement in ['A', 'B', '.', '=', ' ', '\n', '+', '/', '-', '_'] {
            let mut changed = RFC7515_TOKEN.to_owned();
            changed.replace_range(place..=place, &replacement.to_string());
            assert!(replacement == original || !rfc7515_verdict(&changed), "{place} {replacement:?}");
            let mut inserted = RFC7515_TOKEN.to_owned();
            inserted.insert(place, replacement);
            assert!(!rfc7515_verdict(&inserted), "{place} {replacement:?}");
        }
        let mut shortened = RFC7515_TOKEN.to_owned();
        shortened.remove(place);
        assert!(!rfc7515_verdict(&shortened), "{place}");
    }
}

proptest! {
    #![proptest_config(Runs { cases: 2000, ..Runs::default() })]

    #[test]
    fn a_hostile_path_never_reaches_a_public_rule_by_one_reading_only(path in hostile_path()) {
        let request = Headers::from_iter([(":path", path.as_str()), (":method", "GET"), (":authority", "a")]);
        let effects = worker().on_request(1, Event::Request(request), Now::default(), &NoHostCrypto);
        if effects.iter().any(|effect| matches!(effect, Effect::Forward(..))) {
            for reading in upstream_readings(&path) {
                let is_public = reading.starts_with(b"/public/") || reading == b"/public";
                let is_admin = reading.starts_with(b"/public/a/admin/") || reading == b"/public/a/admin";
                let shown = String::from_utf8_lossy(&reading);
                prop_assert!(is_public && !is_admin, "{path} may be read as {shown}");
            }
        }
    }

    #[test]
    fn no_request_brings_the_step_function_down(
        headers in vec(any_header(), 0..12), body in vec(any::<u8>(), 0..60), order in vec(0..6_u8, 1..6)
    ) {
        let mut worker = worker();
        let now = Now { wall: UnixSeconds(1_300_819_000), ..Now::default() };
        let mut replies = 0;
        for event in order {
            let event = match event {
                0 => Event::Request(Headers::from_iter(headers.clone())),
                1 => Event::Keys,
                2 => {
                    let reply = CallReply { status: Some(200), body: body.clone() }.json();
                    Event::Check(Rc::new(CheckOutcome { reply, asked: Asked::default() }))
                }
                3 => Event::Limits,
                4 => {
                    worker.forget(1, now);
                    replies = 0;
                    continue;
                }
                _ => Event::Answer(Headers::from_iter(headers.clone())),
            };
            for effect in worker.on_request(1, event, now, &NoHostCrypto) {
                replies += usize::from(matches!(effect, Effect::Forward(..) | Effect::Reply(_)));
            }
        }
        prop_assert!(replies <= 1, "a request is settled once");
    }

    #[test]
    fn cookies_of_others_keep_their_bytes(before in "[a-z]=[a-z0-9\"=]{0,9}", after in "[a-z]=[a-z0-9\"= ]{0,8}[a-z]") {
        let line = format!("{before}; gate=token; {after}");
        let request = Headers::from_iter([("cookie", line)]);
        let expected = format!("{before}; {after}");
        prop_assert_eq!(credential::removal(&request, "gate", None), vec![HeaderChange::set("cookie", expected)]);
    }
}
