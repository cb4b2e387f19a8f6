//! What a value may be, beyond its type, as it is enforced: by the types of the protocol, by the extractors and
//! by the service. The fuzzer (`make fuzz-api`) tells where this and that differ.

use serde_json::{Map, Value, json};
use session_gate_protocol::{
    MAX_LEASE_ASKS, MAX_QUOTAS, MAX_REQUESTS, MAX_SESSION_LIMIT, MAX_SETTLED, MAX_STALENESS, MAX_USER_ID_BYTES,
    MAX_WINDOW_MS, MIN_WINDOW_MS,
};

use crate::{service::MAX_WORKER_CHARS, store::MAX_LIFETIME};

/// What the longest configurable duration of a session or a token is, in seconds.
const LONGEST_CONFIGURABLE: u64 = 8760 * 3600;
/// Visible ASCII characters.
const VISIBLE: &str = "^[!-~]+$";
/// Anything but whitespace alone.
const ACCOUNT: &str = "[^\\s\\u0085]";
const RULE_ID: &str = "^[A-Za-z0-9_-]{16}$";

/// Adds the bounds to the document.
pub(super) fn add(document: &mut Value) {
    for (pointer, bounds) in components().into_iter().chain(bodies()).chain(limits()) {
        put(document, &format!("/components/schemas/{pointer}"), bounds);
    }
    for (name, bounds) in parameters() {
        put_parameter(document, name, &bounds);
    }
    put(document, "/paths/~1v1~1blocks/get/parameters/0/schema", json!({ "pattern": RULE_ID }));
    // Of one status there is one reply for utoipa, and here are two.
    let conflict = json!({ "$ref": null, "anyOf": [
        { "$ref": "#/components/schemas/SessionLimitProblem" }, { "$ref": "#/components/schemas/Problem" },
    ] });
    let schema = "responses/409/content/application~1problem+json/schema";
    put(document, &format!("/paths/~1v1~1login/post/{schema}"), conflict);
    let place = json!({ "pattern": "^[0-9]{1,15}-[A-Za-z0-9_-]{6}\\.[A-Za-z0-9_-]{43}$" });
    put(document, "/paths/~1v1~1users~1{user_id}~1sessions/get/parameters/1/schema", place);
}

/// Puts members into the object there, in the place of what it had under their names; `null` removes one.
fn put(document: &mut Value, pointer: &str, bounds: Value) {
    let Some(Value::Object(object)) = document.pointer_mut(pointer) else {
        debug_assert!(false, "the document has no object at {pointer}");
        return;
    };
    put_into(object, bounds);
}

fn put_into(object: &mut Map<String, Value>, bounds: Value) {
    let Value::Object(bounds) = bounds else { return };
    for (name, bound) in bounds {
        match bound {
            Value::Null => object.remove(&name),
            bound => object.insert(name, bound),
        };
    }
}

/// Puts bounds on that parameter of every operation that has it.
fn put_parameter(document: &mut Value, name: &str, bounds: &Value) {
    let operations =
        document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flat_map(|paths| {
            paths.values_mut().filter_map(Value::as_object_mut).flat_map(|methods| methods.values_mut())
        });
    let mut found = false;
    for operation in operations {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten().filter(|parameter| parameter["name"] == name) {
            found = true;
            if let Some(Value::Object(schema)) = parameter.get_mut("schema") {
                put_into(schema, bounds.clone());
            }
        }
    }
    debug_assert!(found, "no operation has a parameter {name}");
}

fn components() -> Vec<(String, Value)> {
    let components = [
        ("CounterId", json!({ "pattern": RULE_ID })),
        ("FeedCursor", json!({ "pattern": "^[0-9]{1,19}-[0-9]{1,19}$" })),
        ("RuleId", json!({ "pattern": RULE_ID })),
        ("Scopes", scopes(json!("array"))),
        ("SessionId", json!({ "pattern": "^[A-Za-z0-9_-]{6}\\.[A-Za-z0-9_-]{43}$" })),
        ("TokenId", json!({ "pattern": VISIBLE, "maxLength": 128 })),
        ("UnixSeconds", any_number()),
        ("UserId", user_id()),
    ];
    components.into_iter().map(|(schema, bounds)| (schema.to_owned(), bounds)).collect()
}

