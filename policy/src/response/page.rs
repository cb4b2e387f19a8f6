//! The page that a person gets in place of a problem document: a template with gaps.

/// What fills the gaps of a page. Its texts are escaped when they are put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageContent<'a> {
    /// The HTTP status.
    pub status: u16,
    /// What has happened.
    pub title: &'a str,
    /// The reason's stable code.
    pub code: &'a str,
    /// After how many seconds to try again.
    pub retry_after: Option<u64>,
    /// Where to sign in.
    pub login: Option<&'a str>,
    /// What there is to say besides.
    pub detail: Option<&'a str>,
}

/// A page with gaps, each of which is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage(String);

/// Longest template, in bytes: every worker holds it, and each denied page load sends it.
pub const MAX_PAGE_BYTES: usize = 64 * 1024;

const DEFAULT: &str = include_str!("page/default.html");

impl Default for ErrorPage {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl ErrorPage {
    /// Reads a template: HTML with `{{status}}`, `{{title}}`, `{{code}}`, `{{retry_after}}` and `{{advice}}`.
    ///
    /// # Errors
    /// The first text in double braces that is no gap.
    pub fn parse(template: String) -> Result<Self, String> {
        fill(&template, &PageContent::default().gaps())?;
        Ok(Self(template))
    }

    /// The page, in HTML.
    pub fn fill(&self, content: &PageContent<'_>) -> String {
        fill(&self.0, &content.gaps()).unwrap_or_default()
    }
}

impl PageContent<'_> {
    fn gaps(&self) -> [(&'static str, String); 5] {
        [
            ("advice", self.advice()),
            ("code", escaped(self.code)),
            ("retry_after", self.retry_after.map(|seconds| seconds.to_string()).unwrap_or_default()),
            ("status", self.status.to_string()),
            ("title", escaped(self.title)),
        ]
    }

    /// What a person can do, in HTML.
    fn advice(&self) -> String {
        match (self.login, self.retry_after, self.detail) {
            (Some(login), ..) => format!("<a href=\"{}\">Sign in</a> and try again.", escaped(login)),
            (None, Some(1), _) => "Try again in a second.".to_owned(),
            (None, Some(seconds), _) => format!("Try again in {seconds} seconds."),
            (None, None, Some(detail)) => escaped(detail),
            (None, None, None) if self.status == 401 => "Sign in and try again.".to_owned(),
            (None, None, None) => String::new(),
        }
    }
}

/// The template with its gaps filled, or the first that is none of them.
fn fill(template: &str, gaps: &[(&str, String)]) -> Result<String, String> {
    let mut pieces = template.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    let unknown = |name: &str, end: &str| format!("{{{{{}{end}", name.chars().take(40).collect::<String>());
    for piece in pieces {
        let (name, text) = piece.split_once("}}").ok_or_else(|| unknown(piece, ""))?;
        let (_, value) = gaps.iter().find(|(known, _)| *known == name).ok_or_else(|| unknown(name, "}}"))?;
        page.push_str(value);
        page.push_str(text);
    }
    Ok(page)
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(character),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(template: &str, content: &PageContent<'_>) -> String {
        ErrorPage::parse(template.to_owned()).unwrap().fill(content)
    }

    #[test]
    fn gaps_are_filled_and_what_is_put_in_is_escaped() {
        let content = PageContent {
            status: 429,
            title: "<Too> & 'many' \"requests\"",
            code: "rate_limited",
            retry_after: Some(7),
            ..PageContent::default()
        };
        let template = "{{status}} {{title}} <i>{{code}}</i> {{retry_after}} {{advice}} { } {x} }} ";
        let title = "&lt;Too&gt; &amp; &#39;many&#39; &quot;requests&quot;";
        let expected = format!("429 {title} <i>rate_limited</i> 7 Try again in 7 seconds. {{ }} {{x}} }}}} ");
        assert_eq!(page(template, &content), expected);
        assert_eq!(page("[{{retry_after}}]", &PageContent::default()), "[]");
        assert_eq!(page("", &content), "");
    }

    #[test]
    fn a_value_that_looks_like_a_gap_is_none() {
        let content = PageContent { title: "{{code}}", code: "x", ..PageContent::default() };
        assert_eq!(page("{{title}}{{code}}", &content), "{{code}}x");
    }

    #[test]
    fn what_is_no_gap_is_named() {
        for (template, named) in [
            ("<p>{{titel}}", "{{titel}}"),
            ("{{ title }}", "{{ title }}"),
            ("{{title}} {{title", "{{title"),
            ("{{title}} {{", "{{"),
            ("{{{title}}}", "{{{title}}"),
            ("{{}}", "{{}}"),
        ] {
            assert_eq!(ErrorPage::parse(template.to_owned()), Err(named.to_owned()), "{template}");
        }
    }

    #[test]
    fn the_page_says_what_a_person_can_do() {
        let advice = |content: PageContent<'_>| page("{{advice}}", &content);
        let unauthorized = || PageContent { status: 401, ..PageContent::default() };
        assert_eq!(advice(unauthorized()), "Sign in and try again.");
        let login = PageContent { login: Some("/login?a=1&b=\"2\""), ..unauthorized() };
        assert_eq!(advice(login), "<a href=\"/login?a=1&amp;b=&quot;2&quot;\">Sign in</a> and try again.");
        assert_eq!(advice(PageContent { retry_after: Some(1), ..PageContent::default() }), "Try again in a second.");
        assert_eq!(advice(PageContent { detail: Some("a<b"), ..PageContent::default() }), "a&lt;b");
        assert_eq!(advice(PageContent { status: 403, ..PageContent::default() }), "");
    }

    #[test]
    fn the_built_in_page_needs_nothing_from_elsewhere() {
        let page = ErrorPage::parse(DEFAULT.to_owned()).unwrap().fill(&PageContent::default());
        assert!(page.starts_with("<!doctype html>"));
        assert!(!page.contains("{{") && !page.contains("src=") && !page.contains("url(") && !page.contains("<script"));
    }
}
