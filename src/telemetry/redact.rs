//! Keeps secrets out of everything that people and machines read.
//!
//! Two nets: a [`Secret`] cannot be printed by mistake, and [`scrub`] blanks what looks like one in any text
//! (log lines, messages of faults). It blanks rather too much than too little; it must never fail.

use std::fmt;

/// What stands in place of a secret.
const BLANK: &str = "***";

/// A value that prints as `***`, and is only ever compared. It has no `Serialize` on purpose.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T: AsRef<[u8]>> Secret<T> {
    /// Whether `other` is the same, in a time that tells nothing of where they differ.
    #[must_use]
    pub fn matches(&self, other: impl AsRef<[u8]>) -> bool {
        let (ours, theirs) = (self.0.as_ref(), other.as_ref());
        let differing = ours.iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(differing) == 0 && ours.len() == theirs.len()
    }
}

impl<T> Secret<T> {
    /// The secret itself, for what signs or derives with it. Never for anything that is shown.
    pub(crate) const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BLANK)
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// The text with every secret in it blanked: values of secret-sounding names in `name=value`, `name: value`,
/// JSON and XML; `Authorization` headers; bearer and basic tokens; passwords in URLs; and bare AWS secret keys,
/// session tokens and other long tokens. Access key ids stay: they are no secret, and they help.
#[must_use]
pub fn scrub(text: &str) -> String {
    bare(&schemes(&addresses(&named(text))))
}

/// How a secret-sounding name's value ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// At the next blank, quote or separator.
    Word,
    /// At the next quote or line end.
    Line,
}

/// Whether a name (lower case, without `_` and `-`) announces a secret.
fn announces(name: &str, separator: char) -> Option<Extent> {
    const ENDINGS: [&str; 12] = [
        "secretaccesskey",
        "secretkey",
        "clientsecret",
        "sessiontoken",
        "securitytoken",
        "authorizationtoken",
        "accesstoken",
        "refreshtoken",
        "idtoken",
        "password",
        "privatekey",
        "apikey",
    ];
    if name.ends_with("authorization") {
        return Some(Extent::Line);
    }
    if ENDINGS.iter().any(|ending| name.ends_with(ending)) || matches!(name, "token" | "secret" | "passwd") {
        return Some(Extent::Word);
    }
    // Parts of a signed request; in prose ("credential: expired") they are harmless.
    let signed = name.ends_with("signature") || name.ends_with("credential");
    (separator == '=' && signed).then_some(Extent::Word)
}

const fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '\\' | '`')
}

const ESCAPE: char = '\u{1b}';

/// The length of the terminal's colour code that the text begins with, if it does.
fn colour(text: &str) -> Option<usize> {
    let code = text.strip_prefix(ESCAPE)?.strip_prefix('[')?;
    let end = code.find(|letter: char| !letter.is_ascii_digit() && letter != ';')?;
    code[end..].starts_with('m').then_some(end + 3)
}

/// The text without the quotes, blanks and colour codes it begins with.
fn undressed(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(|letter: char| is_quote(letter) || letter == ' ');
        match colour(text) {
            Some(length) => text = &text[length..],
            None => return text,
        }
    }
}

