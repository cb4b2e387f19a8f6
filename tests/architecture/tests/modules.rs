//! The shape of the code: no module of any crate imports, directly or by others, one that imports it; and the modules
//! of the policy stand in layers.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Result;
use session_gate_architecture::{Graph, of_sources, read_crate};

/// The sources, below the workspace's root, of all crates.
const CRATES: [&str; 10] = [
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

/// The policy's sources.
const POLICY: &str = "policy/src";

/// The policy's modules: each imports only from those before it.
const POLICY_LAYERS: [&str; 16] = [
    "generations",
    "ids",
    "metric",
    "time",
    "host",
    "sidecar",
    "http",
    "limits",
    "token",
    "routing",
    "knowledge",
    "response",
    "config",
    "request",
    "vm",
    "worker",
];

fn graph_of(sources: &str) -> Result<Graph> {
    read_crate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(sources))
}

/// The modules that import each other in a circle, each with what it imports there.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reachable: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|module| (module, reachable_from(graph, module))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    for (module, others) in &reachable {
        let circle: Vec<String> = others
            .iter()
            .filter(|other| reachable.get(*other).is_some_and(|back| back.contains(module)))
            .map(|other| (*other).clone())
            .collect();
        if !circle.is_empty() && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reachable_from<'a>(graph: &'a Graph, start: &'a String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        for other in graph.get(module).into_iter().flatten() {
            if reached.insert(other) {
                next.push(other);
            }
        }
    }
    reached
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let found: Vec<_> = CRATES
        .into_iter()
        .map(|sources| (sources, circles(&graph_of(sources).unwrap())))
        .filter(|(_, circles)| !circles.is_empty())
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_policys_modules_import_down_their_layers_only() {
    let layer = |module: &str| {
        let top = module.split("::").next().unwrap_or_default();
        POLICY_LAYERS.iter().position(|layer| *layer == top)
    };
    for (module, imports) in graph_of(POLICY).unwrap() {
        for import in imports {
            let (Some(from), Some(to)) = (layer(&module), layer(&import)) else { continue };
            assert!(to <= from, "{module} imports {import}, which stands above it");
        }
    }
}

#[test]
fn a_circle_is_found_through_a_re_export_and_a_facade_is_none() {
    let parse = |files: &[(&str, &str)]| of_sources(files).unwrap();
    let circle = parse(&[
        ("", "mod a; mod b; pub use b::B;"),
        ("a", "use crate::B; pub struct A(B);"),
        ("b", "use crate::a::A; pub struct B(Box<A>);"),
    ]);
    assert_eq!(circles(&circle), [["a", "b"]]);
    let facade = parse(&[
        ("", "mod a; mod b; pub use b::B;"),
        ("a", "use crate::B; pub struct A(B);"),
        ("b", "pub struct B;\n#[cfg(test)] mod tests { use crate::a::A; }"),
    ]);
    assert_eq!(circles(&facade), Vec::<Vec<String>>::new());
    let parent = parse(&[
        ("", "mod a;"),
        ("a", "mod c; use c::C; pub struct A(C);"),
        ("a::c", "pub struct C(Option<Box<super::A>>);"),
    ]);
    assert_eq!(circles(&parent), [["a", "a::c"]]);
}
