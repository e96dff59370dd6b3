//! Names of sessions and of the accounts they run in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The account number of the sandbox: twelve zeros, which AWS never gives to anyone.
pub const SANDBOX_ACCOUNT: &str = "000000000000";

/// The tag key that marks a resource as labguard's; its value is the session's id.
pub const SESSION_TAG: &str = "labguard:session";

/// The tag key that names the session's owner.
pub const OWNER_TAG: &str = "labguard:owner";

/// One lab run: the policy's name, a dash, and six characters of its own (`admission-7k2m9q`).
///
/// At most 48 characters of `a-z 0-9 -`, so that it fits every AWS name, tag and token it goes into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// Why a text is not a session id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 48 characters of a-z, 0-9 and '-', found \"{0}\"")]
pub struct SessionIdError(String);

impl SessionId {
    /// The id of a new session of policy `name`; `seed` is any number not used before for that name.
    #[must_use]
    pub fn new(name: &str, seed: u64) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut slug: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(40)
            .collect();
        slug.push('-');
        for place in 0..6 {
            slug.push(char::from(LETTERS[(seed >> (place * 5)) as usize % 32]));
        }
        Self(slug)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;
    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 48 || !text.bytes().all(legal) {
            return Err(SessionIdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SessionId {
    type Error = SessionIdError;
    fn try_from(text: String) -> Result<Self, SessionIdError> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> String {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who we are to AWS, as `sts:GetCallerIdentity` said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
    /// For example `us-east-1`.
    pub region: String,
}

impl Identity {
    /// Whether this is the sandbox and not AWS.
    #[must_use]
    pub fn is_sandbox(&self) -> bool {
        self.account == SANDBOX_ACCOUNT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_from_any_name_are_legal() {
        for name in ["admission", "Admission Prediction", "ä/b", &"x".repeat(200)] {
            let id = SessionId::new(name, 0xDEAD_BEEF);
            assert_eq!(id.as_str().parse::<SessionId>().unwrap(), id);
        }
        assert_ne!(SessionId::new("a", 1), SessionId::new("a", 2));
        assert!("Upper".parse::<SessionId>().is_err());
    }
}
