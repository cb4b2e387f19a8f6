//! Any text as the value of a header, and back without doubt.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Beside all that is not ASCII: control characters, and what encodes.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The text in visible ASCII and spaces. What is not, `%`, and spaces at its ends are percent-encoded, in UTF-8: to decode
/// all of it once gives the text back, whatever it was. Most texts are their own encoding.
pub fn encode(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if text.bytes().all(is_plain) && !text.starts_with(' ') && !text.ends_with(' ') {
        return Cow::Borrowed(text);
    }
    let rest = text.trim_start_matches(' ');
    let inner = rest.trim_end_matches(' ');
    let spaces = |count: usize| "%20".repeat(count);
    let (before, after) = (spaces(text.len() - rest.len()), spaces(rest.len() - inner.len()));
    Cow::Owned(format!("{before}{}{after}", utf8_percent_encode(inner, ENCODED)))
}

/// What stands in a header for the text, where that is not the text itself.
pub fn encoded(text: &str) -> Option<Box<str>> {
    match encode(text) {
        Cow::Borrowed(_) => None,
        Cow::Owned(encoded) => Some(encoded.into()),
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_visible_ascii_is_encoded() {
        for (text, expected) in [
            ("alice", "alice"),
            ("John Smith <js@x.example>, \"jr\"; a=b|c+d", "John Smith <js@x.example>, \"jr\"; a=b|c+d"),
            ("zoë", "zo%C3%AB"),
            ("50%", "50%25"),
            ("a%20b", "a%2520b"),
            ("a\r\nx-user-id: root", "a%0D%0Ax-user-id: root"),
            ("\u{85}\0\t\u{7f}", "%C2%85%00%09%7F"),
            (" a ", "%20a%20"),
            ("   ", "%20%20%20"),
            ("", ""),
        ] {
            assert_eq!(encode(text), expected, "{text:?}");
            assert_eq!(encoded(text).as_deref().unwrap_or(text), expected, "{text:?}");
            assert_eq!(encoded(text).is_none(), text == expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn decoding_once_gives_the_text_back(text in ".{0,12}|[ %a\u{e9}\r\n]{0,8}") {
            let value = encode(&text);
            prop_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(value.trim(), value.as_ref());
            let decoded = percent_decode_str(&value).decode_utf8().unwrap();
            prop_assert_eq!(decoded.as_ref(), text.as_str());
        }
    }
}
