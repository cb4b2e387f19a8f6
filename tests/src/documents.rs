//! What the documentation has in its code blocks, for tests that run it.

use anyhow::{Context as _, Result};

use crate::tools;

/// The text of that file of `docs/`.
///
/// # Errors
/// Where it cannot be read.
pub fn read(name: &str) -> Result<String> {
    let path = tools::root().join("docs").join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The blocks of a document that are fenced with that language, in their order.
pub fn blocks(document: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = document.split(&begin).skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}
