//! Filters, ids and pages of EC2's Describe calls.
//!
//! Guarantees: values of one filter are alternatives, filters add up, `*` and `?` are wildcards, unknown filters are
//! refused rather than ignored. Never sorts: the caller's order is the answer's order.

use std::collections::BTreeMap;

use crate::sandbox::{params::Params, wire::ApiError};

/// The filters of one call.
#[derive(Debug)]
pub(super) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// From `Filter.N.Name` and `Filter.N.Value.M`.
    pub(super) fn read(params: &Params) -> Result<Self, ApiError> {
        let mut filters = Vec::new();
        for group in params.groups("Filter") {
            let name = group.get("Name").unwrap_or_default().to_owned();
            let values = group.list("Value");
            if name.is_empty() || values.is_empty() {
                return Err(ApiError::bad(
                    "InvalidParameterValue",
                    format!("The filter '{name}' needs a name and at least one value"),
                ));
            }
            filters.push((name, values));
        }
        Ok(Self(filters))
    }

    /// Whether a thing passes; `field` gives its values for a filter's name, `None` where there is no such filter.
    pub(super) fn pass(
        &self,
        tags: &BTreeMap<String, String>,
        field: impl Fn(&str) -> Option<Vec<String>>,
    ) -> Result<bool, ApiError> {
        for (name, patterns) in &self.0 {
            let values = if let Some(key) = name.strip_prefix("tag:") {
                tags.get(key).cloned().into_iter().collect()
            } else if name == "tag-key" {
                tags.keys().cloned().collect()
            } else {
                field(name)
                    .ok_or_else(|| ApiError::bad("InvalidParameterValue", format!("The filter '{name}' is invalid")))?
            };
            if !values.iter().any(|value| patterns.iter().any(|pattern| glob(pattern.as_bytes(), value.as_bytes()))) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether `text` matches `pattern` with `*` and `?`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// The page of `all` that was asked for, and the token of the next one.
pub(super) fn page<T>(params: &Params, all: Vec<T>, ids_given: bool) -> Result<(Vec<T>, Option<String>), ApiError> {
    let invalid = |message: String| ApiError::bad("InvalidParameterValue", message);
    let start = match params.get("NextToken").filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|number| number.parse::<usize>().ok())
            .ok_or_else(|| invalid("Invalid value 'token' for nextToken".to_owned()))?,
    };
    let Some(limit) = params.get("MaxResults") else {
        return Ok((all.into_iter().skip(start).collect(), None));
    };
    if ids_given {
        let message = "The parameter 'MaxResults' cannot be used with a list of ids";
        return Err(ApiError::bad("InvalidParameterCombination", message));
    }
    let limit: usize =
        limit.parse().map_err(|_| invalid(format!("Value ( {limit} ) for parameter maxResults is invalid.")))?;
    if !(5..=1000).contains(&limit) {
        return Err(invalid(format!(
            "Value ( {limit} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."
        )));
    }
    let next = (all.len() > start + limit).then(|| format!("page-{}", start + limit));
    Ok((all.into_iter().skip(start).take(limit).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_ec2_matches_them() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("lab*", "labguard-1", true),
            ("l?b", "lab", true),
            ("l?b", "laab", false),
            ("*-1", "a-1-1", true),
            ("a", "A", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn pages_join_to_the_whole_and_end_without_a_token() {
        let (first, token) = page(&Params::parse(b"MaxResults=5"), (0..7).collect(), false).unwrap();
        assert_eq!((first.len(), token.as_deref()), (5, Some("page-5")));
        let (rest, token) = page(&Params::parse(b"MaxResults=5&NextToken=page-5"), (0..7).collect(), false).unwrap();
        assert_eq!((rest, token), (vec![5, 6], None));
        assert!(page(&Params::parse(b"MaxResults=2"), vec![1], false).is_err());
    }
}
