//! A regular expression as a table of states, made when the configuration is read: a path costs one look-up per byte,
//! whatever the expression.

use regex_automata::{
    Anchored, Input,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson,
    util::syntax,
};

use super::case::folded;

/// Most bytes of a table; one that would be larger is refused. Usual ones have a few thousand.
const MAX_TABLE: usize = 1 << 20;
/// Most bytes that making one may take.
const MAX_WORK: usize = 4 << 20;

/// A regular expression that must match a whole path, with or without a slash at its end. It knows bytes, not
/// characters: `.` is any byte of UTF-8.
#[derive(Debug)]
pub(super) struct PathRegex {
    table: dense::DFA<Vec<u32>>,
    /// The root is a slash and nothing else: it has none that could be left out.
    matches_root: bool,
}

impl PathRegex {
    /// Reads an expression. Case is that of ASCII letters.
    pub(super) fn new(text: &str, ignores_case: bool) -> Option<Self> {
        let syntax = syntax::Config::new().unicode(false).utf8(false).case_insensitive(ignores_case);
        // A path is compared in lower case, too, where such a capital would match nothing.
        if text.chars().any(|c| !c.is_ascii() && folded(c.encode_utf8(&mut [0; 4])) != c.to_string()) {
            return None;
        }
        // Alone first: a text such as `a)|(?:b` would be right only between the anchors.
        syntax::parse_with(text, &syntax).ok()?;
        let table = table(&format!(r"\A(?:{text})/?\z"), syntax)?;
        let matches_root = matches(&table, "/") && {
            let as_written = self::table(&format!(r"\A(?:{text})\z"), syntax)?;
            matches(&as_written, "/")
        };
        Some(Self { table, matches_root })
    }

    /// Whether it matches the path.
    pub(super) fn matches(&self, path: &str) -> bool {
        if path == "/" { self.matches_root } else { matches(&self.table, path) }
    }
}

fn table(text: &str, syntax: syntax::Config) -> Option<dense::DFA<Vec<u32>>> {
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .dfa_size_limit(Some(MAX_TABLE))
        .determinize_size_limit(Some(MAX_WORK));
    let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_WORK));
    dense::Builder::new().configure(config).thompson(nfa).syntax(syntax).build(text).ok()
}

fn matches(table: &dense::DFA<Vec<u32>>, path: &str) -> bool {
    let input = Input::new(path).anchored(Anchored::Yes);
    // It cannot fail: no byte is set to stop the search, and the table has a state for anchored ones.
    table.try_search_fwd(&input).is_ok_and(|found| found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(text: &str) -> PathRegex {
        PathRegex::new(text, false).unwrap()
    }

    #[test]
    fn it_matches_the_whole_path_with_or_without_a_slash_at_its_end() {
        let php = regex(r".*\.php");
        for (path, is_match) in [("/a.php", true), ("/a.php/", true), ("/a.php//", false), ("/a.phps", false)] {
            assert_eq!(php.matches(path), is_match, "{path}");
        }
        let either = regex("/a|/b");
        assert!(either.matches("/b/") && !either.matches("/bc") && !either.matches("x/a"));
        assert!(regex("/[^/]+/edit").matches("/caf\u{e9}/edit"), "any byte but a slash");
        assert!(regex("/é|/x").matches("/é/"));
    }

    #[test]
    fn the_root_is_a_slash_and_nothing_else() {
        assert!(!regex("(/a)?").matches("/") && regex("(/a)?").matches("/a"));
        assert!(regex("/").matches("/") && regex(".*").matches("/"));
    }

    #[test]
    fn case_is_that_of_ascii_letters() {
        let folded = PathRegex::new("/Orders/[A-Z]+", true).unwrap();
        assert!(folded.matches("/orders/x") && !folded.matches("/orders/1"));
        assert!(!regex("/Orders").matches("/orders"));
    }

    #[test]
    fn what_would_be_wrong_between_the_anchors_or_too_large_is_refused() {
        for text in ["a)|(?:b", "[", "/CAF\u{c9}", "(?x) a # b", "[é]", ".*a.{40}b", "(a{1000}){1000}"] {
            assert!(PathRegex::new(text, false).is_none(), "{text}");
        }
    }
}
