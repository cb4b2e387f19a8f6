//! Spellings of a protected path, sent as bytes and without a token, at a gate that protects `/admin`
//! and lets everything else pass. Each must be refused or redirected, or reach the upstream as a path
//! that no server reads as the protected one.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::json;
use session_gate_tests::raw_upstream::RawUpstream;
use session_gate_tests::stack::Builder;
use session_gate_tests::{Stack, raw};

/// What may stand before the protected segment.
const BEFORE: &[&str] = &[
    "/",
    "//",
    "///",
    "/./",
    "/.//",
    "/x/../",
    "/x/..//",
    "/../",
    "/../../",
    "/x/y/../../",
    "/%2e/",
    "/%2E%2e/",
    "/x/%2e%2e/",
    "/x/.%2e/",
    "/x/%2e./",
    "/x/%252e%252e/",
    "/x/..%2f",
    "/x/..%2F",
    "/x/..%252f",
    "/x%2f..%2f",
    "/%2f",
    "/%2F%2f",
    "/%252f",
    "/x/..%5c",
    "/x/..%5C",
    "/x/..%255c",
    "/x\\..\\",
    "/\\",
    "\\",
    "/x/..\\",
    "/%5c",
    "/;/",
    "/x;/../",
    "/x/..;/",
    "/x/..;a=b/",
    "/x/..;a=b;c/",
    "/x/..%3b/",
    "/x/..%3ba=b/",
    "/.;/",
    "/;a=b/",
    "/x/%2e%2e;/",
    "/x/%2e%2e%3b/",
    "/x/%2e%2e%2f",
    "/x/%2e%2e%5c",
    "/x/%252e%252e%252f",
    "/x/.;/../",
    "/x/;y/../../",
    "/x/%00/../",
    "/x/..%00/",
    "/x/%20../",
    "/x/..%20/",
    "/x/..%09/",
    "/x/...//../",
    "/x//../",
    "/x//..%2f..%2f",
    "/x/..%20%2f",
    "/x/y/..;/..;/",
    "/%c0%af",
    "/x/%c0%ae%c0%ae/",
    "/x/..%c0%af",
    "/x/..%e0%80%af",
    "/x/..%ef%bc%8f",
    "/x/%uff0e%uff0e/",
    "/x/..%u2215",
    "/%u002f",
    "/x?/../",
    "/x%3f/../",
    "/x#/../",
    "/x%23/../",
    "http://gate.example/",
    "http://gate.example//",
    "http://gate.example/x/../",
    "http://gate.example/%2e/",
    "http:/",
    "//gate.example/../",
    "/x/..\t/",
    "/x/..\x0b/",
];

/// How the protected segment may be spelled.
const SEGMENT: &[&str] = &[
    "admin",
    "%61dmin",
    "%61%64%6d%69%6e",
    "%61%64%6D%69%6E",
    "%2561dmin",
    "%252561dmin",
    "%25252561dmin",
    "%u0061dmin",
    "admin;",
    "admin;x=y",
    "admin;x=y;z",
    "admin%3b",
    "admin%3Bx=y",
    "admin%253bx",
    ";/admin",
    "adm%69n",
    "admin%00",
    "admin%20",
    "admin%09",
    "admin%0a",
    "admin%0d%0a",
    "%00admin",
    "%c1%a1dmin",
    "admin%c0%80",
    "admi%6e%2f",
    "admin%2f..%2fadmin",
    "ADMIN",
    "Admin",
    "%41dmin",
    "%2541DMIN",
    "admin.",
    "admin..",
    "admin%2e%20",
    "ADMIN%20.",
];

/// What may stand after it.
const AFTER: &[&str] = &[
    "",
    "/",
    "//",
    "/.",
    "/./",
    "/users",
    "/x/..",
    "/x/../",
    "/%2e",
    "/..;/admin",
    "%2f",
    "%2fusers",
    "%5cusers",
    "\\users",
    "?x",
    "?/../..",
    "#x",
    "%23",
    "%3f",
    "/..%2fadmin",
    "/%2e%2e%2fadmin",
    "/x/..;/",
];

fn guarded_admin(upstream: &RawUpstream) -> Builder {
    let port = upstream.address().port();
    Stack::builder()
        .routes(json!([
            {"name": "admin", "match": {"path": {"prefix": "/admin"}}},
            {"name": "harness", "match": {"path": {"prefix": "/orders"}}},
            {"name": "open", "authentication": "public"},
        ]))
        .envoy(move |config| config.set_cluster_port("app", port))
}

fn corpus() -> BTreeSet<Vec<u8>> {
    let mut corpus = BTreeSet::new();
    for before in BEFORE {
        for segment in SEGMENT {
            corpus.insert(format!("{before}{segment}").into_bytes());
        }
        for after in AFTER {
            corpus.insert(format!("{before}admin{after}").into_bytes());
        }
    }
    for segment in SEGMENT {
        for after in AFTER {
            corpus.insert(format!("/{segment}{after}").into_bytes());
        }
    }
    // Bytes that are no text, in and around the segment.
    for bytes in
        [&b"\xff"[..], b"\x80", b"\xc0\xaf", b"\xc0\xae\xc0\xae/", b"\xef\xbc\x8f", b"\0", b" ", b"\t", b"\x7f"]
    {
        corpus.insert([b"/", bytes, b"/../admin"].concat());
        corpus.insert([b"/x/..", bytes, b"admin"].concat());
        corpus.insert([b"/admin", bytes].concat());
        corpus.insert([b"/", bytes, b"admin"].concat());
    }
    corpus
}

