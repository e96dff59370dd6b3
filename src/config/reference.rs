//! The reference: what `default.toml` says of each key, as data and as a document.
//!
//! Guarantees: one source, `config/default.toml`; nothing is said twice. Must never add words of its own about a key.

use std::fmt::Write as _;

use super::DEFAULT_TOML;

/// A key as `default.toml` explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explained {
    /// Full path: `defaults.limits.budget`.
    pub path: String,
    /// The default as TOML.
    pub default: String,
    /// The comment above it.
    pub text: String,
}

/// A table as `default.toml` explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// `defaults.limits`.
    pub name: String,
    /// The comment above it.
    pub text: String,
    /// Its keys.
    pub keys: Vec<Explained>,
}

/// What the file says before its first table, and its tables.
pub(super) fn explained() -> (String, Vec<Table>) {
    let (mut preface, mut tables, mut comment) = (String::new(), Vec::<Table>::new(), Vec::new());
    for line in DEFAULT_TOML.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.strip_prefix(' ').unwrap_or(words));
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            tables.push(Table { name: name.to_owned(), text: comment.join("\n"), keys: Vec::new() });
            comment.clear();
        } else if let (Some((key, default)), Some(table)) = (line.split_once(" = "), tables.last_mut()) {
            let path = format!("{}.{key}", table.name);
            table.keys.push(Explained { path, default: default.to_owned(), text: comment.join(" ") });
            comment.clear();
        } else if line.is_empty() && tables.is_empty() {
            preface = comment.join("\n");
            comment.clear();
        }
    }
    (preface, tables)
}

/// `docs/configuration.md`, made from `config/default.toml`.
#[must_use]
pub fn reference_markdown() -> String {
    let (preface, tables) = explained();
    let mut text = String::from("# Configuration\n\n<!-- Made from config/default.toml: edit that file. -->\n\n");
    text.push_str("```text\n");
    text.push_str(&preface);
    text.push_str("\n```\n");
    let cell = |text: &str| text.replace('|', "\\|").replace('<', "&lt;");
    for table in tables {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## `[{}]`\n\n{}\n", table.name, cell(&table.text));
        if !table.keys.is_empty() {
            text.push_str("\n| key | default | meaning |\n|---|---|---|\n");
        }
        for key in table.keys {
            let name = key.path.rsplit('.').next().unwrap_or_default();
            let _ = writeln!(text, "| `{name}` | `{}` | {} |", key.default, cell(&key.text));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_in_step_with_the_file() {
        let document = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        if std::env::var_os("LABGUARD_WRITE_DOCS").is_some() {
            std::fs::write(&document, reference_markdown()).unwrap();
        }
        let written = std::fs::read_to_string(document).unwrap();
        assert_eq!(written, reference_markdown(), "run this test with LABGUARD_WRITE_DOCS=1 to write it anew");
    }

    #[test]
    fn every_key_and_table_is_explained() {
        for table in explained().1 {
            assert!(!table.text.is_empty(), "[{}]", table.name);
            for key in table.keys {
                assert!(key.text.len() > 10, "{}", key.path);
            }
        }
    }
}
