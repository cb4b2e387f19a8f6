//! What one request may mean to whomever reads it after us: method, host and path.
//!
//! What upstreams may make of it is listed in [`super::upstream_interpretations`]. A rule is only applied where every
//! combination of these readings meets the same one.

use session_gate_protocol::{DenyReason, is_token};

use super::{
    authority::{self, bare_host, host_name},
    headers::Headers,
    method,
    path::{PathBudget, PathInterpretations},
    upstream_interpretations::{Interpretation, UpstreamInterpretations},
};

/// Of methods, of hosts, of paths before they are read: no honest request has more.
const MAX_EACH: usize = 4;
/// Of their combinations: no honest request has more, and it bounds the work as a whole.
const MAX_COMBINATIONS: usize = 64;
/// Of values that headers and queries list, again and again the same ones too: each is compared with those before it.
const MAX_LISTED: usize = 64;

/// Everything that a request may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInterpretations {
    /// Methods: the request's own first.
    pub methods: Vec<Reading>,
    /// Hosts in lower case, without port and without a dot at the end: the request's own first.
    pub hosts: Vec<Reading>,
    /// Paths: the request's own first.
    pub paths: Vec<Reading>,
    /// Whether a path may be read without regard to case.
    pub ignores_case: bool,
}

/// One reading of a part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it reads.
    pub text: String,
    /// Why; none: it was sent so.
    pub by: Option<Cause>,
}

/// Why a part of a request is read otherwise than it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What the upstream does.
    pub interpretation: Interpretation,
    /// The header that makes it do so.
    pub header: Option<&'static str>,
}

/// Why no rule can be found for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unroutable {
    /// Why.
    pub reason: DenyReason,
    /// What is in the way, where one interpretation is.
    pub by: Option<Cause>,
}

impl From<DenyReason> for Unroutable {
    fn from(reason: DenyReason) -> Self {
        Self { reason, by: None }
    }
}

impl Unroutable {
    /// Two readings meet different rules, because of that one.
    pub const fn ambiguous(by: Option<Cause>) -> Self {
        Self { reason: DenyReason::PathAmbiguous, by }
    }

    /// What a person is told beside the reason.
    pub fn detail(self) -> Option<String> {
        let Cause { interpretation, header } = self.by?;
        let setting = format!("upstream_interpretations.{}", interpretation.name());
        Some(match (header, self.reason) {
            (Some(header), DenyReason::PathAmbiguous) => {
                format!("The header {header} may lead to another rule ({setting})")
            }
            (Some(header), _) => format!("The header {header} is not valid ({setting})"),
            (None, _) => format!("Another reading may lead to another rule ({setting})"),
        })
    }
}

impl RequestInterpretations {
    /// Reads a request.
    ///
    /// # Errors
    /// `MethodInvalid`, `AuthorityInvalid`, `PathInvalid` where it has none, or one that is not valid; `PathAmbiguous`
    /// where there are more readings than an honest request has.
    pub fn of(request: &Headers, upstreams: UpstreamInterpretations) -> Result<Self, Unroutable> {
        let method = request.text(":method").filter(|method| is_token(method));
        Self::with_method(request, method.ok_or(DenyReason::MethodInvalid)?, upstreams)
    }

    /// Reads the request that a preflight announces; none where that is no preflight. Whatever an upstream
    /// makes of a preflight does not matter: it is not forwarded.
    ///
    /// # Errors
    /// Like [`Self::of`].
    pub fn announced(request: &Headers, upstreams: UpstreamInterpretations) -> Result<Self, Unroutable> {
        let method = request.text("access-control-request-method").filter(|method| is_token(method));
        Self::with_method(request, method.ok_or(DenyReason::MethodInvalid)?, upstreams)
    }

