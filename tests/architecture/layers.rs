//! Who may import whom: the table of the design, as data, and the check of one file against it.
//!
//! A module that is not in the table is a violation: a new room of the house is placed on purpose.

use std::collections::BTreeSet;

use syn::{
    ItemMod, Macro, UseTree,
    visit::{self, Visit},
};

use super::source::{SourceFile, attributes, is_cfg_test};

/// One row: a module, what it may import (itself always), and why that is so.
pub struct Row {
    /// The module and all below it; the longest match counts.
    pub module: &'static str,
    /// Modules it may import; `*` is all of ours.
    pub may_import: &'static [&'static str],
    /// The reason, printed with a violation.
    pub reason: &'static str,
}

const fn row(module: &'static str, may_import: &'static [&'static str], reason: &'static str) -> Row {
    Row { module, may_import, reason }
}

const BOUNDARY: &[&str] = &["domain::model", "domain::meter", "telemetry::catalogue", "clock", "transport"];

/// The house. Layers 1 to 6, then what stands apart.
pub const TABLE: &[Row] = &[
    // 1
    row("domain::model", &[], "the words: they know of nothing"),
    // 2
    row("domain::policy", &["domain::model"], "what is allowed, in words"),
    row("domain::meter", &["domain::model", "domain::policy"], "pure: model, and what stands to its left"),
    row(
        "domain::decide",
        &["domain::model", "domain::policy", "domain::meter"],
        "pure: model, and what stands to its left",
    ),
    // the two boundary modules: time and HTTP come in through these alone
    row("clock", &["domain::model"], "gives the domain's timestamps"),
    row("transport", &["domain::model"], "one trait and its error"),
    // 3
    row("telemetry::catalogue", &["domain::model"], "names, units, labels: data that layer 3 may name"),
    row("journal", BOUNDARY, "layer 3: the domain's words and the boundaries, no neighbour"),
    row("cloud", BOUNDARY, "layer 3: the domain's words and the boundaries, no neighbour"),
    row(
        "image",
        &["domain::model", "domain::meter", "telemetry::catalogue", "clock", "transport", "cloud"],
        "layer 3; the one neighbour it may use is cloud: it pushes where ECR says",
    ),
    row("probe", BOUNDARY, "layer 3: the domain's words and the boundaries, no neighbour"),
    row("activity", BOUNDARY, "layer 3: the domain's words and the boundaries, no neighbour"),
    row("rates", BOUNDARY, "layer 3: the domain's words and the boundaries, no neighbour"),
    row("telemetry", BOUNDARY, "layer 3: the domain's words and the boundaries, no neighbour"),
    // 4
    row("reconcile::handle", &["domain::model", "reconcile::status"], "seen by layer 5: words only, no machinery"),
    row("reconcile::status", &["domain::model"], "seen by layer 5: words only, no machinery"),
    row(
        "reconcile",
        &[
            "domain::model",
            "domain::policy",
            "domain::meter",
            "domain::decide",
            "journal",
            "cloud",
            "image",
            "probe",
            "activity",
            "telemetry",
            "clock",
            "transport",
        ],
        "the engine: layers 1 to 3",
    ),
    // 5
    row(
        "api",
        &["domain::model", "reconcile::handle", "reconcile::status", "telemetry", "clock"],
        "layer 5: commands and status, never machinery",
    ),
    row(
        "schedule",
        &["domain::model", "reconcile::handle", "reconcile::status", "telemetry", "clock"],
        "layer 5: only wakes the driver",
    ),
    row(
        "cli",
        &[
            "domain::model",
            // the demo lengthens limits and names its own program as the image: values of a loaded configuration
            "domain::policy",
            "reconcile::handle",
            "reconcile::status",
            "telemetry",
            "clock",
            "transport",
            // it is the API's client: the same wire types, problems and token file, read from one place
            "api",
            // the commands that start things rather than ask the daemon
            "config",
            "daemon",
            "sandbox",
            "predictor",
            "sentinel",
            // image inspect and push show what was read and sent, without a daemon; so do rates import and refresh
            "image",
            "rates",
        ],
        "layer 5; besides, it is the API's client, run, demo, sandbox, predictor, sentinel, config and image start those, and demo sets policy values",
    ),
    // 6
    row("config", &["*"], "layer 6: turns files into every component's configuration"),
    row("daemon", &["*"], "layer 6: wiring"),
    row("main", &["*"], "layer 6: the program"),
    row("", &["*"], "lib.rs, the map: declares modules"),
    row("domain", &["domain::model", "domain::policy", "domain::meter", "domain::decide"], "a map of its own"),
    // apart
    row(
        "sandbox",
        // tasks that exist in memory only run the guard's own rules, driven by paused time
        &["domain::model", "clock", "transport", "sentinel"],
        "stands for AWS: must not know labguard, only values; what runs inside a task it may run",
    ),
    row("predictor", &["domain::model", "clock", "transport"], "an application like any other: must not know labguard"),
    row("sentinel", &["domain::model"], "a program of its own: std, ring and the words it shares with labguard"),
    row("bin", &["sentinel", "domain::model"], "the sentinel's own program: takes its files in by path"),
];

/// The row that rules a module path.
fn row_of<'a>(module: &[String], table: &'a [Row]) -> Option<&'a Row> {
    let covers = |row: &Row| {
        let parts: Vec<&str> = row.module.split("::").filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            module.is_empty()
        } else {
            module.len() >= parts.len() && parts.iter().zip(module).all(|(a, b)| a == b)
        }
    };
    table.iter().filter(|row| covers(row)).max_by_key(|row| row.module.len())
}

