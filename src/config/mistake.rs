//! What is wrong with a configuration, all of it at once.
//!
//! Guarantees: each mistake names its place, key, what was found and what was expected; values that may be secrets are
//! never shown. Must never stop at the first mistake.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// File with line (`config/a.toml:12`), `environment variable NAME`, `--set`, or nothing more exact than a list of sources.
    pub source: String,
    /// Full key path, `sessions.admission.limits.budget`; empty where a file as a whole is meant.
    pub key: String,
    /// What was found there, unless it may be a secret.
    pub value: Option<String>,
    /// What would be right.
    pub expected: String,
    /// The nearest legal key or value.
    pub nearest: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, "\n   found:    {}", value.replace('\n', "\n             "))?;
        }
        write!(f, "\n   expected: {}", self.expected)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "\n   nearest:  {nearest}")?;
        }
        Ok(())
    }
}

impl Mistake {
    /// The file and the line in it, where it is one.
    fn place(&self) -> (Option<&str>, Option<u64>) {
        if self.source == "--set" || self.source.starts_with("environment variable ") {
            return (None, None);
        }
        // FILE, FILE:LINE or FILE:LINE:COLUMN.
        let numbered = |text: &str| {
            let (file, number) = text.rsplit_once(':')?;
            Some((file.len(), number.parse::<u64>().ok()?))
        };
        match numbered(&self.source) {
            None => (Some(&self.source), None),
            Some((end, number)) => match numbered(&self.source[..end]) {
                None => (Some(&self.source[..end]), Some(number)),
                Some((end, number)) => (Some(&self.source[..end]), Some(number)),
            },
        }
    }
}

impl Serialize for Mistake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (file, line) = self.place();
        let mut fields = serializer.serialize_struct("Mistake", 7)?;
        fields.serialize_field("source", &self.source)?;
        fields.serialize_field("file", &file)?;
        fields.serialize_field("line", &line)?;
        fields.serialize_field("key", &self.key)?;
        fields.serialize_field("value", &self.value)?;
        fields.serialize_field("expected", &self.expected)?;
        fields.serialize_field("nearest", &self.nearest)?;
        fields.end()
    }
}

/// Every mistake of a configuration, in the order of its sources. Shown as a numbered list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(f, "{count} mistake{} in the configuration:", if count == 1 { "" } else { "s" })?;
        for (index, mistake) in self.0.iter().enumerate() {
            writeln!(f, "\n{}. {mistake}", index + 1)?;
        }
        Ok(())
    }
}

/// The candidate most like `word`, if one is like enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (likeness(&word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

/// 0 to 1: whole paths compare by edits; the same last word under another section counts as nearly right.
fn likeness(word: &str, candidate: &str) -> f64 {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let whole = strsim::normalized_damerau_levenshtein(word, &candidate.to_ascii_lowercase());
    let leaf = strsim::normalized_damerau_levenshtein(&last(word), &last(candidate));
    whole.max(leaf * 0.9)
}

/// Whether a text looks like an AWS credential: an access key id, or forty characters of a secret's alphabet and mix.
pub(super) fn looks_secret(text: &str) -> bool {
    let key_id = text.as_bytes().windows(20).any(|window| {
        (window.starts_with(b"AKIA") || window.starts_with(b"ASIA"))
            && window[4..].iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    });
    let word = text.trim();
    let all = |test: fn(&u8) -> bool| word.bytes().any(|byte| test(&byte));
    let secret = word.len() == 40
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+' | b'='))
        && all(u8::is_ascii_uppercase)
        && all(u8::is_ascii_lowercase)
        && all(u8::is_ascii_digit);
    key_id || secret
}

/// Whether a key's last word names a credential.
pub(super) fn names_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret_access_key", "secret_key", "access_key_id", "session_token", "aws_secret"]
        .iter()
        .any(|word| key.replace('-', "_").contains(word))
}

/// What is said instead of a credential's place.
pub(super) const NO_SECRETS: &str = "no AWS credentials in the configuration: put them into the AWS environment variables, \
     a profile (aws.profile) or a role, and make this one invalid if the file was shared";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_finds_the_one_that_was_meant() {
        let keys = ["limits.budget", "limits.max_budget", "limits.lifetime", "health.interval"];
        assert_eq!(nearest("limits.budgt", keys), Some("limits.budget"));
        assert_eq!(nearest("budget", keys), Some("limits.budget"));
        assert_eq!(nearest("zebra", keys), None);
    }

    #[test]
    fn a_place_is_a_file_and_a_line_where_it_is_in_a_file() {
        for (source, file, line) in [
            ("/etc/labguard/a.toml:12", Some("/etc/labguard/a.toml"), Some(12)),
            ("a.toml:3:13", Some("a.toml"), Some(3)),
            ("nowhere.toml", Some("nowhere.toml"), None),
            ("--set", None, None),
            ("environment variable LABGUARD__X", None, None),
        ] {
            let mistake =
                Mistake { source: source.into(), key: "k".into(), value: None, expected: "e".into(), nearest: None };
            let shown = serde_json::to_value(&mistake).unwrap();
            assert_eq!((shown["file"].as_str(), shown["line"].as_u64()), (file, line), "{shown}");
        }
    }

    #[test]
    fn credentials_are_recognised_and_digests_are_not() {
        assert!(looks_secret("AKIAIOSFODNN7EXAMPLE"));
        assert!(looks_secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEK3Y"));
        assert!(!looks_secret("da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        assert!(!looks_secret("123456789012.dkr.ecr.us-east-1.amazonaws.com/a:b"));
        assert!(names_secret("environment.AWS_SECRET_ACCESS_KEY"));
    }
}
