//! The shape of the sources: which module of a crate imports which, and how long files are. `tests/` says what may be.
#![warn(missing_docs)]

mod file_sizes;
mod module_graph;

pub use file_sizes::{Production, production_lines, production_of};
pub use module_graph::{Graph, of_sources, read_crate};
