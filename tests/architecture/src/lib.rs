//! Which module of a crate imports which, read from its sources. `tests/modules.rs` says what may be.
#![warn(missing_docs)]

mod module_graph;

pub use module_graph::{Graph, of_sources, read_crate};