/// Every breach of the table in one file, one line each.
pub fn violations(file: &SourceFile, table: &[Row]) -> Vec<String> {
    if file.test_only {
        return Vec::new();
    }
    let Some(own) = row_of(&file.module, table) else {
        return vec![format!(
            "{}: module {} is not in the table of tests/architecture/layers.rs; give it a row and a reason",
            file.path,
            file.module.join("::")
        )];
    };
    let mut imports = Imports { module: file.module.clone(), found: BTreeSet::new() };
    imports.visit_file(&file.syntax);
    let mut wrong = Vec::new();
    for (line, target) in imports.found {
        let named = target.join("::");
        let Some(theirs) = row_of(&target, table) else {
            // An item of the crate's root, or a module that does not exist: rustc tells which.
            continue;
        };
        let same = theirs.module == own.module || (theirs.module == "domain" && own.module.starts_with("domain"));
        // A parent may name its own parts, and re-export them; their own rows hold what the parts may name.
        let own_part = !own.module.is_empty() && theirs.module.starts_with(&format!("{}::", own.module));
        let allowed =
            own.may_import.iter().any(|it| *it == "*" || *it == theirs.module || covers_by_name(it, theirs.module));
        if theirs.module.is_empty() && !own.may_import.contains(&"*") {
            wrong.push(format!("{}:{line}: imports all of the crate's root; name the module", file.path));
        } else if !(same || own_part || allowed) {
            wrong.push(format!(
                "{}:{line}: {} imports {named}, but {} may import only [{}]: {}",
                file.path,
                file.module.join("::"),
                own.module,
                own.may_import.join(", "),
                own.reason
            ));
        }
    }
    wrong
}

/// `telemetry` in a row admits `telemetry::catalogue` too.
fn covers_by_name(allowed: &str, module: &str) -> bool {
    module.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::"))
}

/// All paths into our own crate, resolved to absolute ones, without those in test code.
struct Imports {
    module: Vec<String>,
    found: BTreeSet<(usize, Vec<String>)>,
}

impl Imports {
    /// Takes a path as written; what is not ours is dropped.
    fn take(&mut self, line: usize, path: &[String]) {
        if path.len() < 2 {
            // `self` is a receiver; `super` and `crate` alone stand in visibilities
            return;
        }
        let mut parts = path.iter().map(String::as_str).peekable();
        let mut absolute = match parts.next() {
            Some("crate") => Vec::new(),
            // the binary sees the library by its name
            Some("labguard") if self.module.first().is_some_and(|first| first == "main") => Vec::new(),
            // a room that is a crate of its own, by the crate's name
            Some(name) if name.starts_with("labguard_") => Vec::new(),
            Some("self") => self.module.clone(),
            Some("super") => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            _ => return,
        };
        while parts.peek() == Some(&"super") {
            parts.next();
            absolute.pop();
        }
        absolute.extend(parts.filter(|part| *part != "self" && *part != "*").map(str::to_owned));
        self.found.insert((line, absolute));
    }

    fn take_tree(&mut self, prefix: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.take_tree(prefix, &path.tree);
                prefix.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.take_tree(prefix, tree);
                }
            }
            UseTree::Name(syn::UseName { ident }) | UseTree::Rename(syn::UseRename { ident, .. }) => {
                prefix.push(ident.to_string());
                self.take(ident.span().start().line, prefix);
                prefix.pop();
            }
            UseTree::Glob(glob) => {
                prefix.push("*".to_owned());
                self.take(glob.star_token.spans[0].start().line, prefix);
                prefix.pop();
            }
        }
    }

    /// Paths inside a macro's tokens, which are not syntax to `syn`.
    fn take_tokens(&mut self, stream: proc_macro2::TokenStream) {
        let mut current: Option<(usize, Vec<String>)> = None;
        let mut colons = 0;
        for token in stream {
            match token {
                proc_macro2::TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    match &mut current {
                        Some((_, path)) if colons == 2 => path.push(name),
                        _ => {
                            if let Some((line, path)) = current.take() {
                                self.take(line, &path);
                            }
                            let starts = ["crate", "super", "self", "labguard"].contains(&name.as_str())
                                || name.starts_with("labguard_");
                            current = starts.then(|| (ident.span().start().line, vec![name]));
                        }
                    }
                    colons = 0;
                }
                proc_macro2::TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    if let Some((line, path)) = current.take() {
                        self.take(line, &path);
                    }
                    colons = 0;
                    if let proc_macro2::TokenTree::Group(group) = other {
                        self.take_tokens(group.stream());
                    }
                }
            }
        }
        if let Some((line, path)) = current {
            self.take(line, &path);
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !attributes(item).iter().any(is_cfg_test) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.take_tree(&mut Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(first) = path.segments.first() {
            self.take(first.ident.span().start().line, &parts);
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, invocation: &'ast Macro) {
        self.take_tokens(invocation.tokens.clone());
    }
}
