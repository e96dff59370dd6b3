//! The habits of the house, one function a rule: each takes one file and tells every breach as `path:line: what`.
//!
//! Rules look at tokens and syntax, never at raw text, but for left-open marks, which live in comments.

use syn::{
    Attribute, Fields, ItemFn,
    visit::{self, Visit},
};

use super::source::SourceFile;

/// Most lines that a file may have besides its tests.
pub const MOST_LINES: usize = 700;
/// What half of all files stay under.
pub const MEDIAN_LINES: usize = 200;
/// What nine of ten files stay under.
pub const P90_LINES: usize = 450;

/// Letters that a file's first words have at least: less is a title, not a purpose.
const LEAST_DOC: usize = 20;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 12] = [
    "utils", "util", "common", "helpers", "helper", "types", "manager", "managers", "service", "services", "imp",
    "misc",
];

/// Folders in which such a name is the name of a thing: in ECS a service is a resource, as a task is.
const NAMES_THAT_SAY_SOMETHING: &[(&str, &str)] = &[("ecs", "service")];

/// Files where floating point may stand beside money, each with its reason.
const FLOATS_ALLOWED: &[(&str, &str)] = &[];

/// Places where a panic is right, as `(path, what, reason)`: the path's file may call `what`.
const PANICS_ALLOWED: &[(&str, &str, &str)] = &[];

/// Every file starts with `//!`: purpose, guarantees, what it must never do.
pub fn no_module_doc(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().skip_while(|line| line.trim().is_empty() || line.starts_with("#!"));
    let said: usize = lines.map_while(|line| line.strip_prefix("//!")).map(|line| line.trim().len()).sum();
    if said >= LEAST_DOC {
        return Vec::new();
    }
    vec![format!("{}:1: starts without a `//!` that says what it is for", file.path)]
}

/// No file outgrows one idea.
pub fn too_long(file: &SourceFile) -> Vec<String> {
    let lines = file.product_lines();
    if lines <= MOST_LINES {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines without its tests, at most {MOST_LINES}: it holds more than one idea", file.path)]
}

/// Median and 90th percentile of the files' lengths, without tests, in lines.
pub fn lengths<'a>(files: impl Iterator<Item = &'a SourceFile>) -> (usize, usize) {
    let mut lengths: Vec<usize> = files.filter(|file| !file.test_only).map(SourceFile::product_lines).collect();
    lengths.sort_unstable();
    if lengths.is_empty() {
        return (0, 0);
    }
    (lengths[(lengths.len() - 1) / 2], lengths[(lengths.len() * 9 / 10).min(lengths.len() - 1)])
}

/// No module is called something that fits every module.
pub fn empty_name(file: &SourceFile) -> Vec<String> {
    struct Modules(Vec<(usize, String)>);
    impl<'ast> Visit<'ast> for Modules {
        fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
            self.0.push((module.ident.span().start().line, module.ident.to_string()));
            visit::visit_item_mod(self, module);
        }
    }
    let mut modules = Modules(Vec::new());
    modules.visit_file(&file.syntax);
    let parts: Vec<&str> = file.path.trim_end_matches(".rs").split('/').collect();
    let folder = parts[..parts.len().saturating_sub(1)].last().copied().unwrap_or_default();
    let says = |folder: &str, name: &str| NAMES_THAT_SAY_SOMETHING.contains(&(folder, name));
    let empty = |folder: &str, name: &str| EMPTY_NAMES.contains(&name) && !says(folder, name);
    let named = parts.iter().enumerate().filter(|(at, name)| empty(parts[at.saturating_sub(1)], name));
    let from_path = named.map(|(_, name)| format!("{}: the name {name} says nothing", file.path));
    let declared = modules.0.iter().filter(|(_, name)| empty(folder, name));
    let from_text = declared.map(|(line, name)| format!("{}:{line}: module {name} says nothing", file.path));
    from_path.chain(from_text).collect()
}

/// Nothing is left open: no stub macro, no mark for later, no test switched off, no lint switched off in silence.
pub fn left_open(file: &SourceFile) -> Vec<String> {
    let mut found = Vec::new();
    let tokens = file.tokens(false);
    for window in tokens.windows(3) {
        let [(line, first), (_, second), (_, third)] = window else { continue };
        let macro_call = second == "!" && ["todo", "unimplemented", "dbg"].contains(&first.as_str()) && third != "=";
        let attribute = second == "[" && first == "#" && ["ignore", "allow"].contains(&third.as_str());
        let inner_attribute = first == "!" && second == "[" && third == "allow";
        if macro_call || attribute || inner_attribute {
            found.push(format!("{}:{line}: {first}{second}{third}", file.path));
        }
    }
    for (number, line) in file.text.lines().enumerate() {
        for mark in [concat!("FIX", "ME"), concat!("X", "XX"), concat!("TO", "DO")] {
            if line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == mark) {
                found.push(format!("{}:{}: {mark}", file.path, number + 1));
            }
        }
    }
    found
}

/// No `unsafe` anywhere.
pub fn unsafe_code(file: &SourceFile) -> Vec<String> {
    let tokens = file.tokens(false);
    tokens
        .iter()
        .filter(|(_, token)| token == "unsafe")
        .map(|(line, _)| format!("{}:{line}: unsafe", file.path))
        .collect()
}

/// The clock boundaries: labguard's, and the one of the sentinel, which is a program of its own.
const CLOCKS: [&str; 2] = ["src/clock.rs", "src/sentinel/clocks.rs"];

