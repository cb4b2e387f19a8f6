//! The size of files: one concern a file, so that a stranger finds it by its name.

use std::path::{Path, PathBuf};

use anyhow::Result;
use session_gate_architecture::{production_lines, production_of};

/// The folders of the sources that go into what is shipped, run or measured, below the workspace's root.
const SOURCES: [&str; 10] = [
    "bench/src",
    "filter/src",
    "jose/src",
    "policy/src",
    "protocol/src",
    "revocation/src",
    "store-sidecar/src",
    "tests/architecture/src",
    "tests/simulation/src",
    "tests/src",
];

/// Most lines of a file, without its tests.
const MOST: usize = 400;

/// Most lines of the median file.
const MEDIAN: usize = 121;

fn files() -> Result<Vec<(PathBuf, usize)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let mut files = Vec::new();
    for folder in SOURCES {
        let lines = production_lines(&root.join(folder))?;
        let named = lines.into_iter().map(|(path, count)| (path.strip_prefix(&root).map(Path::to_owned), count));
        files.extend(named.filter_map(|(path, count)| Some((path.ok()?, count))));
    }
    Ok(files)
}

#[test]
fn no_file_is_longer_than_it_may_be() {
    let files = files().unwrap();
    assert!(files.len() > 200, "{}", files.len());
    let long: Vec<_> = files.iter().filter(|(_, count)| *count > MOST).collect();
    assert!(long.is_empty(), "divide these by concern: {long:#?}");
}

#[test]
fn the_median_file_is_short() {
    let mut counts: Vec<usize> = files().unwrap().into_iter().map(|(_, count)| count).collect();
    counts.sort_unstable();
    let median = counts.get(counts.len() / 2).copied().unwrap_or_default();
    assert!((1..=MEDIAN).contains(&median), "{median}");
}

#[test]
fn tests_count_for_nothing() {
    let source =
        "//! A file.\n\nmod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\nmod c {\n    fn one() {\n    }\n}\n\nfn d() {\n}\n";
    let production = production_of(source);
    assert_eq!((production.count, production.test_modules), (6, vec!["b".to_owned()]));
    let attributes =
        "#[cfg(test)]\n#[expect(dead_code, reason = \"x\")]\nimpl A {\n    const B: u8 = 1;\n}\nfn e() {}\n";
    assert_eq!(production_of(attributes).count, 1);
}
