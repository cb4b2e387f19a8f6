//! The program itself: what it says when it is misconfigured, and how it starts, reloads and stops.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test whose preparation fails has failed")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const SECRET_31: &str = "hunter2-0123456789abcdef0123456";

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store-sidecar"));
    // Nothing of the environment that the tests run in.
    command.env_clear().stdin(Stdio::null());
    command.env("SESSION_GATE_SHUTDOWN_DELAY_SECONDS", "0");
    command
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8(output.stderr.clone()).unwrap().lines().map(str::to_owned).collect()
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn three_mistakes_are_three_lines_and_the_secret_is_in_none() {
    let dir = tempfile::tempdir().unwrap();
    let config = file(dir.path(), "gate.yaml", "session:\n  durration_hours: 3\n");
    for extra in [&[][..], &["--check-config"]] {
        let output = command()
            .env("JWT_SECRET", SECRET_31)
            .env("REDIS_URL", "reddis//:hunter2@nowhere")
            .args(["--config", &config])
            .args(extra)
            .output()
            .unwrap();
        assert!(!output.status.success());
        let lines = lines(&output);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[0].contains("gate.yaml: session.durration_hours is unknown here"), "{lines:#?}");
        assert_eq!(lines[1], "store-sidecar: JWT_SECRET is too short: HS256 needs at least 32 characters");
        assert!(lines[2].starts_with("store-sidecar: REDIS_URL must be a URL such as redis://"), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("hunter2")) && output.stdout.is_empty());
    }
}

#[test]
fn a_good_configuration_is_said_to_be_good_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.pem");
    let output = command().args(["--check-config", "--generate-key"]).arg(&key).output().unwrap();
    assert!(output.status.success() && !key.exists());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "the configuration is good\n");
}

#[test]
fn without_a_key_or_its_file_it_says_what_to_set() {
    let output = command().output().unwrap();
    let lines = lines(&output);
    assert!(!output.status.success() && lines.len() == 1 && lines[0].contains("set JWT_SECRET"), "{lines:#?}");
    let output = command().args(["--config", "/absent.yaml"]).env("JWT_SECRET", "x".repeat(32)).output().unwrap();
    assert!(!output.status.success());
    assert!(lines_of(&output).contains("--config names \"/absent.yaml\", which cannot be read"));
}

fn lines_of(output: &Output) -> String {
    lines(output).join("\n")
}

#[test]
fn keygen_never_replaces_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.pem");
    assert!(command().args(["keygen", "--algorithm", "EdDSA"]).arg(&key).output().unwrap().status.success());
    let before = fs::read(&key).unwrap();
    let output = command().arg("keygen").arg(&key).output().unwrap();
    assert!(!output.status.success() && lines_of(&output).contains("exists already"));
    assert_eq!(fs::read(&key).unwrap(), before);
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command().env("JWT_SECRET", "x".repeat(32)).args(["--listen", &address]).output().unwrap();
    assert!(!output.status.success());
    assert!(lines_of(&output).contains(&format!("cannot listen on {address}: Address already in use")));
}

/// A running sidecar; it is killed when this is dropped.
struct Sidecar {
    child: Child,
    log: BufReader<ChildStderr>,
    address: SocketAddr,
}

impl Sidecar {
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = next(&mut log, "listening")["address"].as_str().unwrap().parse().unwrap();
        Self { child, log, address }
    }

    /// The next line of the log with that message.
    fn wait_for(&mut self, message: &str) -> Value {
        next(&mut self.log, message)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n").unwrap();
        answer(stream)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn next(log: &mut BufReader<ChildStderr>, message: &str) -> Value {
    let mut all = String::new();
    loop {
        let before = all.len();
        assert!(log.read_line(&mut all).unwrap() > 0, "it ended before it said {message:?}:\n{all}");
        let line: Value = serde_json::from_str(all.split_at(before).1).unwrap();
        if line["message"] == message {
            return line;
        }
    }
}

fn answer(mut stream: TcpStream) -> (u16, Value) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn it_serves_and_stops_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut sidecar = Sidecar::start(command().arg("--generate-key").arg(dir.path().join("key.pem")));
        assert_eq!(sidecar.get("/healthz"), (200, serde_json::json!({"status": "healthy"})));
        assert_eq!(sidecar.get("/.well-known/jwks.json").1["keys"][0]["alg"], "ES256");
        sidecar.signal(signal);
        sidecar.wait_for("stopped");
        assert!(sidecar.child.wait().unwrap().success());
    }
}

