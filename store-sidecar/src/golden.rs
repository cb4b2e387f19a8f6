//! Compares what others rely on with the files that say so.

use std::{env, fs, path::Path};

/// Holds `actual` against the file at `path`, from the root of the repository. With
/// `UPDATE_GOLDEN=1` in the environment the file is written instead.
pub(crate) fn assert_golden(path: &str, actual: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let mut expected = fs::read_to_string(&file).unwrap_or_default();
    if expected != actual && env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, actual).unwrap();
        actual.clone_into(&mut expected);
    }
    assert!(
        expected == actual,
        "{path} is not what the code says: look at the difference, then run the tests once with UPDATE_GOLDEN=1\n{actual}"
    );
}

/// Like [`assert_golden`] for the part of the file between `<!-- {name} -->` and `<!-- /{name} -->`.
pub(crate) fn assert_golden_part(path: &str, name: &str, actual: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let text = fs::read_to_string(&file).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    assert_golden(path, &format!("{before}{begin}{actual}{end}{after}"));
}
