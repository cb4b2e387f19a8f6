//! The sections about pages for people: where they log in, and what they see when they are refused.

use std::rc::Rc;

use super::{
    problems::Problems,
    raw::{RawLogin, RawRouteLogin},
};
use crate::{
    http::{
        authority, headers::Headers, interpretations::RequestInterpretations,
        upstream_interpretations::UpstreamInterpretations,
    },
    response::page::{ErrorPage, MAX_PAGE_BYTES},
    routing::{Authentication, HostPattern, Login, LoginPage, Route, RoutePolicy, RouteTable, is_plain_pattern},
};

pub(super) fn error_page(raw: Option<String>, problems: &mut Problems) -> ErrorPage {
    let Some(template) = raw else { return ErrorPage::default() };
    if template.len() > MAX_PAGE_BYTES {
        problems.add("error_page", "must have at most 64 KiB");
    }
    ErrorPage::parse(template).unwrap_or_else(|unknown| {
        let known = "{{status}}, {{title}}, {{code}}, {{retry_after}} or {{advice}}";
        problems.add("error_page", format!("unknown placeholder {unknown}; expected {known}"));
        ErrorPage::default()
    })
}

pub(super) fn login(raw: RawLogin, path: &str, problems: &mut Problems) -> Rc<Login> {
    let RawLogin { url, next_parameter, second_factor_url } = raw;
    let next_parameter = next_parameter.unwrap_or_else(|| "next".to_owned());
    if !is_unreserved(&next_parameter) {
        problems.add(format!("{path}.next_parameter"), "must be letters, digits, and - . _ ~");
    }
    let url = problems.required(format!("{path}.url"), url);
    let mut page_at = |field: &str, url: String| page(url, &next_parameter, &format!("{path}.{field}"), problems);
    let page = page_at("url", url);
    let second_factor = second_factor_url.map(|url| page_at("second_factor_url", url));
    Rc::new(Login { page, next_parameter, second_factor })
}

/// A route's own, or that of all.
pub(super) fn route_login(
    raw: Option<RawRouteLogin>,
    path: &str,
    default: Option<&Rc<Login>>,
    problems: &mut Problems,
) -> Option<Rc<Login>> {
    match raw {
        None => default.cloned(),
        Some(RawRouteLogin::At(raw)) => Some(login(raw, path, problems)),
        Some(RawRouteLogin::Off(false)) => None,
        Some(RawRouteLogin::Off(true)) => {
            problems.add(path, "must be {url, next_parameter, second_factor_url}, or false");
            None
        }
    }
}

/// RFC 3986's unreserved characters: what needs no encoding in a query.
pub(super) fn is_unreserved(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

fn page(url: String, next_parameter: &str, field: &str, problems: &mut Problems) -> LoginPage {
    let path = path_of(&url).unwrap_or_default().to_owned();
    if path.is_empty() && !problems.has(field) {
        problems.add(
            field,
            "must be a path such as /login/ or an absolute https URL, in ASCII, with or without a query, and without a \
             fragment, escapes in its path, // or dot segments",
        );
    }
    let mut parameters = url.split_once('?').map(|(_, query)| query).unwrap_or_default().split('&');
    if parameters.any(|parameter| parameter.split('=').next() == Some(next_parameter)) {
        problems
            .add(field, format!("must not have the parameter `{next_parameter}`, which tells where to lead back to"));
    }
    LoginPage { url, path }
}

/// The path of a URL that page loads may be sent to.
fn path_of(url: &str) -> Option<&str> {
    let address = url.split('?').next()?;
    let path = match address.strip_prefix("https://") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let is_host = !authority.is_empty() && authority::is_valid(authority);
            is_host.then_some(if path.is_empty() { "/" } else { path })?
        }
        None => address,
    };
    let is_url_byte = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    (is_plain_pattern(path) && url.bytes().all(is_url_byte)).then_some(path)
}

/// A login page that asks for a login is of no use, nor one for the second factor that asks for that.
pub(super) fn warn_of_unreachable(
    table: &RouteTable,
    default: Option<&Rc<Login>>,
    upstreams: UpstreamInterpretations,
    problems: &mut Problems,
) {
    for (place, route) in table.iter().enumerate() {
        let is_public = route.policy.authentication == Authentication::Public;
        let Some(login) = route.policy.login.as_ref().filter(|_| !is_public) else { continue };
        let is_default = default.is_some_and(|default| Rc::ptr_eq(default, login));
        let section = if is_default { "login".to_owned() } else { format!("routes[{place}].login") };
        let mut check = |field: &str, page: &LoginPage, lets_in: fn(&RoutePolicy) -> bool, otherwise: &str| {
            // Of another host's pages nothing is known here.
            let hosts = if page.url.starts_with('/') { hosts(route) } else { Vec::new() };
            for host in hosts {
                let request = [(":method", "GET"), (":authority", &host), (":path", &page.path)];
                let request: Headers = request.into_iter().map(|(name, value)| (name, value.as_bytes())).collect();
                let read = RequestInterpretations::of(&request, upstreams);
                let message = match read.and_then(|read| table.find(&read).cloned()) {
                    Ok(rule) if lets_in(&rule.policy) => continue,
                    Ok(rule) => format!("meets the rule `{}`, {otherwise}", rule.name),
                    Err(_) => "meets no rule: it is refused".to_owned(),
                };
                problems.warn(format!("{section}.{field}"), message);
            }
        };
        let is_open = |policy: &RoutePolicy| policy.authentication != Authentication::Required;
        check("url", &login.page, is_open, "which asks for a login: nobody can log in there");
        if let Some(page) = &login.second_factor {
            let lets_in =
                |policy: &RoutePolicy| policy.accept_pending_2fa || policy.authentication == Authentication::Public;
            let otherwise = "which does not serve sessions that wait for it: `accept_pending_2fa`";
            check("second_factor_url", page, lets_in, otherwise);
        }
    }
}

/// A host of each kind that the rule is for.
fn hosts(route: &Route) -> Vec<String> {
    if route.matcher.hosts.is_empty() {
        return vec![String::new()];
    }
    let one = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Suffix(suffix) => format!("any{suffix}"),
    };
    route.matcher.hosts.iter().map(one).collect()
}
