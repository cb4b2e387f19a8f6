//! How many lines of each file are production code. Read from the text as `rustfmt` leaves it: an item begins and ends
//! in the first column.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The attribute of what is there for tests only.
const FOR_TESTS: &str = "#[cfg(test)]";

/// The lines of each file below that folder that no test module takes: neither one within a file nor one in its own.
pub fn production_lines(folder: &Path) -> Result<BTreeMap<PathBuf, usize>> {
    let mut lines = BTreeMap::new();
    let mut test_modules = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let Production { count, test_modules: declared } = production_of(&source);
                let children = folder_of_children(&path);
                test_modules.extend(declared.into_iter().map(|name| children.join(name)));
                lines.insert(path, count);
            }
        }
    }
    lines.retain(|path, _| !test_modules.iter().any(|module| is_of_module(path, module)));
    Ok(lines)
}

/// What of a file is production code.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Production {
    /// Its lines.
    pub count: usize,
    /// Modules in files of their own that are there for tests only.
    pub test_modules: Vec<String>,
}

/// What of that source is production code.
pub fn production_of(source: &str) -> Production {
    let mut production = Production::default();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line != FOR_TESTS {
            production.count += 1;
            continue;
        }
        // The item: its other attributes, and its first line up to its last.
        for line in lines.by_ref() {
            let name = line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
            production.test_modules.extend(name.map(str::to_owned));
            let is_whole = line.ends_with(';') && !line.starts_with(' ');
            if is_whole || line.starts_with('}') {
                break;
            }
        }
    }
    production
}

/// The folder in which the children of a file's module are.
fn folder_of_children(file: &Path) -> PathBuf {
    let is_root = ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| file.ends_with(name));
    if is_root { file.with_file_name("") } else { file.with_extension("") }
}

/// Whether the file is that module's or a child's. The module is named as its folder would be.
fn is_of_module(file: &Path, module: &Path) -> bool {
    file.with_extension("") == module || file.starts_with(module)
}
