//! What is a method, and the methods that a request asks a framework for in place of its own, by a header or by a
//! parameter of its query.
//!
//! Frameworks differ in what they take of a list (the first, the last, what is before the comma) and in what they drop
//! around a name or a method. So every method that one of them may find is found here.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use session_gate_protocol::is_token_byte;

/// Names without what comes before them, in lower case and with `_` for `-`: `_method` of Symfony, Laravel, WordPress,
/// Spring and Express, and the header's name, which ASP.NET looks for in the query, too.
const PARAMETERS: [(&str, NameBegins); 2] =
    [("method", NameBegins::WithUnderscore), ("x_http_method_override", NameBegins::Anyhow)];

/// What comes before a parameter's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameBegins {
    Anyhow,
    /// Or with what is taken for one: blanks, dots, brackets.
    WithUnderscore,
}

/// The methods in what a header or a parameter says, upper case or not: whatever is a method by its form, between
/// whatever is not.
pub(super) fn methods_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !u8::try_from(character).is_ok_and(is_token_byte)).filter(|method| !method.is_empty())
}

/// What the parameters of a target's query say that name a method, decoded. All that repeat count, and some upstreams
/// take `;` for `&`.
pub(super) fn asked_for_by_query(target: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let query = target.split_once('?').map(|(_, query)| query);
    query.into_iter().flat_map(|query| query.split(['&', ';'])).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        names_a_method(name).then(|| decoded(value))
    })
}

fn decoded(value: &str) -> Cow<'_, str> {
    if value.contains('+') {
        Cow::Owned(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
    } else {
        percent_decode_str(value).decode_utf8_lossy()
    }
}

/// Whether an upstream may take this name, as it was sent, for one of [`PARAMETERS`]. PHP drops blanks before a name,
/// ends it at NUL, and takes dots and blanks in it for `_`; brackets after a name are an index, and Rack and qs drop
/// those around it.
fn names_a_method(name: &str) -> bool {
    let bytes = || percent_decode_str(name).map(fold).take_while(|byte| *byte != 0);
    let before = bytes().take_while(|byte| b" [_".contains(byte)).count();
    PARAMETERS.iter().any(|(parameter, begins)| {
        let mut rest = bytes().skip(before);
        (before > 0 || *begins == NameBegins::Anyhow)
            && parameter.bytes().all(|byte| rest.next() == Some(byte))
            && matches!(rest.find(|byte| *byte != b' '), None | Some(b'['))
    })
}

/// One byte for all that upstreams take for the same.
const fn fold(byte: u8) -> u8 {
    match byte {
        1..=b' ' | b'+' | b'.' | b']' | 0x7f => b' ',
        b'-' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_query(query: &str) -> Vec<String> {
        asked_for_by_query(&format!("/x?{query}"))
            .flat_map(|text| methods_in(&text).map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn every_method_of_a_list_is_found_whatever_is_between() {
        for (text, expected) in [
            ("DELETE", &["DELETE"][..]),
            ("DELETE, POST", &["DELETE", "POST"]),
            ("DELETE,", &["DELETE"]),
            (" ,\tdelete ;q=1", &["delete", "q", "1"]),
            ("\"DELETE\"", &["DELETE"]),
            ("DELETE\u{0}\u{fffd}", &["DELETE"]),
            ("M-SEARCH", &["M-SEARCH"]),
            ("", &[]),
            (" , ", &[]),
        ] {
            assert_eq!(methods_in(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_query_names_a_method_in_every_spelling() {
        for name in [
            "_method",
            "%5fmethod",
            "_m%65thod",
            "_METHOD",
            ".method",
            "+_method",
            "%20_method",
            "%20+%20_method",
            "%09_method",
            "_method%00",
            "_method%00x",
            "_method[]",
            "_method[0]",
            "_method%5B%5D",
            "_method[a][b]",
            "_method[",
            "[_method]",
            "_method+",
            "_method.",
            "+.method",
            "__method",
            "X-HTTP-Method-Override",
            "x_http_method_override",
            "+x-http-method-override[]",
        ] {
            assert_eq!(of_query(&format!("{name}=DELETE")), ["DELETE"], "{name}");
        }
        for name in ["method", "_methods", "_method_name", "x_method", "%00_method", "a[_method]", "x-http-method", ""]
        {
            assert_eq!(of_query(&format!("{name}=DELETE")), [""; 0], "{name}");
        }
    }

    #[test]
    fn every_pair_of_a_query_counts_and_its_value_is_decoded() {
        assert_eq!(of_query("a=1&_method=PUT&_method=d%65lete;_method=+GET%2cHEAD"), ["PUT", "delete", "GET", "HEAD"]);
        assert_eq!(of_query("_method&_method=&a"), [""; 0]);
        assert_eq!(asked_for_by_query("/_method=DELETE").count(), 0);
    }
}