/// Every path that some server makes of this one: decoded any number of times, with either slash,
/// with and without parameters, cut off where C ends a string, with dot segments resolved or not, without
/// dots and blanks at the end of a name, in any order. In which case it is written makes no difference.
fn readings(target: &[u8]) -> BTreeSet<Vec<u8>> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut readings = BTreeSet::from([path.to_vec()]);
    let mut new: Vec<Vec<u8>> = readings.iter().cloned().collect();
    while let Some(path) = new.pop() {
        let steps =
            [decode, backslashes, without_parameters, resolve_dots, merge_slashes, cut_at_delimiter, trim_names];
        for step in steps {
            let next = step(&path);
            if readings.len() < 10_000 && readings.insert(next.clone()) {
                new.push(next);
            }
        }
    }
    readings
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { rest.get(3..).unwrap_or_default() } else { tail };
    }
    out
}

fn backslashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

fn by_segment(path: &[u8], change: impl Fn(&mut Vec<Vec<u8>>, &[u8])) -> Vec<u8> {
    let mut segments = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        change(&mut segments, segment);
    }
    segments.join(&b'/')
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    by_segment(path, |out, segment| {
        out.push(segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec());
    })
}

fn resolve_dots(path: &[u8]) -> Vec<u8> {
    by_segment(path, |out, segment| match segment {
        b"." => {}
        b".." => {
            if out.len() > 1 {
                out.pop();
            }
        }
        other => out.push(other.to_vec()),
    })
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    by_segment(path, |out, segment| {
        if !segment.is_empty() || out.is_empty() {
            out.push(segment.to_vec());
        }
    })
}

/// Where C ends a string, and where a URL that is put together from a decoded path ends it.
fn cut_at_delimiter(path: &[u8]) -> Vec<u8> {
    path.split(|byte| byte.is_ascii_control() || matches!(byte, b'#' | b'?')).next().unwrap_or_default().to_vec()
}

/// As Windows looks names up. Dot segments stay.
fn trim_names(path: &[u8]) -> Vec<u8> {
    by_segment(path, |out, segment| {
        let end = segment.iter().rposition(|byte| !b". ".contains(byte)).map(|last| last + 1);
        // Of a name that is nothing but dots and blanks, only the blanks go.
        let blanks = || segment.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        out.push(segment.get(..end.unwrap_or_else(blanks)).unwrap_or_default().to_vec());
    })
}

fn is_admin(path: &[u8]) -> bool {
    path.to_ascii_lowercase().strip_prefix(b"/admin").is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Sends the whole corpus and answers what got through although some server reads it as protected.
async fn leaks(stack: &Stack, upstream: &RawUpstream) -> Result<Vec<String>> {
    let mut leaks = Vec::new();
    for target in &corpus() {
        let reply = raw::get(stack.address(), target, &[]).await?;
        let shown = String::from_utf8_lossy(target);
        ensure!(!(500..600).contains(&reply.status), "{shown:?}: {}", reply.text);
        for seen in upstream.take_seen() {
            if let Some(read) = readings(&seen).into_iter().find(|path| is_admin(path)) {
                let (seen, read) = (String::from_utf8_lossy(&seen), String::from_utf8_lossy(&read));
                leaks.push(format!("{shown:?} reached the upstream as {seen:?}, which some read as {read:?}"));
            }
        }
    }
    let counters = stack.envoy.admin().crash_counters().await?;
    ensure!(counters.values().all(|count| *count == 0), "{counters:?}");
    Ok(leaks)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_protected_path_gets_past_the_gate() -> Result<()> {
    let upstream = RawUpstream::start().await?;
    let stack = guarded_admin(&upstream).start().await?;
    // The controls: what is not protected passes, the oracle knows what is, and there is much to try.
    assert_eq!(raw::get(stack.address(), b"/x/y", &[]).await?.status, 200);
    assert_eq!(upstream.take_seen(), [b"/x/y"]);
    for spelling in [&b"/admin"[..], b"/x/..;/admin/users", b"/%2561dmin", b"/x\\..\\admin;a", b"/ADMIN. /x"] {
        ensure!(readings(spelling).iter().any(|path| is_admin(path)));
    }
    ensure!(!readings(b"/administration").iter().any(|path| is_admin(path)));
    ensure!(corpus().len() > 3_000);

    let leaks = leaks(&stack, &upstream).await?;
    ensure!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_alone_holds_where_envoy_normalises_nothing() -> Result<()> {
    let upstream = RawUpstream::start().await?;
    let bare = guarded_admin(&upstream).envoy(|config| {
        let manager = config.manager()?;
        for name in ["normalize_path", "merge_slashes", "path_with_escaped_slashes_action"] {
            manager.as_object_mut().map(|manager| manager.remove(name));
        }
        Ok(())
    });
    let stack = bare.start().await?;
    let leaks = leaks(&stack, &upstream).await?;
    ensure!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    Ok(())
}
