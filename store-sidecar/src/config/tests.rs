use std::{fs, path::Path};

use session_gate_protocol::WhenFull;

use super::{
    settings::{self, Kind, Setting},
    *,
};
use crate::{
    credentials::{Access, Role},
    golden::assert_golden_part,
    keys::{Algorithm, Signing},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn sources(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Sources {
    Sources {
        flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        file: file.map(|text| SourceFile { name: "gate.yaml".to_owned(), text: text.to_owned() }),
    }
}

/// What is wrong, with a key that is good unless the environment names one.
fn problems(env: &[(&str, &str)], file: &str) -> Vec<String> {
    let mut all = vec![("JWT_SECRET", SECRET)];
    all.extend(env);
    match Config::load(&sources(&[], &all, Some(file))) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn load(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: &str) -> Config {
    let mut all = vec![("JWT_SECRET", SECRET)];
    all.extend(env);
    Config::load(&sources(flags, &all, Some(file))).unwrap()
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let config = load(&[], &[], "");
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.server.drain, Duration::from_secs(10));
    assert_eq!(config.server.shutdown_delay, Duration::from_secs(5));
    assert_eq!(config.session.duration, Duration::from_hours(24));
    assert_eq!(config.session.idle_timeout, None);
    assert_eq!((config.session.max_per_user, config.session.when_full), (1_000, WhenFull::EvictOldest));
    assert_eq!(config.session.store, StoreSettings::default());
    assert_eq!(config.tokens.duration, Duration::from_hours(1));
    assert_eq!((config.tokens.issuer.as_str(), config.tokens.audience.as_str()), ("session-gate", "session-gate"));
    assert!(config.credentials.is_open() && config.redis.is_none() && config.monitoring.metrics);
    let expected = PublishedPolicy {
        min_password_length: 12,
        max_login_attempts: 5,
        lockout_duration: 1800,
        require_2fa: false,
        force_logout_on_password_change: true,
        require_https: false,
        session_duration: 86_400,
        session_idle_timeout: None,
        token_duration: 3600,
        token_refresh_threshold: 900,
    };
    assert_eq!(config.policy, expected);
}

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let file = "session: {duration_hours: 1, idle_timeout_minutes: 10}\ntokens: {duration_hours: 2}\n";
    let env = [("SESSION_DURATION_HOURS", "2"), ("TOKEN_DURATION_HOURS", "3")];
    let config = load(&[("session-duration-hours", "3")], &env, file);
    assert_eq!(config.session.duration, Duration::from_hours(3));
    assert_eq!(config.tokens.duration, Duration::from_hours(3));
    assert_eq!(config.session.idle_timeout, Some(Duration::from_secs(600)));
}

#[test]
fn every_setting_can_be_set_in_each_way_and_the_kinds_fit() {
    for setting in settings::all() {
        let (text, yaml) = match setting.kind {
            Kind::Bool => ("true", "true"),
            Kind::Integer => ("7", "7"),
            Kind::List | Kind::SecretList => ("a,b", "[a, b]"),
            Kind::Section => (r#"{"a": {"idle_timeout_minutes": 1}}"#, "{a: {idle_timeout_minutes: 1}}"),
            Kind::Secret | Kind::Text => ("text", "text"),
        };
        let (section, field) = setting.path.split_once('.').unwrap();
        let yaml = format!("{section}: {{{field}: {yaml}}}");
        let merged = |sources: &Sources| {
            let mut problems = Problems::default();
            let (_, origins) = sources::merge(sources, &mut problems);
            assert!(problems.is_empty(), "{}: {:?}", setting.path, problems);
            origins.name_of(setting.path)
        };
        assert_eq!(merged(&sources(&[(setting.flag, text)], &[], None)), format!("--{}", setting.flag));
        assert_eq!(merged(&sources(&[], &[(setting.env, text)], None)), setting.env);
        assert_eq!(merged(&sources(&[], &[], Some(&yaml))), format!("gate.yaml: {}", setting.path));
    }
}

#[test]
fn classes_of_sessions_live_as_long_as_they_say() {
    let file = "session: {duration_hours: 12, classes: {browser: {idle_timeout_minutes: 30}, \
                remember-me_2: {duration_hours: 2160, idle_timeout_minutes: 20160, persistent: true}, \
                kiosk: {duration_hours: 8760, persistent: true}}}";
    let class = |hours, idle: Option<u64>, is_persistent| SessionClass {
        duration: Duration::from_hours(hours),
        idle_timeout: idle.map(|minutes| Duration::from_secs(minutes * 60)),
        is_persistent,
    };
    let config = load(&[], &[], file);
    let expected = [
        ("browser", class(12, Some(30), false)),
        ("kiosk", class(8760, None, true)),
        ("remember-me_2", class(2160, Some(20_160), true)),
    ];
    assert_eq!(config.session.classes, expected.map(|(name, class)| (name.to_owned(), class)).into());
    assert_eq!(
        (config.session.longest(), config.session.duration),
        (Duration::from_hours(8760), Duration::from_hours(12))
    );
    assert_eq!(config.session.without_class(), class(12, None, false));
    // The environment has all of them, or none.
    let env = [("SESSION_GATE_SESSION_CLASSES", r#"{"a": {"idle_timeout_minutes": 1}}"#)];
    assert_eq!(load(&[], &env, file).session.classes.into_keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(load(&[], &[], "").session.longest(), Duration::from_hours(24));
}

#[test]
fn every_mistake_in_a_class_is_told_by_its_place() {
    let classes = r#"{
        "browser": {"duration_hours": 1}, "Remember me": {"persistent": true, "idle": 3},
        "x": {"duration_hours": 8761, "idle_timeout_minutes": 0, "persistent": "yes"},
        "y": {"duration_hours": 1, "idle_timeout_minutes": 61}, "z": 1
    }"#;
    let mistakes = |name: &str| {
        [
            ("z", "is a number; allowed: a section"),
            ("Remember me.idle", "is unknown here; allowed: `duration_hours`, `idle_timeout_minutes`, `persistent`"),
            ("x.persistent", "is a text; allowed: true or false"),
            ("Remember me", "is no name of a class; allowed: 1 to 64 of a-z 0-9 _ -"),
            (
                "browser.idle_timeout_minutes",
                "is missing: a class that is not persistent needs one, or its cookies live on in browsers that restore their \
                 windows",
            ),
            ("x.duration_hours", "is 8761; allowed: 1 to 8760"),
            ("x.idle_timeout_minutes", "is 0; allowed: 1 to 1440"),
            ("y.idle_timeout_minutes", "is 61; allowed: 1 to 60"),
        ]
        .map(|(place, message)| format!("{name}.{place} {message}"))
    };
    let sorted = |mut found: Vec<String>| {
        found.sort();
        found
    };
    let found = problems(&[("SESSION_GATE_SESSION_CLASSES", classes)], "");
    assert_eq!(sorted(found), sorted(mistakes("SESSION_GATE_SESSION_CLASSES").to_vec()));
    let found = problems(&[], &format!("session: {{classes: {classes}}}"));
    assert_eq!(sorted(found), sorted(mistakes("gate.yaml: session.classes").to_vec()));
    for (wrong, message) in [
        ("{", "is not JSON, or names a field twice; allowed: a JSON object"),
        (
            r#"{"a": {"persistent": true}, "a": {"persistent": true}}"#,
            "is not JSON, or names a field twice; allowed: a JSON object",
        ),
        ("[1]", "is no section; allowed: a JSON object"),
    ] {
        let found = problems(&[("SESSION_GATE_SESSION_CLASSES", wrong)], "");
        assert_eq!(found, [format!("SESSION_GATE_SESSION_CLASSES {message}")]);
    }
}

#[test]
fn every_mistake_is_told_by_the_name_that_the_user_wrote_and_no_secret_is() {
    let file = "\
sesion: {}
session: {duration_hours: long, idle_timeout: 3}
tokens: {issuer: \" x\", jwt_secret: hunter2}
credentials: {app: [hunter2, 5]}
security: {min_password_length: 4}
";
    let env = [
        ("JWT_SECRET", "hunter2"),
        ("REDIS_URL", "hunter2"),
        ("ENABLE_METRICS", "perhaps"),
        ("TOKEN_DURATION_HOURS", "0"),
        ("LOG_LEVEL", "loud=nonsense"),
        ("SESSION_GATE_LISTN", "127.0.0.1:1"),
        // For `lockout`, which may run beside the sidecar.
        ("SESSION_GATE_CREDENTIAL", "a"),
        ("SESSION_GATE_ALGORITHM", "none"),
    ];
    let found = problems(&env, file);
    let expected = [
        "gate.yaml: credentials.app[1] is a number; allowed: a text",
        "gate.yaml: sesion is unknown here; allowed: `credentials`, `limits`, `monitoring`, `redis`, `security`, `server`, \
         `session`, `tokens`",
        "gate.yaml: session.duration_hours is a text; allowed: a whole number, 0 or more",
        "gate.yaml: session.idle_timeout is unknown here; allowed: `activity_resolution_seconds`, `classes`, \
         `duration_hours`, `ended_retention_hours`, `idle_timeout_minutes`, `max_metadata_bytes`, `max_per_user`, \
         `when_full`",
        "ENABLE_METRICS is \"perhaps\"; allowed: true or false",
        "SESSION_GATE_LISTN is no setting",
        "gate.yaml: credentials.app has a credential that is too short; allowed: 32 characters or more",
        "TOKEN_DURATION_HOURS is 0; allowed: 1 to 8760",
        "gate.yaml: tokens.issuer is not usable; allowed: 1 to 256 bytes without control characters or blanks at the ends",
        "SESSION_GATE_ALGORITHM is \"none\"; allowed: EdDSA, ES256, ES384, HS256, HS384, HS512, PS256, PS384, PS512, RS256, \
         RS384, RS512",
        "JWT_SECRET is too short: HS256 needs at least 32 characters",
        "gate.yaml: security.min_password_length is 4; allowed: 8 to 128",
        "LOG_LEVEL has \"loud=nonsense\" in it; allowed: error, warn, info, debug or trace, also by module, such as \
         info,store_sidecar::http=debug",
    ];
    assert_eq!(found[..expected.len()], expected);
    assert_eq!(found.len(), expected.len() + 1, "and the URL: {found:#?}");
    assert!(found.iter().any(|problem| problem.starts_with("REDIS_URL must be a URL")));
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[test]
fn a_file_that_is_no_yaml_or_says_something_twice_is_one_mistake_without_its_text() {
    for file in ["hunter2: [", "tokens:\n  jwt_secret: hunter2\n  jwt_secret: hunter3\n"] {
        let found = problems(&[], file);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("gate.yaml is not YAML, or names a field twice at line "), "{found:?}");
        assert!(!found[0].contains("hunter"));
    }
    assert_eq!(problems(&[], "just text"), ["gate.yaml is a text; allowed: a section"]);
    assert_eq!(problems(&[], "session:\n"), [""; 0], "an empty section is none");
}

#[test]
fn variables_that_kubernetes_makes_are_none_of_ours() {
    let made = [
        ("SESSION_GATE_PORT", "tcp://10.0.0.1:8081"),
        ("SESSION_GATE_SERVICE_HOST", "10.0.0.1"),
        ("SESSION_GATE_PORT_8081_TCP_ADDR", "10.0.0.1"),
        ("SESSION_GATE_SIDECAR_SERVICE_PORT_HTTP", "8081"),
    ];
    assert_eq!(problems(&made, ""), [""; 0]);
}

#[test]
fn a_key_must_be_there_and_only_one_kind() {
    let wrong = |env: &[(&str, &str)]| {
        let problems = Config::load(&sources(&[], env, None)).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let none = wrong(&[]);
    assert_eq!(none.len(), 1);
    for named in ["JWT_SECRET", "SESSION_GATE_KEY_FILES", "--generate-key"] {
        assert!(none[0].contains(named), "{none:?}");
    }
    let two = wrong(&[("JWT_SECRET", SECRET), ("SESSION_GATE_GENERATE_KEY", "key.pem")]);
    assert!(two.len() == 1 && two[0].contains("only one"), "{two:?}");
    assert_eq!(
        wrong(&[("JWT_SECRET", SECRET), ("SESSION_GATE_ALGORITHM", "HS512")]),
        ["JWT_SECRET is too short: HS512 needs at least 64 characters"]
    );
    assert_eq!(
        wrong(&[("JWT_SECRET", SECRET), ("SESSION_GATE_ALGORITHM", "ES256")]),
        ["SESSION_GATE_ALGORITHM is ES256, which needs a key file; allowed with JWT_SECRET: HS256, HS384, HS512"]
    );
    assert_eq!(
        wrong(&[("JWT_SECRET", SECRET), ("JWT_SECRET_PREVIOUS", "short")]),
        ["JWT_SECRET_PREVIOUS is too short: HS256 needs at least 32 characters"]
    );
}

#[test]
fn secrets_may_come_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (secret, empty) = (path("secret", &format!("{SECRET}\n")), path("empty", "\n"));
    let apps = path("apps", &format!("{SECRET}-1\n\n{SECRET}-2\n"));
    let env = [("JWT_SECRET_FILE", secret.as_str()), ("SESSION_GATE_APP_CREDENTIALS_FILE", &apps)];
    let config = Config::load(&sources(&[], &env, None)).unwrap();
    let Signing::Secret { secret: read, algorithm: Algorithm::Hs256 } = &config.tokens.keys.signing else {
        panic!("a secret")
    };
    assert_eq!(secrecy::ExposeSecret::expose_secret(read), SECRET);
    for credential in [format!("{SECRET}-1"), format!("{SECRET}-2")] {
        assert_eq!(config.credentials.access(&[Role::App], Some(&credential)), Access::Granted);
    }
    let wrong = |env: &[(&str, &str)]| {
        let problems = Config::load(&sources(&[], env, None)).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        wrong(&[("JWT_SECRET_FILE", &secret), ("JWT_SECRET", SECRET)]),
        ["JWT_SECRET_FILE is given beside JWT_SECRET; set only one of them"]
    );
    assert_eq!(wrong(&[("JWT_SECRET_FILE", &empty)]), [format!("JWT_SECRET_FILE names {empty:?}, which is empty")]);
    assert_eq!(
        wrong(&[("JWT_SECRET_FILE", "/absent")]),
        ["JWT_SECRET_FILE names \"/absent\", which cannot be read: entity not found"]
    );
}

#[test]
fn an_empty_variable_is_none() {
    let env: Vec<(&str, &str)> = settings::all().map(|setting| (setting.env, "")).collect();
    let config = Config::load(&sources(&[("jwt-secret", SECRET)], &env, Some("session: {duration_hours: 2}"))).unwrap();
    assert_eq!(config.session.duration, Duration::from_hours(2));
    // A flag that is empty was written by somebody.
    let problems = Config::load(&sources(&[("jwt-secret", SECRET), ("log-level", "")], &[], None)).unwrap_err();
    let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["--log-level is empty; leave it out, or give it a value"]);
}

#[test]
fn a_secret_of_a_stronger_source_replaces_the_file_that_a_weaker_one_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, format!("{SECRET}-of-the-file")).unwrap();
    let path = path.display().to_string();
    let secret = |flags: &[(&'static str, &str)], env: &[(&str, &str)], file: &str| {
        let config = Config::load(&sources(flags, env, Some(file))).unwrap();
        let Signing::Secret { secret, .. } = &config.tokens.keys.signing else { panic!("a secret") };
        secrecy::ExposeSecret::expose_secret(secret).to_owned()
    };
    let file = format!("tokens: {{jwt_secret_file: {path:?}}}");
    assert_eq!(secret(&[], &[("JWT_SECRET", SECRET)], &file), SECRET);
    let file = format!("tokens: {{jwt_secret: {SECRET}}}");
    assert_eq!(secret(&[], &[("JWT_SECRET_FILE", &path)], &file), format!("{SECRET}-of-the-file"));
    assert_eq!(secret(&[("jwt-secret", SECRET)], &[("JWT_SECRET_FILE", &path)], ""), SECRET);
}

#[test]
fn other_machines_need_credentials() {
    let listen = ("SESSION_GATE_LISTEN", "0.0.0.0:8081");
    let found = problems(&[listen], "");
    assert!(found.len() == 1 && found[0].starts_with("SESSION_GATE_LISTEN is 0.0.0.0:8081, which other machines"));
    assert_eq!(problems(&[listen, ("SESSION_GATE_ADMIN_CREDENTIALS", SECRET)], ""), [""; 0]);
    assert_eq!(problems(&[("SESSION_GATE_LISTEN", "[::1]:8081")], ""), [""; 0]);
    // One mistake, not two.
    assert_eq!(problems(&[listen, ("SESSION_GATE_APP_CREDENTIALS", "short")], "").len(), 1);
    assert_eq!(
        problems(&[("SESSION_GATE_APP_CREDENTIALS", SECRET), ("SESSION_GATE_FILTER_CREDENTIALS", SECRET)], ""),
        ["SESSION_GATE_FILTER_CREDENTIALS has a credential that the role app has too"]
    );
}

#[test]
fn redis_is_told_where_and_how() {
    assert!(load(&[], &[("REDIS_URL", "redis://127.0.0.1:6379/0"), ("REDIS_PASSWORD", "pw")], "").redis.is_some());
    assert_eq!(problems(&[("REDIS_PASSWORD", "hunter2")], ""), ["REDIS_PASSWORD is given, but REDIS_URL is not"]);
    assert_eq!(problems(&[("REDIS_KEY_PREFIX", "a:")], ""), ["REDIS_KEY_PREFIX is given, but REDIS_URL is not"]);
    assert!(load(&[], &[("REDIS_URL", "redis://h"), ("REDIS_KEY_PREFIX", "staging:eu-1.")], "").redis.is_some());
    for bad in ["{a}", "a b", "ü", &"x".repeat(33)] {
        let found = problems(&[("REDIS_URL", "redis://h"), ("REDIS_KEY_PREFIX", bad)], "");
        assert!(found.len() == 1 && found[0].starts_with("REDIS_KEY_PREFIX is "), "{found:?}");
    }
    let two = problems(&[("REDIS_URL", "redis://:hunter2@h"), ("REDIS_PASSWORD", "hunter3")], "");
    assert!(two.len() == 1 && two[0].starts_with("REDIS_PASSWORD must have no password in the URL"), "{two:?}");
}

#[test]
fn debug_output_lacks_every_secret() {
    let env = [
        ("JWT_SECRET", "hunter2-hunter2-hunter2-hunter2-hunter2"),
        ("JWT_SECRET_PREVIOUS", "hunter3-hunter3-hunter3-hunter3-hunter3"),
        ("REDIS_URL", "redis://user:hunter4@host"),
        ("SESSION_GATE_APP_CREDENTIALS", "hunter5-hunter5-hunter5-hunter5-hunter5"),
    ];
    let sources = sources(&[("jwt-secret", env[0].1)], &env, Some("# hunter6"));
    let shown = format!("{sources:?} {:?}", Config::load(&sources).unwrap());
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn the_documentation_has_every_setting() {
    let mut table = String::from(
        "| Environment | Flag | In the file | Kind | Default | What it does |\n|---|---|---|---|---|---|\n",
    );
    for Setting { path, env, flag, kind, default, help } in settings::all() {
        let row = format!("| `{env}` | `--{flag}` | `{path}` | {} | {default} | {help} |\n", kind.as_str());
        table.push_str(&row);
    }
    assert_golden_part("docs/configuration-sidecar.md", "settings", &table);
}

#[test]
fn the_files_in_the_documentation_are_good() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration-sidecar.md");
    let text = fs::read_to_string(docs).unwrap();
    let examples: Vec<&str> = text.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(!examples.is_empty());
    for example in examples {
        assert_eq!(problems(&[], example), [""; 0], "{example}");
    }
}