    fn with_method(request: &Headers, method: &str, upstreams: UpstreamInterpretations) -> Result<Self, Unroutable> {
        let authority = match request.get(":authority") {
            None => "",
            Some(bytes) => std::str::from_utf8(bytes).map_err(|_| DenyReason::AuthorityInvalid)?,
        };
        if !authority::is_valid(authority) {
            return Err(DenyReason::AuthorityInvalid.into());
        }
        let target = request.text(":path").ok_or(DenyReason::PathInvalid)?;
        let mut parts = Parts {
            methods: Readings::of(method.to_owned()),
            hosts: Readings::of(host_name(authority)),
            targets: Readings::of(target.to_owned()),
            listed: 0,
        };
        if upstreams.has(Interpretation::CaseInsensitiveMethods) && method.bytes().any(|b| b.is_ascii_lowercase()) {
            parts.methods.add(method.to_ascii_uppercase(), plain(Interpretation::CaseInsensitiveMethods))?;
        }
        for (name, value) in request.iter().filter(|(name, _)| !name.starts_with(':')) {
            let Some((interpretation, header)) = upstreams.of_header(name) else { continue };
            let cause = Cause { interpretation, header: Some(header) };
            let text = String::from_utf8_lossy(value);
            let text = text.trim();
            match interpretation {
                Interpretation::MethodOverrideHeaders => parts.add_methods(text, cause)?,
                Interpretation::ForwardedHostHeaders if header == "forwarded" => {
                    text.split([',', ';']).try_for_each(|pair| parts.add_forwarded(pair, cause))?;
                }
                Interpretation::ForwardedHostHeaders => {
                    text.split(',').try_for_each(|host| parts.add_host(host.trim(), cause))?;
                }
                _ => parts.add_url(text, cause)?,
            }
        }
        let targets = std::mem::take(&mut parts.targets);
        let paths = paths_of(&targets, upstreams, &mut PathBudget::default())?;
        if upstreams.has(Interpretation::MethodOverrideQuery) {
            // For who decodes first, an encoded `?` begins a query, too.
            let is_cut = upstreams.has(Interpretation::DecodedQueryDelimiters);
            let decoded = paths.0.iter().filter(|path| is_cut && path.text.contains('?'));
            for query in targets.0.iter().chain(decoded) {
                let by = query.by.unwrap_or(plain(Interpretation::MethodOverrideQuery));
                method::asked_for_by_query(&query.text).try_for_each(|text| parts.add_methods(&text, by))?;
            }
        }
        let ignores_case = upstreams.has(Interpretation::CaseInsensitivePaths);
        let cases = if ignores_case { 2 } else { 1 };
        let Parts { methods, hosts, .. } = parts;
        let combinations = methods.0.len() * hosts.0.len() * paths.0.len() * cases;
        if combinations > MAX_COMBINATIONS {
            return Err(Unroutable::ambiguous(None));
        }
        Ok(Self { methods: methods.0, hosts: hosts.0, paths: paths.0, ignores_case })
    }
}

const fn plain(interpretation: Interpretation) -> Cause {
    Cause { interpretation, header: None }
}

/// The readings of all targets: what they cost together is bounded.
fn paths_of(
    targets: &Readings,
    upstreams: UpstreamInterpretations,
    budget: &mut PathBudget,
) -> Result<Readings, Unroutable> {
    let mut paths = Readings(Vec::new());
    for target in &targets.0 {
        let refused = |_| Unroutable { reason: DenyReason::PathInvalid, by: target.by };
        let readings = PathInterpretations::of(&target.text, upstreams, budget).map_err(refused)?;
        for (text, by) in readings.into_readings() {
            let by = target.by.or(by.map(|interpretation| Cause { interpretation, header: None }));
            if !paths.has(&text) {
                paths.0.push(Reading { text, by });
            }
        }
    }
    Ok(paths)
}

/// Different readings of one part of a request.
#[derive(Default)]
struct Readings(Vec<Reading>);

impl Readings {
    fn of(as_sent: String) -> Self {
        Self(vec![Reading { text: as_sent, by: None }])
    }

    fn has(&self, text: &str) -> bool {
        self.0.iter().any(|reading| reading.text == text)
    }

    /// Adds what has no case of its own, in the case that `fold` makes of it. Known ones cost no allocation.
    fn add_folded(&mut self, sent: &str, fold: fn(&u8) -> u8, by: Cause) -> Result<(), Unroutable> {
        let folded = || sent.bytes().map(|byte| fold(&byte));
        let is_known = self.0.iter().any(|reading| reading.text.bytes().eq(folded()));
        if is_known { Ok(()) } else { self.add(folded().map(char::from).collect(), by) }
    }

    fn add(&mut self, text: String, by: Cause) -> Result<(), Unroutable> {
        if self.has(&text) {
            return Ok(());
        }
        self.0.push(Reading { text, by: Some(by) });
        if self.0.len() > MAX_EACH { Err(Unroutable::ambiguous(Some(by))) } else { Ok(()) }
    }
}

/// The readings of each part while they are collected.
struct Parts {
    methods: Readings,
    hosts: Readings,
    targets: Readings,
    /// How many values were looked at.
    listed: usize,
}

impl Parts {
    fn count(&mut self, by: Cause) -> Result<(), Unroutable> {
        self.listed += 1;
        if self.listed > MAX_LISTED { Err(Unroutable::ambiguous(Some(by))) } else { Ok(()) }
    }

