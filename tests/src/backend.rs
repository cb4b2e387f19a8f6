//! A backend that checks the gate's proof as `docs/backends.md` says: the document's own code, run by Python.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::documents;

/// Runs the documented check on each case of `cases`, and returns what it says of each. A case has `headers` of a request,
/// and may have a time `now`, and others than the document's `keys`.
const RUN: &str = r#"
import json, sys, types
from contextlib import nullcontext
from unittest.mock import patch

django = types.ModuleType("django")
django.http = types.ModuleType("django.http")
django.http.HttpResponse = lambda status: status
sys.modules.update({"django": django, "django.http": django.http})
exec(DJANGO)

class Request:
    def __init__(self, headers):
        self.headers = headers

def said(case):
    if "keys" in case:
        KEYS.clear()
        KEYS.update({key: secret.encode() for key, secret in case["keys"].items()})
    clock = patch("time.time", lambda: case["now"]) if "now" in case else nullcontext()
    with clock:
        checked = is_from_gate(case["headers"])
        served = FromTheGateAlone(lambda request: 200)(Request(case["headers"]))
    assert served == (200 if checked else 403), served
    return checked

print(json.dumps([said(case) for case in json.load(sys.stdin)]))
"#;

/// The document that has the check.
pub const DOCUMENT: &str = "backends.md";

/// What the documented check says of each case, with that key for the one which the document names.
///
/// # Errors
/// Where Python does not run it to its end.
pub fn check(secret: &str, cases: &Value) -> Result<Vec<bool>> {
    let [check, django]: [String; 2] = documents::blocks(&documents::read(DOCUMENT)?, "python")
        .try_into()
        .ok()
        .context("the document has a check and a middleware")?;
    let program = format!("{check}\nDJANGO = {}\n{RUN}", Value::from(django));
    let mut python = Command::new("python3")
        .args(["-c", &program])
        .env("GATE_PROOF_KEY", secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("python3")?;
    python.stdin.take().context("its input")?.write_all(cases.to_string().as_bytes())?;
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "it ends with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
