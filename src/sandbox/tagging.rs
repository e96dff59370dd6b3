//! The Resource Groups Tagging API: GetResources over all services' tags.
//!
//! Guarantees: filters as AWS reads them (values of a key are alternatives, keys add up), pages with tokens. What was
//! deleted may be listed for a while longer, as AWS's own index does. Never a proof that something exists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::domain::model::{Span, Timestamp};

use super::{
    state::World,
    wire::{ApiError, strings},
};

/// The index behind the API.
#[derive(Debug, Default)]
pub struct Tagging {
    linger: Span,
    /// What was listed before, and when it was last really there.
    seen: BTreeMap<String, (BTreeMap<String, String>, Timestamp)>,
}

impl Tagging {
    /// For how long deleted things stay listed (default none).
    pub fn set_linger(&mut self, linger: Span) {
        self.linger = linger;
    }

    fn look(
        &mut self,
        now: Timestamp,
        there: Vec<(String, BTreeMap<String, String>)>,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let present: BTreeSet<String> = there.iter().map(|(arn, _)| arn.clone()).collect();
        self.seen.extend(there.into_iter().map(|(arn, tags)| (arn, (tags, now))));
        let linger = self.linger;
        let lingers = |last: Timestamp| linger > Span::ZERO && now.since(last) <= linger;
        self.seen.retain(|arn, (_, last)| present.contains(arn) || lingers(*last));
        self.seen.iter().map(|(arn, (tags, _))| (arn.clone(), tags.clone())).collect()
    }
}

/// Whether `arn` is of one of the kinds asked for: `ecs`, or `ec2:security-group`.
fn of_kind(arn: &str, kinds: &[String]) -> bool {
    let mut parts = arn.splitn(6, ':').skip(2);
    let service = parts.next().unwrap_or_default();
    let resource = parts.nth(2).unwrap_or_default();
    kinds.is_empty()
        || kinds.iter().any(|kind| match kind.split_once(':') {
            None => kind == service,
            Some((wanted, sort)) => wanted == service && resource.split(['/', ':']).next() == Some(sort),
        })
}

fn listed(world: &mut World) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut there = world.ecs.tagged();
    there.extend(world.ec2.tagged());
    there.extend(world.ecr.tagged());
    there.extend(world.logs.tagged());
    there.extend(world.cloudwatch.tagged());
    there.retain(|(_, tags)| !tags.is_empty());
    world.tagging.look(world.now, there)
}

fn get_resources(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let mut filters: Vec<(String, Vec<String>)> = Vec::new();
    for filter in input["TagFilters"].as_array().into_iter().flatten() {
        let key = filter["Key"].as_str().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| ApiError::invalid("The TagFilters list has an element without a Key."))?;
        filters.push((key.to_owned(), strings(&filter["Values"])));
    }
    let (kinds, arns) = (strings(&input["ResourceTypeFilters"]), strings(&input["ResourceARNList"]));
    let filtered = !filters.is_empty() || !kinds.is_empty();
    if filtered && !arns.is_empty() {
        return Err(ApiError::invalid("The ResourceARNList parameter cannot be used with other filters."));
    }
    let size = match &input["ResourcesPerPage"] {
        Value::Null => 50,
        given => given
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| (1..=100).contains(size))
            .ok_or_else(|| ApiError::invalid("ResourcesPerPage must be between 1 and 100."))?,
    };
    let after = input["PaginationToken"].as_str().unwrap_or_default().to_owned();
    let mut found: Vec<(String, BTreeMap<String, String>)> = listed(world)
        .into_iter()
        .filter(|(arn, tags)| {
            of_kind(arn, &kinds)
                && (arns.is_empty() || arns.contains(arn))
                && filters
                    .iter()
                    .all(|(key, values)| tags.get(key).is_some_and(|value| values.is_empty() || values.contains(value)))
        })
        .filter(|(arn, _)| after.is_empty() || *arn > after)
        .collect();
    let more = found.len() > size;
    found.truncate(size);
    let token = if more { found.last().map(|(arn, _)| arn.clone()).unwrap_or_default() } else { String::new() };
    let list: Vec<Value> = found
        .into_iter()
        .map(|(arn, tags)| {
            let tags: Vec<Value> = tags.into_iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
            json!({ "ResourceARN": arn, "Tags": tags })
        })
        .collect();
    Ok(json!({ "PaginationToken": token, "ResourceTagMappingList": list }))
}

/// One call.
///
/// # Errors
/// `InvalidParameterException` for bad filters; `UnknownOperationException` for what the sandbox does not have.
pub fn call(world: &mut World, op: &str, input: Value) -> Result<Value, ApiError> {
    match op {
        "GetResources" => get_resources(world, &input),
        "GetTagKeys" => {
            let keys: BTreeSet<String> = listed(world).into_values().flat_map(BTreeMap::into_keys).collect();
            Ok(json!({ "PaginationToken": "", "TagKeys": keys }))
        }
        "GetTagValues" => {
            let key = super::wire::required(&input, "Key")?;
            let values: BTreeSet<String> =
                listed(world).into_values().filter_map(|tags| tags.get(key).cloned()).collect();
            Ok(json!({ "PaginationToken": "", "TagValues": values }))
        }
        other => Err(ApiError::unknown_operation(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_a_service_or_a_service_and_a_sort() {
        let group = "arn:aws:ec2:us-east-1:000000000000:security-group/sg-1";
        let logs = "arn:aws:logs:us-east-1:000000000000:log-group:/lab";
        for (arn, kind, expected) in [
            (group, "ec2", true),
            (group, "ec2:security-group", true),
            (group, "ec2:vpc", false),
            (logs, "logs:log-group", true),
            (logs, "ecs", false),
        ] {
            assert_eq!(of_kind(arn, &[kind.to_owned()]), expected, "{arn} {kind}");
        }
    }

    #[test]
    fn the_deleted_stay_listed_only_as_long_as_asked() {
        let (start, thing) = (Timestamp::from_millis(10_000), || vec![("arn:x".to_owned(), BTreeMap::new())]);
        let mut index = Tagging::default();
        assert_eq!(index.look(start, thing()).len(), 1);
        assert_eq!(index.look(start, vec![]).len(), 0, "gone at the very same instant");
        index.set_linger(Span::from_secs(5));
        assert_eq!(index.look(start, thing()).len(), 1);
        assert_eq!(index.look(start + Span::from_secs(5), vec![]).len(), 1);
        assert_eq!(index.look(start + Span::from_secs(6), vec![]).len(), 0);
    }
}
