//! Which module of a crate imports which. Read from its sources with `syn`; a name counts as its definer's, whatever
//! module it was re-exported by.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use syn::{
    Attribute, Item, UseTree,
    visit::{self, Visit},
};

/// Modules by path (the crate's root is the empty one), and what each imports.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// A module in its own file.
struct Module {
    file: syn::File,
    /// What it brings in under which name: `use` declarations.
    imports: Vec<Import>,
    /// What it defines.
    items: BTreeSet<String>,
}

/// One name of a `use` declaration.
#[derive(Clone)]
struct Import {
    path: Vec<String>,
    /// As what it is known here; none: everything in it.
    name: Option<String>,
}

/// The graph of the crate in that folder.
pub fn read_crate(root: &Path) -> Result<Graph> {
    let start = ["lib.rs", "main.rs"].iter().map(|name| root.join(name)).find(|path| path.exists());
    let mut modules = BTreeMap::new();
    read(&start.context("there is no lib.rs")?, root, String::new(), &mut modules)?;
    Ok(graph(&modules))
}

/// The graph of these modules, each by its path.
pub fn of_sources(files: &[(&str, &str)]) -> Result<Graph> {
    let modules: Result<BTreeMap<_, _>> =
        files.iter().map(|(path, source)| Ok(((*path).to_owned(), module(syn::parse_file(source)?)))).collect();
    Ok(graph(&modules?))
}

fn read(file: &Path, folder: &Path, path: String, modules: &mut BTreeMap<String, Module>) -> Result<()> {
    let source = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let module = module(syn::parse_file(&source).with_context(|| file.display().to_string())?);
    for item in &module.file.items {
        let Item::Mod(child) = item else { continue };
        if child.content.is_some() || is_for_tests(&child.attrs) {
            continue;
        }
        let name = child.ident.to_string();
        let candidates: [PathBuf; 2] = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
        let file = candidates.into_iter().find(|file| file.exists());
        let file = file.with_context(|| format!("there is no file of the module {name}"))?;
        read(&file, &folder.join(&name), joined(&path, &name), modules)?;
    }
    modules.insert(path, module);
    Ok(())
}

fn module(file: syn::File) -> Module {
    let mut imports = Vec::new();
    let mut items = BTreeSet::new();
    for item in &file.items {
        match item {
            Item::Use(declaration) if !is_for_tests(&declaration.attrs) => {
                flatten(&declaration.tree, &mut Vec::new(), &mut imports);
            }
            Item::Const(item) => _ = items.insert(item.ident.to_string()),
            Item::Enum(item) => _ = items.insert(item.ident.to_string()),
            Item::Fn(item) => _ = items.insert(item.sig.ident.to_string()),
            Item::Static(item) => _ = items.insert(item.ident.to_string()),
            Item::Struct(item) => _ = items.insert(item.ident.to_string()),
            Item::Trait(item) => _ = items.insert(item.ident.to_string()),
            Item::Type(item) => _ = items.insert(item.ident.to_string()),
            Item::Macro(item) => items.extend(item.ident.as_ref().map(ToString::to_string)),
            _ => {}
        }
    }
    Module { file, imports, items }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Meta>().is_ok_and(|meta| meta.path().is_ident("test"))
    })
}

fn flatten(tree: &UseTree, before: &mut Vec<String>, imports: &mut Vec<Import>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, imports);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, imports)),
        UseTree::Glob(_) => imports.push(Import { path: before.clone(), name: None }),
        UseTree::Name(name) => add(name.ident.to_string(), None, before, imports),
        UseTree::Rename(rename) => add(rename.ident.to_string(), Some(rename.rename.to_string()), before, imports),
    }
}

fn add(last: String, known_as: Option<String>, before: &[String], imports: &mut Vec<Import>) {
    let mut path = before.to_vec();
    // `a::{self}` is `a`.
    if last != "self" {
        path.push(last);
    }
    let name = known_as.or_else(|| path.last().cloned());
    imports.push(Import { path, name });
}

fn joined(module: &str, child: &str) -> String {
    if module.is_empty() { child.to_owned() } else { format!("{module}::{child}") }
}

fn parent(module: &str) -> String {
    module.rsplit_once("::").map(|(parent, _)| parent.to_owned()).unwrap_or_default()
}

fn graph(modules: &BTreeMap<String, Module>) -> Graph {
    let mut graph = Graph::new();
    for (path, module) in modules {
        let mut used: Vec<Vec<String>> = module.imports.iter().map(|import| import.path.clone()).collect();
        let mut paths = Paths { found: Vec::new() };
        paths.visit_file(&module.file);
        used.extend(paths.found);
        let definers = used.iter().filter_map(|used| definer(used, path, modules, 0));
        graph.insert(path.clone(), definers.filter(|other| other != path).collect());
    }
    graph
}

/// The module that defines what `used` names in `module`; none: another crate, or a mere name of the module itself.
fn definer(used: &[String], module: &str, modules: &BTreeMap<String, Module>, depth: u8) -> Option<String> {
    let mut here = module.to_owned();
    let mut rest = used;
    let is_anchored = matches!(used.first().map(String::as_str), Some("crate" | "self" | "super"));
    while let Some((first, after)) = rest.split_first() {
        match first.as_str() {
            "crate" => here = String::new(),
            "self" => {}
            "super" => here = parent(&here),
            name if modules.contains_key(&joined(&here, name)) => here = joined(&here, name),
            name => return named(name, &here, used, is_anchored, modules, depth),
        }
        rest = after;
    }
    Some(here)
}

fn named(
    name: &str,
    here: &str,
    used: &[String],
    is_anchored: bool,
    modules: &BTreeMap<String, Module>,
    depth: u8,
) -> Option<String> {
    let module = modules.get(here)?;
    if !is_anchored && used.first().is_some_and(|first| first == name) {
        // Another crate's, or a name that a `use` of this module brings in: that is an edge of its own.
        return None;
    }
    if module.items.contains(name) {
        return Some(here.to_owned());
    }
    if depth < 8 {
        let through = module.imports.iter().filter(|import| import.name.as_deref() == Some(name));
        let through = through.filter_map(|import| definer(&import.path, here, modules, depth + 1)).next();
        let globs = module.imports.iter().filter(|import| import.name.is_none());
        let globbed = globs.filter_map(|import| definer(&import.path, here, modules, depth + 1));
        let has = |other: &String| modules.get(other).is_some_and(|module| module.items.contains(name));
        return through.or_else(|| globbed.into_iter().find(has));
    }
    None
}

/// Paths that begin at the crate, this module or its parent.
struct Paths {
    found: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    /// `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _visibility: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if matches!(segments.first().map(String::as_str), Some("crate" | "super")) {
            self.found.push(segments);
        }
        visit::visit_path(self, path);
    }
}