    fn add_methods(&mut self, text: &str, by: Cause) -> Result<(), Unroutable> {
        self.count(by)?;
        method::methods_in(text).try_for_each(|method| {
            self.count(by)?;
            self.methods.add_folded(method, u8::to_ascii_uppercase, by)
        })
    }

    /// One pair of a `Forwarded` header (RFC 7239, section 4).
    fn add_forwarded(&mut self, pair: &str, by: Cause) -> Result<(), Unroutable> {
        match pair.split_once('=') {
            Some((name, host)) if name.trim().eq_ignore_ascii_case("host") => {
                self.add_host(host.trim().trim_matches('"'), by)
            }
            _ => self.count(by),
        }
    }

    fn add_host(&mut self, authority: &str, by: Cause) -> Result<(), Unroutable> {
        self.count(by)?;
        if !authority::is_valid(authority) {
            return Err(Unroutable { reason: DenyReason::AuthorityInvalid, by: Some(by) });
        }
        // Who is told an empty one goes by the request's own.
        if authority.is_empty() {
            Ok(())
        } else {
            self.hosts.add_folded(bare_host(authority), u8::to_ascii_lowercase, by)
        }
    }

    /// A URL, or a target alone.
    fn add_url(&mut self, text: &str, by: Cause) -> Result<(), Unroutable> {
        let (host, target) = split_url(text);
        if let Some(host) = host {
            self.add_host(host, by)?;
        }
        self.count(by)?;
        self.targets.add(target.to_owned(), by)
    }
}

