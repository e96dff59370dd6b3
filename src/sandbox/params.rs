//! Parameters of AWS's query protocols (EC2, IAM, STS): `Filter.1.Value.2=x` as lists and groups.
//!
//! Guarantees: order of numbered members is kept, whatever order they were sent in. Never fails: what is not there is
//! absent, and each service says what it misses.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::ApiError;

/// The parameters of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// From an `application/x-www-form-urlencoded` body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
        Self(pairs.into_iter().collect())
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of `name`, or EC2's/IAM's error for a missing one.
    ///
    /// # Errors
    /// `MissingParameter` when it is absent or empty.
    pub fn require(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            ApiError::new(400, "MissingParameter", format!("The request must contain the parameter {name}"))
        })
    }

    /// Whether `name` is `true`.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// `NAME.1`, `NAME.2` … or `NAME.member.1` …, in numerical order.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        self.groups(name).into_iter().filter_map(|group| group.get("").map(str::to_owned)).collect()
    }

    /// `NAME.1.X`, `NAME.2.Y` … as one [`Params`] each (`X`, `Y`), in numerical order. A bare `NAME.1` is under `""`.
    #[must_use]
    pub fn groups(&self, name: &str) -> Vec<Params> {
        let prefix = format!("{name}.");
        let mut found: BTreeMap<u32, Params> = BTreeMap::new();
        for (key, value) in self.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
            let rest = &key[prefix.len()..];
            let rest = rest.strip_prefix("member.").unwrap_or(rest);
            let (number, inner) = rest.split_once('.').unwrap_or((rest, ""));
            if let Ok(number) = number.parse::<u32>() {
                found.entry(number).or_default().0.insert(inner.to_owned(), value.clone());
            }
        }
        found.into_values().collect()
    }

    /// The parameters under `NAME.`, without it.
    #[must_use]
    pub fn inside(&self, name: &str) -> Params {
        let prefix = format!("{name}.");
        let under =
            self.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())));
        Params(under.collect())
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_groups_keep_their_numbers_order() {
        let params = Params::parse(b"GroupId.10=j&GroupId.2=b&GroupId.1=a&Filter.1.Name=vpc-id&Filter.1.Value.1=v1&Filter.1.Value.2=v2&Tags.member.1.Key=k&Tags.member.1.Value=x%20y");
        assert_eq!(params.list("GroupId"), ["a", "b", "j"]);
        let filters = params.groups("Filter");
        assert_eq!(filters[0].get("Name"), Some("vpc-id"));
        assert_eq!(filters[0].list("Value"), ["v1", "v2"]);
        assert_eq!(params.groups("Tags")[0].get("Value"), Some("x y"));
        assert!(params.require("VpcId").is_err());
    }
}
