//! Paths without regard to case.

/// The text as whatever ignores case may read it: in lower case, and with the letters that Unicode folds into ASCII ones
/// (Python's `re.IGNORECASE`, Go's `strings.EqualFold`), the long s and the dotless and the dotted i, as these.
pub(super) fn folded(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{130}' | '\u{131}' => 'i',
        c => c,
    });
    plain.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_fold_into_ascii_are_these() {
        assert_eq!(folded("/\u{17f}ECRET/\u{131}\u{130}/\u{212a}/\u{c9}"), "/secret/ii/k/\u{e9}");
    }
}