/// The machine's clock is read at the clock boundaries only.
pub fn wall_clock(file: &SourceFile) -> Vec<String> {
    if CLOCKS.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let tokens = file.tokens(true);
    let clocks = ["SystemTime", "Utc", "Local"];
    let reads = tokens.windows(4).filter(|it| clocks.contains(&it[0].1.as_str()) && it[1].1 == ":" && it[3].1 == "now");
    reads.map(|it| format!("{}:{}: {}::now outside the clock boundary", file.path, it[0].0, it[0].1)).collect()
}

/// Money and its meter know no floating point.
pub fn floats_near_money(file: &SourceFile) -> Vec<String> {
    let watched = file.path == "src/domain/model/money.rs" || file.path.starts_with("src/domain/meter/");
    if !watched || FLOATS_ALLOWED.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    let floats = |token: &str| {
        let literal = token.starts_with(|c: char| c.is_ascii_digit()) && token.contains('.');
        token == "f32" || token == "f64" || literal || token.ends_with("f64") || token.ends_with("f32")
    };
    let tokens = file.tokens(true);
    tokens.iter().filter(|it| floats(&it.1)).map(|it| format!("{}:{}: {} near money", file.path, it.0, it.1)).collect()
}

/// Production code answers with errors; it does not panic.
pub fn panics(file: &SourceFile) -> Vec<String> {
    let tokens = file.tokens(true);
    let mut found = Vec::new();
    for window in tokens.windows(3) {
        let [(_, first), (line, second), (_, third)] = window else { continue };
        let method =
            first == "." && third == "(" && ["unwrap", "expect", "unwrap_err", "expect_err"].contains(&second.as_str());
        let call = third == "!" && ["panic", "unreachable"].contains(&second.as_str());
        let allowed = PANICS_ALLOWED.iter().any(|(path, what, _)| *path == file.path && what == second);
        if (method || call) && !allowed {
            found.push(format!("{}:{line}: {second} in production code", file.path));
        }
    }
    found
}

/// Errors are lower-case fragments without a full stop, and a source is never printed by its owner as well.
pub fn error_text(file: &SourceFile) -> Vec<String> {
    let mut errors = Errors { path: file.path.clone(), found: Vec::new() };
    if !file.test_only {
        errors.visit_file(&file.syntax);
    }
    errors.found
}

struct Errors {
    path: String,
    found: Vec<String>,
}

impl Errors {
    fn check(&mut self, attributes: &[Attribute], fields: &Fields) {
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("error")) {
            let Ok(list) = attribute.meta.require_list() else { continue };
            let mut tokens = list.tokens.clone().into_iter();
            let Some(proc_macro2::TokenTree::Literal(literal)) = tokens.next() else { continue };
            let line = literal.span().start().line;
            let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else { continue };
            let text = text.value();
            let rest: String = tokens.map(|token| token.to_string()).collect();
            for (index, field) in fields.iter().enumerate() {
                let name = field.ident.as_ref().map_or_else(|| index.to_string(), ToString::to_string);
                let is_source = name == "source"
                    || field.attrs.iter().any(|it| it.path().is_ident("source") || it.path().is_ident("from"));
                let printed = text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:"));
                if is_source
                    && (printed || rest.contains(&format!(".{name}")) || (rest.contains("source") && name == "source"))
                {
                    self.found.push(format!("{}:{line}: prints its own source {name}; the chain prints it", self.path));
                }
            }
            let mut first = text.chars();
            let capital =
                matches!((first.next(), first.next()), (Some(a), Some(b)) if a.is_uppercase() && b.is_lowercase());
            // The sandbox speaks with AWS's voice.
            if !self.path.starts_with("src/sandbox/") && (capital || (text.ends_with('.') && !text.ends_with("..."))) {
                self.found.push(format!("{}:{line}: not a lower-case fragment: {text:?}", self.path));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Errors {
    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        for variant in &item.variants {
            self.check(&variant.attrs, &variant.fields);
        }
    }
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.check(&item.attrs, &item.fields);
    }
}

/// A test's name is a sentence: at least three words, and none of them is `test` in front.
pub fn test_names(file: &SourceFile) -> Vec<String> {
    let mut tests = Tests { path: file.path.clone(), found: Vec::new() };
    tests.visit_file(&file.syntax);
    tests.found
}

struct Tests {
    path: String,
    found: Vec<String>,
}

impl Tests {
    fn check(&mut self, name: &str, line: usize) {
        if name.starts_with("test_") || name == "test" || name.split('_').filter(|word| !word.is_empty()).count() < 3 {
            self.found.push(format!("{}:{line}: {name} is no sentence", self.path));
        }
    }
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        let is_test = |attribute: &Attribute| attribute.path().segments.last().is_some_and(|last| last.ident == "test");
        if function.attrs.iter().any(is_test) {
            self.check(&function.sig.ident.to_string(), function.sig.ident.span().start().line);
        }
        visit::visit_item_fn(self, function);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        if invocation.path.segments.last().is_none_or(|last| last.ident != "proptest") {
            return;
        }
        let tokens: Vec<_> = invocation.tokens.clone().into_iter().collect();
        for pair in tokens.windows(2) {
            if let [proc_macro2::TokenTree::Ident(word), proc_macro2::TokenTree::Ident(name)] = pair
                && word == "fn"
            {
                self.check(&name.to_string(), name.span().start().line);
            }
        }
    }
}