fn user_id() -> Value {
    // No control characters, and no space at either end.
    let pattern =
        "^[^\\u0000-\\u0020\\u007f-\\u009f](?:[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\u0000-\\u0020\\u007f-\\u009f])?$";
    json!({ "minLength": 1, "maxLength": MAX_USER_ID_BYTES, "pattern": pattern })
}

/// A scope-token of RFC 6749, section 3.3.
fn scopes(kind: Value) -> Value {
    json!({ "type": kind, "items": { "type": "string", "pattern": "^[!#-\\[\\]-~]{1,128}$" } })
}

/// Any that a `u64` holds, which `int64` does not say.
fn any_number() -> Value {
    json!({ "maximum": u64::MAX, "format": null })
}

/// A duration of at most `longest` seconds.
fn duration(longest: u64) -> Value {
    json!({ "minimum": 1, "maximum": longest })
}

/// How the user was recognised (RFC 8176).
fn amr() -> Value {
    json!({ "maxItems": 16, "items": { "type": "string", "pattern": "^[!-~]{1,64}$" } })
}

/// That member is given, and not `null`.
fn given(name: &str) -> Value {
    json!({ "required": [name], "properties": { name: { "not": { "type": "null" } } } })
}

/// An IPv4 or IPv6 address (RFC 3986, section 3.2.2).
fn address() -> String {
    format!("(?:{}|{})", v4(), v6())
}

/// An address, or a range with such a prefix.
fn network(v4_prefix: &str, v6_prefix: &str) -> String {
    format!("^(?:{}(?:/{v4_prefix})?|{}(?:/{v6_prefix})?)$", v4(), v6())
}

fn v4() -> String {
    let octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    format!("(?:{octet}\\.){{3}}{octet}")
}

fn v6() -> String {
    let h16 = "[0-9A-Fa-f]{1,4}";
    let ls32 = format!("(?:{h16}:{h16}|{})", v4());
    let mut forms = vec![format!("(?:{h16}:){{6}}{ls32}"), format!("::(?:{h16}:){{5}}{ls32}")];
    // So many groups may stand before `::`, and so many do after it.
    for (before, after) in [(0, 4), (1, 3), (2, 2), (3, 1), (4, 0)] {
        forms.push(format!("(?:(?:{h16}:){{0,{before}}}{h16})?::(?:{h16}:){{{after}}}{ls32}"));
    }
    forms.push(format!("(?:(?:{h16}:){{0,5}}{h16})?::{h16}"));
    forms.push(format!("(?:(?:{h16}:){{0,6}}{h16})?::"));
    format!("(?:{})", forms.join("|"))
}

/// Exactly one of these is given, the one at `place`.
fn only(names: &[&str], place: usize) -> Value {
    let kinds = names.iter().enumerate().map(|(at, name)| {
        let kind = if at == place { json!({ "not": { "type": "null" } }) } else { json!({ "type": "null" }) };
        ((*name).to_owned(), kind)
    });
    json!({ "required": [names.get(place)], "properties": kinds.collect::<Map<_, _>>() })
}