/// Whoever sends it requests learns with a delay that it is not ready any more.
#[test]
fn it_serves_on_unready_for_a_while_after_sigterm() {
    let mut command = command();
    command.env("JWT_SECRET", "x".repeat(32)).env("SESSION_GATE_SHUTDOWN_DELAY_SECONDS", "300");
    let mut sidecar = Sidecar::start(&mut command);
    let is = |status: u16, ready: &str| {
        (0..1_000).any(|_| {
            let is = sidecar.get("/readyz") == (status, serde_json::json!({"status": ready}));
            if !is {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            is
        })
    };
    assert!(is(200, "ready"));
    sidecar.signal(Signal::SIGTERM);
    assert!(is(503, "stopping"));
    assert_eq!(sidecar.get("/healthz").0, 200);
    // Told again it waits no longer.
    sidecar.signal(Signal::SIGTERM);
    sidecar.wait_for("stopped");
    assert!(sidecar.child.wait().unwrap().success());
}

#[test]
fn requests_in_flight_are_answered_before_it_stops_and_new_ones_are_not_accepted() {
    let mut sidecar = Sidecar::start(command().env("JWT_SECRET", "x".repeat(32)));
    let body = r#"{"user_id":"alice"}"#;
    let mut slow = sidecar.connect();
    let length = body.len();
    write!(slow, "POST /v1/login HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\n").unwrap();
    write!(slow, "content-length: {length}\r\nexpect: 100-continue\r\n\r\n").unwrap();
    // The server asks for the body once the request is being handled.
    let mut interim = [0; 25];
    slow.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 Continue"));
    sidecar.signal(Signal::SIGTERM);
    sidecar.wait_for("stopping");
    // The listener is closed at about the time of that line: soon nobody else gets in.
    let refused = (0..1000).any(|_| {
        std::thread::yield_now();
        TcpStream::connect(sidecar.address).is_err()
    });
    assert!(refused);
    slow.write_all(body.as_bytes()).unwrap();
    assert_eq!(answer(slow).0, 201);
    assert!(sidecar.child.wait().unwrap().success());
}

#[test]
fn a_poll_that_is_held_back_is_answered_before_it_stops() {
    let mut sidecar = Sidecar::start(command().env("JWT_SECRET", "x".repeat(32)));
    let told = sidecar.get("/v1/feed?worker=w&max_staleness_ms=60000").1;
    let (epoch, after) = (told["epoch"]["id"].as_str().unwrap(), told["cursor"].as_str().unwrap());
    let mut held = sidecar.connect();
    write!(held, "GET /v1/feed?worker=w&max_staleness_ms=60000&wait_ms=10000&epoch={epoch}&after={after} HTTP/1.1\r\n")
        .unwrap();
    write!(held, "host: gate\r\nexpect: 100-continue\r\n\r\n").unwrap();
    // It is being held back once its worker is shown to have polled again.
    let polls = || {
        let mut stream = sidecar.connect();
        write!(stream, "GET /v1/workers HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n").unwrap();
        answer(stream).1["workers"][0]["applied"] == after
    };
    assert!((0..10_000).any(|_| polls()));
    sidecar.signal(Signal::SIGTERM);
    sidecar.wait_for("stopped");
    assert_eq!(answer(held).0, 200);
    assert!(sidecar.child.wait().unwrap().success());
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_the_stop() {
    let mut sidecar = Sidecar::start(command().env("JWT_SECRET", "x".repeat(32)).args(["--drain-seconds", "0"]));
    let mut stuck = sidecar.connect();
    write!(stuck, "POST /v1/login HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\n").unwrap();
    write!(stuck, "content-length: 10\r\nexpect: 100-continue\r\n\r\n").unwrap();
    stuck.read_exact(&mut [0; 25]).unwrap();
    sidecar.signal(Signal::SIGTERM);
    sidecar.wait_for("stopped with requests in flight");
    assert!(sidecar.child.wait().unwrap().success());
}

#[test]
fn a_hangup_exchanges_the_keys_and_a_mistake_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    for (name, algorithm) in [("old.pem", "ES256"), ("new.pem", "EdDSA")] {
        let made = command().args(["keygen", "--algorithm", algorithm]).arg(dir.path().join(name)).output().unwrap();
        assert!(made.status.success());
    }
    let path = |name: &str| dir.path().join(name).display().to_string();
    let config = |files: &[&str]| {
        let files: Vec<String> = files.iter().map(|name| path(name)).collect();
        file(dir.path(), "gate.yaml", &format!("tokens: {{key_files: [{}]}}\n", files.join(", ")))
    };
    let mut sidecar = Sidecar::start(command().arg("--config").arg(config(&["old.pem"])));
    let algorithms = |sidecar: &Sidecar| -> Vec<String> {
        let keys = sidecar.get("/.well-known/jwks.json").1["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["alg"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(algorithms(&sidecar), ["ES256"]);
    config(&["new.pem", "old.pem"]);
    sidecar.signal(Signal::SIGHUP);
    sidecar.wait_for("keys read anew");
    assert_eq!(algorithms(&sidecar), ["EdDSA", "ES256"]);
    // Held back until there is something to tell, which is this if it was not told before.
    let told = sidecar.get("/v1/feed?worker=w&max_staleness_ms=60000&wait_ms=10000").1;
    let (epoch, after) = (told["epoch"]["id"].as_str().unwrap(), told["cursor"].as_str().unwrap());
    let told = if told["entries"] == serde_json::json!([]) {
        let query = format!("worker=w&max_staleness_ms=60000&wait_ms=10000&epoch={epoch}&after={after}");
        sidecar.get(&format!("/v1/feed?{query}")).1
    } else {
        told
    };
    assert_eq!(told["entries"][0]["change"]["kind"], "keys_changed", "{told}");
    config(&["absent.pem"]);
    sidecar.signal(Signal::SIGHUP);
    sidecar.wait_for("keys and credentials stay as they are");
    assert_eq!(algorithms(&sidecar), ["EdDSA", "ES256"]);
}

#[test]
fn a_hangup_exchanges_the_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| format!("{name}-credential-0123456789abcdef0123456789"));
    let path = file(dir.path(), "app", &old);
    let mut sidecar =
        Sidecar::start(command().env("JWT_SECRET", "x".repeat(32)).env("SESSION_GATE_APP_CREDENTIALS_FILE", &path));
    let status = |sidecar: &Sidecar, credential: &str| {
        let mut stream = sidecar.connect();
        write!(stream, "GET /v1/policy HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {credential}\r\n").unwrap();
        write!(stream, "connection: close\r\n\r\n").unwrap();
        answer(stream).0
    };
    assert_eq!([&old, &new].map(|credential| status(&sidecar, credential)), [200, 401]);
    for (text, expected) in [(format!("{old}\n{new}\n"), [200, 200]), (new.clone(), [401, 200])] {
        file(dir.path(), "app", &text);
        sidecar.signal(Signal::SIGHUP);
        sidecar.wait_for("credentials read anew");
        assert_eq!([&old, &new].map(|credential| status(&sidecar, credential)), expected);
    }
}

#[test]
fn the_log_names_no_credential_and_no_token() {
    let credential = "hunter2-credential-0123456789abcdef";
    let mut sidecar = Sidecar::start(
        command()
            .env("JWT_SECRET", format!("hunter2{}", "x".repeat(32)))
            .env("SESSION_GATE_APP_CREDENTIALS", credential)
            .args(["--log-level", "trace"]),
    );
    let body = r#"{"user_id":"hunter2","metadata":{"a":"hunter2"}}"#;
    let mut stream = sidecar.connect();
    let length = body.len();
    write!(stream, "POST /v1/login HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\n").unwrap();
    write!(stream, "authorization: Bearer {credential}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .unwrap();
    let (status, login) = answer(stream);
    assert_eq!(status, 201);
    let token = login["token"]["token"].as_str().unwrap().to_owned();
    let mut stream = sidecar.connect();
    let body = format!("token={token}");
    let length = body.len();
    write!(stream, "POST /v1/tokens/introspect HTTP/1.1\r\nhost: gate\r\n").unwrap();
    write!(stream, "content-type: application/x-www-form-urlencoded\r\nauthorization: Bearer {credential}\r\n")
        .unwrap();
    write!(stream, "content-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
    assert_eq!(answer(stream).1["active"], true);
    sidecar.signal(Signal::SIGTERM);
    let mut log = String::new();
    sidecar.log.read_to_string(&mut log).unwrap();
    assert!(log.contains("/v1/tokens/introspect"), "{log}");
    let (_, signature) = token.rsplit_once('.').unwrap();
    assert!(!log.contains("hunter2") && !log.contains(&token) && !log.contains(signature), "{log}");
}

/// Calls the sidecar's API with that credential.
fn call(sidecar: &Sidecar, method: &str, path: &str, credential: &str, body: &str) -> String {
    let mut stream = sidecar.connect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\nauthorization: Bearer {credential}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_lock_is_shown_and_lifted_by_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let app = "app-credential-0123456789abcdef012";
    let filter = "filter-credential-0123456789abcdef";
    let sidecar = Sidecar::start(
        command()
            .arg("--generate-key")
            .arg(dir.path().join("key.pem"))
            .env("SESSION_GATE_APP_CREDENTIALS", app)
            .env("SESSION_GATE_FILTER_CREDENTIALS", filter),
    );
    for _ in 0..5 {
        let counted = call(&sidecar, "POST", "/v1/logins/failed", app, r#"{"account":"al ice"}"#);
        assert!(counted.starts_with("HTTP/1.1 200"), "{counted}");
    }
    let url = format!("http://{}", sidecar.address);
    let lockout = |action: &str, credential: Option<&str>| {
        let mut command = command();
        command.args(["lockout", action, "al ice", "--url", &url]);
        credential.map(|credential| command.env("SESSION_GATE_CREDENTIAL", credential));
        command.output().unwrap()
    };
    let said = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let shown = lockout("show", Some(app));
    assert!(shown.status.success() && said(&shown).starts_with("al ice: locked until 1"), "{shown:?}");
    let by_file = file(dir.path(), "credential", &format!("{app}\n"));
    let unlocked =
        command().args(["lockout", "unlock", "al ice", "--url", &url, "--credential-file", &by_file]).output().unwrap();
    assert!(unlocked.status.success(), "{unlocked:?}");
    assert_eq!(said(&lockout("show", Some(app))), "al ice: not locked; failed logins that count: 0\n");

    // What is wrong is one line, and no credential is in it.
    for (credential, expected) in
        [(None, "replied 401"), (Some("unknown"), "replied 401"), (Some(filter), "replied 403")]
    {
        let refused = lockout("unlock", credential);
        assert!(!refused.status.success() && refused.stdout.is_empty());
        let lines = lines(&refused);
        assert!(lines.len() == 1 && lines[0].contains(expected) && !lines[0].contains(filter), "{lines:?}");
    }
    let nobody = command().args(["lockout", "show", "alice", "--url", "http://127.0.0.1:1"]).output().unwrap();
    assert!(!nobody.status.success() && lines_of(&nobody).contains("cannot reach http://127.0.0.1:1"), "{nobody:?}");
    let absent = command().args(["lockout", "show", "alice", "--credential-file", "/absent"]).output().unwrap();
    assert!(lines_of(&absent).contains("/absent"), "{absent:?}");
}
