//! Whether a person waits for a page. Redirects to https and to a login page, pages in place of problem documents, and the
//! removal of a cookie all ask here.
//!
//! A browser says so by `Sec-Fetch-Mode` and `Sec-Fetch-Dest` (Fetch Metadata), which no script can set. One that sends no
//! such header is an older one, or sends its request by plain http: there a script is told from a page by what it sends
//! besides. `Accept` alone does not tell: frames and service workers send a page's, and old browsers a script's with
//! everything.

use super::headers::Headers;

/// What a browser is to show for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Navigation {
    /// A page load: a document for a whole tab, by GET or HEAD, not fetched ahead. It may be sent elsewhere, and its
    /// cookie be removed: nobody waits for what is fetched ahead, and its answer may be older than a login.
    Load,
    /// Nothing: a script, a frame, an image, a worker or a program reads the answer.
    #[default]
    None,
    /// A document in answer to a form that was sent by POST.
    Submit,
}

impl Navigation {
    /// What the browser is to show for that request.
    pub fn of(request: &Headers) -> Self {
        let navigation = match request.get(":method") {
            Some(b"GET" | b"HEAD") => Self::Load,
            Some(b"POST") => Self::Submit,
            _ => return Self::None,
        };
        let is_document = match request.get("sec-fetch-mode") {
            Some(mode) => mode == b"navigate" && request.get("sec-fetch-dest") == Some(b"document"),
            None => navigation.is_told_without_metadata(request),
        };
        if is_document && !is_prefetch(request) { navigation } else { Self::None }
    }

    /// Whether a browser that sends no Fetch Metadata is to show a document. Each form that is sent by POST has an
    /// `Origin`; a page load has none.
    fn is_told_without_metadata(self, request: &Headers) -> bool {
        let mut accepted = request.all("accept").filter_map(|kinds| std::str::from_utf8(kinds).ok());
        accepted.any(|kinds| kinds.contains("text/html"))
            && !request.has("x-requested-with")
            && !request.has("upgrade")
            && (self == Self::Submit || !request.has("origin"))
            && !request.iter().any(|(name, _)| name.starts_with("sec-fetch-"))
    }
}

/// Whether a browser, or a page's router, fetches ahead what its user may never ask for.
pub fn is_prefetch(request: &Headers) -> bool {
    let says = |name| request.all(name).any(|value| String::from_utf8_lossy(value).contains("prefetch"));
    says("sec-purpose") || says("purpose") || says("x-moz") || request.has("next-router-prefetch")
}

#[cfg(test)]
mod tests;
