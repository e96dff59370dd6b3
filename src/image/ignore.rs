//! `.dockerignore`: which files of a build's folder are not sent (Docker, "Build context", "Syntax").
//!
//! Guarantees: the last pattern that matches a file, or a folder above it, decides; `!` takes back; a pattern that cannot
//! be read is named with its line. Pure.

use std::path::{Component, Path};

use globset::{GlobBuilder, GlobMatcher};

/// The patterns of one file.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    matcher: GlobMatcher,
    takes_back: bool,
}

impl Ignore {
    /// Reads the patterns.
    ///
    /// # Errors
    /// The first line that is none, with its number.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (takes_back, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let pattern = cleaned(pattern);
            if pattern.is_empty() {
                continue;
            }
            let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
            let matcher = glob.map_err(|error| format!("line {}, {line:?}: {}", number + 1, error.kind()))?;
            patterns.push(Pattern { matcher: matcher.compile_matcher(), takes_back });
        }
        Ok(Self { patterns })
    }

    /// Whether a file or folder, by its path in the build's folder, is left out.
    pub(super) fn leaves_out(&self, path: &Path) -> bool {
        let matches =
            |pattern: &Pattern| path.ancestors().any(|it| !it.as_os_str().is_empty() && pattern.matcher.is_match(it));
        self.patterns.iter().rev().find(|pattern| matches(pattern)).is_some_and(|pattern| !pattern.takes_back)
    }

    /// Whether something below a folder that is left out may still be taken back.
    pub(super) fn takes_any_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_back)
    }
}

/// As Docker cleans a pattern: no leading or trailing slash, no `.` or `..`.
fn cleaned(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(pattern).components() {
        match part {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides_as_in_dockers_documentation() {
        let cases: [(&str, &[&str], &[&str]); 11] = [
            ("*/temp*", &["a/temporary.txt", "a/temp", "a/temp/b"], &["temporary.txt", "a/b/temp"]),
            ("*/*/temp*", &["a/b/temporary.txt"], &["a/temp"]),
            ("temp?", &["tempa", "tempb", "tempa/x"], &["temp", "tempab", "a/tempa"]),
            ("**/*.go", &["a.go", "a/b/c.go"], &["a.gox"]),
            ("*.md\n!README.md", &["a.md", "b.md"], &["README.md", "docs/a.md"]),
            ("*.md\n!README*.md\nREADME-secret.md", &["a.md", "README-secret.md"], &["README.md", "README-more.md"]),
            ("*.md\nREADME-secret.md\n!README*.md", &["a.md"], &["README-secret.md"]),
            ("/foo/bar/\n# target\n\n  ", &["foo/bar", "foo/bar/baz"], &["foo", "foo/barn", "target"]),
            ("target\n!target/release/app", &["target", "target/debug/x"], &["target/release/app", "a/target"]),
            ("*\n!src\n!Cargo.toml", &[".git", "target/a"], &["src", "src/a/b.rs", "Cargo.toml"]),
            ("a/../b\n./c\nd\\*e\n[xy]1", &["b", "c/f", "d*e", "x1", "y1/z"], &["a", "dxe", "z1"]),
        ];
        for (text, out, kept) in cases {
            let ignore = Ignore::parse(text).unwrap();
            for path in out {
                assert!(ignore.leaves_out(Path::new(path)), "{text:?} sends {path}");
            }
            for path in kept {
                assert!(!ignore.leaves_out(Path::new(path)), "{text:?} leaves out {path}");
            }
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        let error = Ignore::parse("fine\n[a-").unwrap_err();
        assert!(error.contains("line 2") && error.contains("[a-"), "{error}");
        assert!(Ignore::parse("").is_ok_and(|ignore| !ignore.takes_any_back() && !ignore.leaves_out(Path::new("a"))));
    }
}