/// Values of secret-sounding names.
fn named(text: &str) -> String {
    let in_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let name_end = rest.find(|letter| !in_name(letter)).unwrap_or(rest.len());
        if name_end == 0 {
            let next =
                colour(rest).or_else(|| rest.find(|letter| in_name(letter) || letter == ESCAPE).filter(|at| *at > 0));
            // A lone escape is a letter like any other.
            let end = next.unwrap_or_else(|| rest.chars().next().map_or(rest.len(), char::len_utf8));
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let (name, after) = rest.split_at(name_end);
        out.push_str(name);
        rest = after;
        let to_separator = undressed(after);
        let Some(separator) = to_separator.chars().next().filter(|letter| matches!(letter, '=' | ':' | '>')) else {
            continue;
        };
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let Some(extent) = announces(&plain, separator) else { continue };
        let mut value = undressed(&to_separator[1..]);
        if let Some(inner) = value.strip_prefix("Some(") {
            value = undressed(inner);
        }
        let end = value
            .find(|letter: char| match extent {
                Extent::Word => {
                    is_quote(letter)
                        || letter.is_whitespace()
                        || matches!(letter, ',' | ';' | '&' | '}' | ')' | ']' | '<' | ESCAPE)
                }
                Extent::Line => matches!(letter, '"' | '\'' | '\\' | '\n' | '\r' | '<' | ESCAPE),
            })
            .unwrap_or(value.len());
        // Prose, as in "failed to load the token: service error": a token is not one word of letters.
        let prose = plain == "token" && separator == ':' && after.starts_with(": ");
        if prose && end <= 12 && value[..end].bytes().all(|byte| byte.is_ascii_lowercase()) {
            continue;
        }
        if end > 0 {
            out.push_str(&after[..after.len() - value.len()]);
            out.push_str(BLANK);
            rest = &value[end..];
        }
    }
    out
}

/// `https://name:password@host` → `https://***@host`.
fn addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after
            .find(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '?' | '#' | '"' | '\'' | '\\' | '<'));
        let authority = &after[..end.unwrap_or(after.len())];
        rest = after;
        if let Some((user, _)) = authority.rsplit_once('@')
            && user.contains(':')
        {
            out.push_str(BLANK);
            rest = &after[user.len()..];
        }
    }
    out.push_str(rest);
    out
}

/// `Bearer abc…` → `Bearer ***`, likewise `Basic`; plain words after them stay.
fn schemes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let found = ["bearer ", "basic "]
            .iter()
            .filter_map(|scheme| find_ignoring_case(rest, scheme).map(|at| at + scheme.len()))
            .min();
        let Some(end) = found else { break };
        let (before, after) = rest.split_at(end);
        out.push_str(before);
        let length = after.find(|letter: char| !is_token(letter) && letter != '.').unwrap_or(after.len());
        let token = &after[..length];
        rest = after;
        if length >= 16 || (length >= 6 && token.contains(|letter: char| letter.is_ascii_digit() || letter == '=')) {
            out.push_str(BLANK);
            rest = &after[length..];
        }
    }
    out.push_str(rest);
    out
}

fn find_ignoring_case(text: &str, word: &str) -> Option<usize> {
    text.as_bytes().windows(word.len()).position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

const fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '=' | '_' | '-' | '~')
}

/// Tokens that give themselves away by their form.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter| !is_token(letter)).unwrap_or(rest.len());
        if end == 0 {
            let next = rest.find(is_token).unwrap_or(rest.len());
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let (token, after) = rest.split_at(end);
        out.push_str(if is_secret(token) { BLANK } else { token });
        rest = after;
    }
    out
}

