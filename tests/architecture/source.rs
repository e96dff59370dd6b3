//! Reads the project's Rust files as syntax, so that no rule is fooled by a comment or a string.
//!
//! Lines and tokens inside `#[cfg(test)]` items are told apart from product code. Must never guess: a file that does
//! not parse is an error, not an empty file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, spanned::Spanned};

/// One parsed file.
pub struct SourceFile {
    /// Relative to the project, with `/`: `src/cloud/ecs.rs`.
    pub path: String,
    /// Its module path below the crate: `["cloud", "ecs"]`; empty for a `lib.rs`.
    pub module: Vec<String>,
    /// As written.
    pub text: String,
    /// As syntax.
    pub syntax: syn::File,
    /// The whole file is compiled for tests only.
    pub test_only: bool,
}

impl SourceFile {
    /// Parses `text` as if it stood at `path`.
    pub fn parse(path: &str, text: &str) -> Result<Self, String> {
        let syntax = syn::parse_file(text).map_err(|error| format!("{path}: {error}"))?;
        let test_only = !path.starts_with("src/") || syntax.attrs.iter().any(is_cfg_test);
        Ok(Self { path: path.to_owned(), module: module_of(path), text: text.to_owned(), syntax, test_only })
    }

    /// How many lines are not inside `#[cfg(test)]` items.
    pub fn product_lines(&self) -> usize {
        let all = self.text.lines().count();
        if self.test_only {
            return 0;
        }
        let mut test_lines = BTreeSet::new();
        for_each_test_item(&self.syntax.items, &mut |item| {
            let first = attributes(item).first().map_or_else(|| item.span().start().line, |it| it.span().start().line);
            test_lines.extend(first..=item.span().end().line);
        });
        all - test_lines.len()
    }

    /// Every token of the file as `(line, text)`, without those in `#[cfg(test)]` items when `product_only`.
    /// Groups are opened: their delimiters are tokens of their own.
    pub fn tokens(&self, product_only: bool) -> Vec<(usize, String)> {
        let mut skipped = BTreeSet::new();
        if product_only {
            if self.test_only {
                return Vec::new();
            }
            for_each_test_item(&self.syntax.items, &mut |item| {
                let first = attributes(item).first().map_or_else(|| item.span().start(), |it| it.span().start());
                skipped.insert((first.line, first.column, item.span().end().line, item.span().end().column));
            });
        }
        let mut found = Vec::new();
        if let Ok(stream) = self.text.parse::<TokenStream>() {
            flatten(stream, &mut |line, column, token| {
                let inside =
                    skipped.iter().any(|&(l1, c1, l2, c2)| (l1, c1) <= (line, column) && (line, column) < (l2, c2));
                if !inside {
                    found.push((line, token));
                }
            });
        }
        found
    }
}

/// `src/cloud/ecs.rs` → `cloud::ecs`; `src/main.rs` → `main`; `lib.rs` and files elsewhere have no module.
fn module_of(path: &str) -> Vec<String> {
    let Some(inside) = path.strip_prefix("src/").and_then(|rest| rest.strip_suffix(".rs")) else { return Vec::new() };
    let parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    match parts.last().map(String::as_str) {
        // the root of a crate: ours, or that of a room which is one of its own
        Some("lib") => Vec::new(),
        Some("mod") => parts[..parts.len() - 1].to_vec(),
        _ => parts,
    }
}

/// All `.rs` files below `folder`, parsed; folders named in `skip` are left out. Sorted by path.
pub fn read_tree(root: &Path, folder: &str, skip: &[&str]) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    collect(&root.join(folder), &mut paths);
    paths.sort();
    let mut files: Vec<SourceFile> = paths
        .iter()
        .filter(|path| !skip.iter().any(|name| path.components().any(|part| part.as_os_str() == *name)))
        .map(|path| {
            let relative = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            SourceFile::parse(&relative, &fs::read_to_string(path).unwrap()).unwrap()
        })
        .collect();
    mark_test_modules(&mut files);
    files
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A file declared as `#[cfg(test)] mod name;` is test code, and all below it.
fn mark_test_modules(files: &mut [SourceFile]) {
    let mut test_modules = Vec::new();
    for file in files.iter() {
        for_each_test_item(&file.syntax.items, &mut |item| {
            if let Item::Mod(module) = item
                && module.content.is_none()
            {
                let mut path = file.module.clone();
                path.push(module.ident.to_string());
                test_modules.push(path);
            }
        });
    }
    for file in files.iter_mut().filter(|file| file.path.starts_with("src/")) {
        if test_modules.iter().any(|module| file.module.starts_with(module)) {
            file.test_only = true;
        }
    }
}

/// Calls `visit` for each outermost item that exists in tests only.
fn for_each_test_item<'a>(items: &'a [Item], visit: &mut dyn FnMut(&'a Item)) {
    for item in items {
        if attributes(item).iter().any(is_cfg_test) {
            visit(item);
        } else if let Item::Mod(module) = item
            && let Some((_, inner)) = &module.content
        {
            for_each_test_item(inner, visit);
        }
    }
}

/// Whether an attribute is `#[cfg(test)]`, or a `cfg` that needs `test` (`all(test, …)`), or samples for the tests of
/// other crates (the feature `samples`, which nothing but tests switches on).
pub fn is_cfg_test(attribute: &Attribute) -> bool {
    if !attribute.path().is_ident("cfg") {
        return false;
    }
    let Ok(list) = attribute.meta.require_list() else { return false };
    let text = list.tokens.to_string().replace(' ', "");
    text == "test"
        || text == "any(test,feature=\"samples\")"
        || (text.starts_with("all(") && text[4..].trim_end_matches(')').split(',').any(|part| part == "test"))
}

/// The attributes of an item.
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::ForeignMod(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::TraitAlias(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

fn flatten(stream: TokenStream, visit: &mut dyn FnMut(usize, usize, String)) {
    for token in stream {
        let start = token.span().start();
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                visit(start.line, start.column, open.to_owned());
                flatten(group.stream(), visit);
                let end = group.span_close().start();
                visit(end.line, end.column, close.to_owned());
            }
            other => visit(start.line, start.column, other.to_string()),
        }
    }
}