fn bodies() -> Vec<(String, Value)> {
    let logout = ["session_id", "token"];
    let mut bodies: Vec<(String, Value)> = Vec::new();
    let mut add = |schema: &str, bounds: Value| bodies.push((schema.to_owned(), bounds));
    add("Activity/properties/sessions", json!({ "maxItems": 1000 }));
    add("CheckRequest/properties/address", json!({ "pattern": format!("^{}$", address()) }));
    add("CheckedCredential/oneOf/0", json!({ "additionalProperties": false }));
    add("CheckedCredential/oneOf/1", json!({ "additionalProperties": false }));
    for kind in 0..5 {
        add(&format!("SessionCommand/oneOf/{kind}"), json!({ "additionalProperties": false }));
    }
    add("IntrospectionForm/properties/token", json!({ "minLength": 1 }));
    let both = json!({ "required": ["all", "others"], "properties": { "all": { "const": true }, "others": { "const": true } } });
    add("LogoutRequest", json!({ "oneOf": [only(&logout, 0), only(&logout, 1)], "not": both }));
    add("ElevateRequest", json!({ "oneOf": [only(&logout, 0), only(&logout, 1)] }));
    add("ElevateRequest/properties/ip_address", json!({ "pattern": format!("^{}$", address()) }));
    add("SessionCommandRequest/properties/ip_address", json!({ "pattern": format!("^{}$", address()) }));
    add("NewLoginFailure/properties/ip_address", json!({ "pattern": format!("^{}$", address()) }));
    add("NewLoginFailure/properties/account", json!({ "pattern": ACCOUNT }));
    add("NewToken", json!({ "anyOf": [given("session_id"), given("user_id")] }));
    add("SessionPatch/properties/scopes", scopes(json!(["array", "null"])));
    add("TokenForm/properties/token", json!({ "minLength": 1 }));
    for schema in ["ElevateRequest", "LoginRequest", "NewToken", "SessionCommand/oneOf/0", "SessionCommand/oneOf/1"] {
        add(&format!("{schema}/properties/amr"), amr());
    }
    for schema in ["LoginRequest", "NewSession", "NewToken"] {
        add(&format!("{schema}/properties/duration"), duration(LONGEST_CONFIGURABLE));
    }
    for schema in ["LoginRequest", "NewSession"] {
        add(&format!("{schema}/properties/max_sessions"), json!({ "maximum": MAX_SESSION_LIMIT }));
    }
    for schema in ["LoginRequest", "NewSession", "SessionPatch"] {
        add(&format!("{schema}/properties/ip_address"), json!({ "pattern": format!("^{}$", address()) }));
        for field in ["user_agent", "device_type", "location"] {
            add(&format!("{schema}/properties/{field}"), json!({ "maxLength": 2048 }));
        }
    }
    bodies.extend(rules());
    bodies
}

fn rules() -> Vec<(String, Value)> {
    let mut rules: Vec<(String, Value)> = Vec::new();
    let mut add = |schema: &str, bounds: Value| rules.push((schema.to_owned(), bounds));
    for schema in ["NewBlock", "NewLimitOverride", "NewRevocation"] {
        add(&format!("{schema}/properties/duration"), duration(MAX_LIFETIME.as_secs()));
        add(&format!("{schema}/properties/note"), json!({ "maxLength": 256 }));
    }
    let block = ["address", "user_agent", "user_id"];
    let uncommon = json!({ "properties": { "user_agent": { "pattern": "^[!-~][ -~]{4,}[!-~]$" } } });
    let forced = json!({ "required": ["force"], "properties": { "force": { "const": true } } });
    let of_user_agent = json!({ "allOf": [only(&block, 1), { "anyOf": [uncommon, forced.clone()] }] });
    let narrow = json!({ "properties": { "address": { "pattern": network("(?:[89]|[12][0-9]|3[0-2])", "(?:1[6-9]|[2-9][0-9]|1[01][0-9]|12[0-8])") } } });
    let any = json!({ "properties": { "address": { "pattern": network("(?:[12]?[0-9]|3[0-2])", "(?:[1-9]?[0-9]|1[01][0-9]|12[0-8])") } } });
    let of_address = json!({ "allOf": [only(&block, 0), any, { "anyOf": [narrow, forced] }] });
    add("NewBlock", json!({ "oneOf": [of_address, of_user_agent, only(&block, 2)] }));
    add("NewBlock/properties/user_agent", json!({ "maxLength": 256, "pattern": "^[ -~]+$" }));
    add("NewLimitOverride", json!({ "required": ["requests"] }));
    let requests = json!({ "type": "integer", "minimum": 1, "maximum": MAX_REQUESTS });
    add(
        "NewLimitOverride/properties/requests",
        json!({ "minItems": 1, "maxItems": MAX_QUOTAS, "items": requests, "default": null }),
    );
    let names = ["jti", "sid", "sub", "issued_before"];
    let mut some: Vec<Value> = names.into_iter().map(given).collect();
    some.push(json!({ "required": ["claims"], "properties": { "claims": { "minProperties": 1 } } }));
    add("NewRevocation", json!({ "required": ["iss", "duration"], "anyOf": some }));
    add("NewRevocation/properties/iss", json!({ "type": "string", "default": null }));
    add("NewRevocation/properties/duration", json!({ "type": "integer", "default": null }));
    for name in ["iss", "jti", "sid", "sub"] {
        add(&format!("NewRevocation/properties/{name}"), json!({ "minLength": 1, "maxLength": 256 }));
    }
    let claim = json!({ "type": ["string", "number", "boolean"], "maxLength": 256 });
    let claims = json!({
        "maxProperties": 8, "propertyNames": { "minLength": 1, "maxLength": 256 }, "additionalProperties": claim,
    });
    add("NewRevocation/properties/claims", claims);
    rules
}