/// Host and target of a URL, or a target alone.
fn split_url(text: &str) -> (Option<&str>, &str) {
    let Some((scheme, rest)) = text.split_once("://") else { return (None, text) };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return (None, text);
    }
    match rest.find('/').and_then(|slash| rest.split_at_checked(slash)) {
        Some((host, target)) => (Some(host), target),
        None => (Some(rest), "/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&str, &[u8])]) -> Result<RequestInterpretations, DenyReason> {
        let base: [(&str, &[u8]); 3] = [(":method", b"GET"), (":authority", b"a.example"), (":path", b"/")];
        let base = base.iter().filter(|(name, _)| !headers.iter().any(|(given, _)| given == name));
        let request = base.chain(headers).map(|&(name, value)| (name, value.to_vec())).collect();
        RequestInterpretations::of(&request, UpstreamInterpretations::default()).map_err(|refused| refused.reason)
    }

    #[test]
    fn what_is_no_method_or_host_is_refused_for_what_it_is() {
        for method in [&b""[..], b"GE T", b"\xff", b"GET\x00"] {
            assert_eq!(of(&[(":method", method)]), Err(DenyReason::MethodInvalid), "{method:?}");
        }
        for authority in [&b"x@api.example"[..], b"a.example\xff", b"%61.example", b"a/b", b"a\\b", b"caf\xc3\xa9"] {
            assert_eq!(of(&[(":authority", authority)]), Err(DenyReason::AuthorityInvalid), "{authority:?}");
            assert_eq!(of(&[("x-forwarded-host", authority)]), Err(DenyReason::AuthorityInvalid), "{authority:?}");
        }
        assert!(of(&[(":authority", b"[::1]:8080")]).is_ok());
    }

    #[test]
    fn a_url_in_a_header_is_a_host_and_a_path() {
        let read = of(&[("x-original-url", b"https://b.example:8443/admin?x")]).unwrap();
        assert_eq!(read.hosts.iter().map(|host| host.text.as_str()).collect::<Vec<_>>(), ["a.example", "b.example"]);
        assert_eq!(read.paths.iter().map(|path| path.text.as_str()).collect::<Vec<_>>(), ["/", "/admin"]);
        assert_eq!(of(&[("x-original-url", b"b.example/admin")]), Err(DenyReason::PathInvalid));
    }

    /// All hosts of a list count: Rails takes the last, most take the first.
    #[test]
    fn each_host_of_a_list_is_a_reading() {
        let read = of(&[("x-forwarded-host", b"a.example, b.example,")]).unwrap();
        assert_eq!(read.hosts.iter().map(|host| host.text.as_str()).collect::<Vec<_>>(), ["a.example", "b.example"]);
    }

    /// Of 33 KiB, in bytes that are looked at: no more than checking a forged token's signature costs, some 100 µs.
    #[test]
    fn the_cost_of_the_worst_request_is_bounded_as_a_whole() {
        let cost = |targets: &[String]| {
            let mut budget = PathBudget::default();
            let readings = targets.iter().map(|text| Reading { text: text.clone(), by: None }).collect();
            let paths = paths_of(&Readings(readings), UpstreamInterpretations::default(), &mut budget);
            let text: usize = paths.iter().flat_map(|paths| &paths.0).map(|path| path.text.len()).sum();
            assert!(text <= 16_384);
            budget.scanned
        };
        // Some have too many readings to be judged, some just as many as may be; alone and with three more in headers.
        let prefixes =
            ["/f/%252fx/../c\\%3bq/%3f%25252f%253f", "/a;b/%2fc\\d", "/a;b/x\\y/../c", "/a;b/../c%3bd", "/a\\b/c./d;e"];
        let mut worst = 0;
        for (prefix, filler) in prefixes.iter().flat_map(|prefix| (0..40).map(move |step| (prefix, step * 100))) {
            let targets: Vec<String> = (0..4).map(|i| format!("{prefix}/{i}/{}", "z/".repeat(filler))).collect();
            worst =
                worst.max(cost(&targets)).max(targets.first().map_or(0, |target| cost(std::slice::from_ref(target))));
        }
        assert!((100_000..=160_000).contains(&worst), "{worst}");
    }

    fn methods(headers: &[(&str, &[u8])]) -> Vec<String> {
        of(headers).unwrap().methods.into_iter().map(|method| method.text).collect()
    }

    #[test]
    fn every_method_that_a_header_lists_is_a_reading() {
        for (value, expected) in [
            (&b"DELETE, POST"[..], &["GET", "DELETE", "POST"][..]),
            (b"delete,", &["GET", "DELETE"]),
            (b" , ,Delete;q=1", &["GET", "DELETE", "Q", "1"]),
            (b"DELETE\xff", &["GET", "DELETE"]),
            (b"", &["GET"]),
        ] {
            assert_eq!(methods(&[("x-http-method-override", value)]), expected, "{value:?}");
        }
        let no_case = UpstreamInterpretations::default().with(Interpretation::CaseInsensitiveMethods, false);
        let lower = Headers::from_iter([(":method", "delete"), (":path", "/"), ("x-http-method", "delete")]);
        let read = RequestInterpretations::of(&lower, no_case).unwrap();
        assert_eq!(read.methods.iter().map(|method| method.text.as_str()).collect::<Vec<_>>(), ["delete", "DELETE"]);
        let lines: [(&str, &[u8]); 2] = [("x-http-method", b"PUT"), ("x-http-method", b"PATCH, GET")];
        assert_eq!(methods(&lines), ["GET", "PUT", "PATCH"]);
    }

    #[test]
    fn every_query_that_an_upstream_may_see_names_methods() {
        for path in ["/x?+_method[]=DELETE", "/x%3f_method=DELETE", "/x%253f_method=DELETE", "/x?a=1;_method=DELETE"] {
            assert_eq!(methods(&[(":path", path.as_bytes())]), ["GET", "DELETE"], "{path}");
        }
        assert_eq!(methods(&[("x-original-url", b"/?_method=DELETE")]), ["GET", "DELETE"]);
    }

    /// Of the same values, too: there may be thousands in the headers that Envoy lets through.
    #[test]
    fn what_a_request_lists_is_bounded() {
        let listed = |name: &str, value: &str, count: usize| {
            let value = vec![value; count].join(if name == "forwarded" { ";" } else { "," });
            of(&[(name, value.as_bytes())])
        };
        for (name, value) in [
            ("x-forwarded-host", "a"),
            ("x-forwarded-host", ""),
            ("forwarded", "host=a"),
            ("forwarded", "for=a"),
            ("x-http-method", "PUT"),
        ] {
            assert!(listed(name, value, MAX_LISTED - 1).is_ok(), "{name}: {value}");
            assert_eq!(listed(name, value, MAX_LISTED + 1), Err(DenyReason::PathAmbiguous), "{name}: {value}");
        }
        let query = format!("/?{}", "_method=GET&".repeat(MAX_LISTED));
        assert_eq!(of(&[(":path", query.as_bytes())]), Err(DenyReason::PathAmbiguous));
    }

    #[test]
    fn combinations_are_bounded_as_a_product() {
        let each = |hosts: &[u8]| {
            let headers: [(&str, &[u8]); 5] = [
                (":path", b"/a%2fb;c//d"),
                ("x-http-method", b"A"),
                ("x-http-method-override", b"B"),
                ("x-method-override", b"C"),
                ("x-forwarded-host", hosts),
            ];
            of(&headers)
        };
        assert_eq!(each(b"b,c,d"), Err(DenyReason::PathAmbiguous));
        let read = each(b"a.example").unwrap();
        assert!(read.methods.len() * read.paths.len() * 2 <= MAX_COMBINATIONS);
    }
}