fn is_secret(token: &str) -> bool {
    // How AWS's session tokens and JSON web tokens begin.
    const BEGINNINGS: [&str; 6] = ["FwoGZXIvYXdz", "IQoJb3JpZ2lu", "FQoGZXIvYXdz", "AQoDYXdz", "AQoEXAMPLE", "eyJ"];
    if token.len() >= 20 && BEGINNINGS.iter().any(|beginning| token.starts_with(beginning)) {
        return true;
    }
    let has = |wanted: fn(&u8) -> bool| token.bytes().any(|byte| wanted(&byte));
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let distinct = token.bytes().collect::<std::collections::BTreeSet<u8>>().len();
    // An AWS secret key is 40 letters of base64; paths and identifiers of that length repeat themselves more.
    let secret_key = token.len() == 40 && !token.contains(['_', '-', '~', '=']) && distinct >= 20;
    mixed && (secret_key || (token.len() >= 120 && distinct >= 30))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const KEY_2: &str = "9Qx2mVb7LkT4sRz8WcYp3NfHd6JgUaEe1BoKiXvM";

    #[test]
    fn a_secret_prints_as_stars_and_compares_whole() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert!(secret.matches("hunter2"));
        assert!(!secret.matches("hunter3") && !secret.matches("hunter") && !secret.matches("hunter22"));
    }

    #[test]
    fn secrets_are_blanked_in_every_dress() {
        for (text, expected) in [
            (format!("aws_secret_access_key = {KEY}"), "aws_secret_access_key = ***"),
            (format!("AWS_SECRET_ACCESS_KEY={KEY} next"), "AWS_SECRET_ACCESS_KEY=*** next"),
            (format!(r#"{{"SecretAccessKey":"{KEY}","a":1}}"#), r#"{"SecretAccessKey":"***","a":1}"#),
            (r#"{\"SessionToken\": \"short\", \"b\": 2}"#.into(), r#"{\"SessionToken\": \"***\", \"b\": 2}"#),
            ("<SessionToken>abc</SessionToken>".into(), "<SessionToken>***</SessionToken>"),
            (
                "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=ab\nHost: h".into(),
                "Authorization: ***\nHost: h",
            ),
            (
                "x?X-Amz-Security-Token=abc&X-Amz-Signature=def&a=b".into(),
                "x?X-Amz-Security-Token=***&X-Amz-Signature=***&a=b",
            ),
            ("sent Bearer abc123def to it".into(), "sent Bearer *** to it"),
            ("basic QVdTOmV5SjBleA==, done".into(), "basic ***, done"),
            ("pull https://AWS:pass@host.example/v2/".into(), "pull https://***@host.example/v2/"),
            (format!("the key {KEY_2} is wrong"), "the key *** is wrong"),
            ("got IQoJb3JpZ2luX2VjEJr0000000000 back".into(), "got *** back"),
            ("jwt eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.x".into(), "jwt ***.x"),
            (r#"Login { password: Some("hunter2") }"#.into(), r#"Login { password: Some("***") }"#),
            (
                "\u{1b}[3mtoken\u{1b}[0m\u{1b}[2m=\u{1b}[0mhunter2".into(),
                "\u{1b}[3mtoken\u{1b}[0m\u{1b}[2m=\u{1b}[0m***",
            ),
        ] {
            assert_eq!(scrub(&text), expected);
            assert_eq!(scrub(expected), expected, "scrubbing twice is like scrubbing once");
        }
    }

    #[test]
    fn what_helps_stays() {
        for text in [
            "ecs:RunTask answered ClientException: Invalid clientToken labguard-1 (request 6f1c8b9e-0000-4444-8888-aaaaaaaaaaaa)",
            "arn:aws:ecs:us-east-1:123456789012:task/labguard-admission-7k2m9q/0123456789abcdef0123456789abcdef",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/admission@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "commit cea376b0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6 by AKIAIOSFODNN7EXAMPLE",
            "the credentials expired; bearer authentication is required; basic health; secret things",
            "GET http://203.0.113.7:5000/ping answered 503, expected 200",
            "failed to load IMDS session token: service error",
            "nextToken=abc, phase=Running, ünïcödé „quotes“ 🦀",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(token|Bearer |password|Some\\(|://|\u{1b}\\[|[=: \"'\\\\>@a-zA-Z0-9é]){0,40}") {
            let _ = scrub(&text);
        }

        #[test]
        fn a_secret_key_after_its_name_never_survives(prefix in "[a-z {\"]{0,8}", key in "[A-Za-z0-9/+]{40}", dress in 0..3usize) {
            let text = match dress {
                0 => format!("{prefix} secret_access_key={key}"),
                1 => format!("{prefix}\n\"secretAccessKey\" : \"{key}\""),
                _ => format!("{prefix} aws-secret-key: {key}, more"),
            };
            prop_assert!(!scrub(&text).contains(&key));
        }
    }
}