fn limits() -> Vec<(String, Value)> {
    let mut limits: Vec<(String, Value)> = Vec::new();
    let mut add = |schema: &str, bounds: Value| limits.push((schema.to_owned(), bounds));
    add("LeaseRequest/properties/worker", worker());
    add("LeaseRequest/properties/asks", json!({ "maxItems": MAX_LEASE_ASKS, "uniqueItems": true }));
    for field in ["kept", "need", "owed", "want"] {
        add(&format!("LeaseAsk/properties/{field}"), json!({ "maximum": MAX_REQUESTS }));
    }
    add("LeaseAsk/properties/lease", any_number());
    add("LeaseAsk/properties/quotas", json!({ "minItems": 1, "maxItems": MAX_QUOTAS }));
    add("LeaseAsk/properties/settle", json!({ "maxItems": MAX_SETTLED }));
    let quotas = |algorithms: Value, most: usize| {
        let quota = json!({ "properties": { "algorithm": { "enum": algorithms } } });
        json!({ "items": quota, "maxItems": most })
    };
    let in_flight = json!({ "properties": { "quotas": quotas(json!(["in_flight"]), 1) } });
    let windows = quotas(json!(["fixed_window", "sliding_window", "token_bucket"]), MAX_QUOTAS);
    add("LeaseAsk", json!({ "anyOf": [in_flight, { "properties": { "quotas": windows, "kept": { "const": 0 } } }] }));
    add("SettledLease/properties/lease", any_number());
    add("SettledLease/properties/used", json!({ "maximum": MAX_REQUESTS }));
    add("Quota/properties/requests", json!({ "minimum": 1, "maximum": MAX_REQUESTS }));
    add("Quota/properties/burst", json!({ "minimum": 1, "maximum": MAX_REQUESTS }));
    let window = json!({ "minimum": MIN_WINDOW_MS, "maximum": MAX_WINDOW_MS });
    let kinds = [
        json!({ "algorithm": { "const": "in_flight" }, "window_ms": { "const": 0 }, "burst": { "type": "null" } }),
        json!({
            "algorithm": { "enum": ["fixed_window", "sliding_window"] }, "window_ms": window, "burst": { "type": "null" },
        }),
        json!({ "algorithm": { "const": "token_bucket" }, "window_ms": window }),
    ];
    add("Quota", json!({ "oneOf": kinds.map(|properties| json!({ "properties": properties })) }));
    limits
}

fn worker() -> Value {
    json!({ "pattern": VISIBLE, "maxLength": MAX_WORKER_CHARS })
}

fn parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("Idempotency-Key", json!({ "type": "string", "pattern": r#"^"[ !#-\[\]-~]{16,255}"$"# })),
        ("If-Match", json!({ "type": "string", "minLength": 1, "pattern": r#"^("[0-9]{1,19}"|[*])$"# })),
        ("account", json!({ "pattern": ACCOUNT })),
        ("epoch", json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })),
        ("key", json!({ "pattern": limit_key(), "maxLength": 256 })),
        ("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000 })),
        ("max_staleness_ms", json!({ "minimum": 1, "maximum": MAX_STALENESS.as_millis() as u64 })),
        ("rule_id", json!({ "pattern": RULE_ID })),
        ("user_id", user_id()),
        ("wait_ms", any_number()),
        ("worker", worker()),
    ]
}

/// A limit's name, and parts whose names and values need no encoding: others are percent-encoded.
fn limit_key() -> String {
    let part = "[A-Za-z0-9._~-]+=[A-Za-z0-9._~-]*";
    format!("^[A-Za-z0-9_-]{{1,64}}:(?:{part})?$")
}
