use super::{
    Headers,
    Navigation::{self, Load, None, Submit},
};

type Sent = &'static [(&'static str, &'static str)];

/// What browsers of the three engines have been seen to send. Safari before 16.4 sends no Fetch Metadata, and no browser
/// does by plain http.
const REQUESTS: &[(&str, &str, Navigation, Sent)] = &[
    // Chromium
    (
        "chromium: page",
        "GET",
        Load,
        &[
            ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-user", "?1"),
            ("upgrade-insecure-requests", "1"),
        ],
    ),
    (
        "chromium: page, prefetched",
        "GET",
        None,
        &[
            ("accept", "text/html,*/*;q=0.8"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "same-origin"),
            ("sec-purpose", "prefetch"),
        ],
    ),
    (
        "chromium: iframe",
        "GET",
        None,
        &[
            ("accept", "text/html,*/*;q=0.8"),
            ("sec-fetch-dest", "iframe"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "same-origin"),
            ("upgrade-insecure-requests", "1"),
        ],
    ),
    (
        "chromium: img",
        "GET",
        None,
        &[
            ("accept", "image/avif,image/webp,*/*;q=0.8"),
            ("sec-fetch-dest", "image"),
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    (
        "chromium: script",
        "GET",
        None,
        &[
            ("accept", "*/*"),
            ("sec-fetch-dest", "script"),
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    (
        "chromium: manifest",
        "GET",
        None,
        &[
            ("accept", "*/*"),
            ("sec-fetch-dest", "manifest"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    (
        "chromium: service worker's script",
        "GET",
        None,
        &[
            ("accept", "*/*"),
            ("sec-fetch-dest", "serviceworker"),
            ("sec-fetch-mode", "same-origin"),
            ("sec-fetch-site", "same-origin"),
            ("service-worker", "script"),
        ],
    ),
    (
        "chromium: a page load that a service worker sends again",
        "GET",
        None,
        &[
            ("accept", "text/html,*/*;q=0.8"),
            ("sec-fetch-dest", "empty"),
            ("sec-fetch-mode", "same-origin"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    (
        "chromium: fetch",
        "GET",
        None,
        &[
            ("accept", "*/*"),
            ("sec-fetch-dest", "empty"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    (
        "chromium: fetch that wants a page",
        "GET",
        None,
        &[
            ("accept", "text/html"),
            ("sec-fetch-dest", "empty"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    (
        "chromium: event source",
        "GET",
        None,
        &[
            ("accept", "text/event-stream"),
            ("sec-fetch-dest", "empty"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    (
        "chromium: WebSocket",
        "GET",
        None,
        &[("origin", "https://app.example"), ("upgrade", "websocket"), ("sec-websocket-version", "13")],
    ),
    (
        "chromium: form",
        "POST",
        Submit,
        &[
            ("accept", "text/html,*/*;q=0.8"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://app.example"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    (
        "chromium: fetch by POST",
        "POST",
        None,
        &[
            ("accept", "*/*"),
            ("origin", "https://app.example"),
            ("sec-fetch-dest", "empty"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-site", "same-origin"),
        ],
    ),
    // Firefox
    (
        "firefox: page",
        "GET",
        Load,
        &[
            ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "cross-site"),
            ("upgrade-insecure-requests", "1"),
        ],
    ),
    (
        "firefox: iframe",
        "GET",
        None,
        &[("accept", "text/html,*/*;q=0.8"), ("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")],
    ),
    (
        "firefox: img",
        "GET",
        None,
        &[("accept", "image/avif,image/webp,*/*"), ("sec-fetch-dest", "image"), ("sec-fetch-mode", "no-cors")],
    ),
    (
        "firefox: script",
        "GET",
        None,
        &[
            ("accept", "*/*"),
            ("sec-fetch-dest", "script"),
            ("sec-fetch-mode", "cors"),
            ("origin", "https://app.example"),
        ],
    ),
    (
        "firefox: manifest",
        "GET",
        None,
        &[("accept", "*/*"), ("sec-fetch-dest", "manifest"), ("sec-fetch-mode", "cors")],
    ),
    (
        "firefox: service worker's script",
        "GET",
        None,
        &[
            ("accept", "*/*"),
            ("sec-fetch-dest", "serviceworker"),
            ("sec-fetch-mode", "same-origin"),
            ("service-worker", "script"),
        ],
    ),
    ("firefox: fetch", "GET", None, &[("accept", "*/*"), ("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors")]),
    (
        "firefox: form",
        "POST",
        Submit,
        &[
            ("accept", "text/html,*/*;q=0.8"),
            ("origin", "https://app.example"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
        ],
    ),
    // Safari before Fetch Metadata
    (
        "safari: page",
        "GET",
        Load,
        &[("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), ("user-agent", "Mozilla/5.0")],
    ),
    ("safari: img", "GET", None, &[("accept", "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5")]),
    ("safari: script", "GET", None, &[("accept", "*/*")]),
    ("safari: manifest", "GET", None, &[("accept", "*/*"), ("origin", "https://app.example")]),
    ("safari: service worker's script", "GET", None, &[("accept", "*/*"), ("service-worker", "script")]),
    ("safari: fetch", "GET", None, &[("accept", "*/*")]),
    (
        "safari: fetch from another origin that wants a page",
        "GET",
        None,
        &[("accept", "text/html"), ("origin", "https://spa.example")],
    ),
    (
        "safari: a library's fetch of a page",
        "GET",
        None,
        &[("accept", "text/html, */*; q=0.01"), ("x-requested-with", "XMLHttpRequest")],
    ),
    (
        "safari: form",
        "POST",
        Submit,
        &[
            ("accept", "text/html,*/*;q=0.8"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://app.example"),
        ],
    ),
    ("safari: a library's form", "POST", None, &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")]),
    // Others
    (
        "page by plain http, or a frame, which nobody could tell from it",
        "GET",
        Load,
        &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8"), ("upgrade-insecure-requests", "1")],
    ),
    ("HEAD of a page", "HEAD", Load, &[("accept", "text/html")]),
    ("h2c upgrade", "GET", None, &[("accept", "text/html"), ("upgrade", "h2c")]),
    ("some Fetch Metadata, but no mode", "GET", None, &[("accept", "text/html"), ("sec-fetch-site", "none")]),
    ("PUT", "PUT", None, &[("accept", "text/html"), ("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")]),
    ("curl", "GET", None, &[("accept", "*/*"), ("user-agent", "curl/8.5.0")]),
    ("gRPC", "POST", None, &[("content-type", "application/grpc"), ("te", "trailers")]),
    ("nothing at all", "GET", None, &[]),
];

#[test]
fn only_a_document_for_a_whole_tab_is_a_page_load() {
    for (name, method, expected, headers) in REQUESTS {
        let request: Headers = [(":method", *method)].into_iter().chain(headers.iter().copied()).collect();
        assert_eq!(Navigation::of(&request), *expected, "{name}");
    }
}
