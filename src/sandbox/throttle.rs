//! AWS's token buckets, per group of operations (the project's AWS notes §5.1, §5.2).
//!
//! Guarantees: integer arithmetic in thousandths of a token; time never goes back. Never sleeps: a call either has its
//! token or is refused.

use std::collections::BTreeMap;

use crate::domain::model::Timestamp;

/// Buckets of one account and region.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    levels: BTreeMap<&'static str, (u64, Timestamp)>,
}

/// Name of the group, size of its bucket, tokens refilled per second.
fn group(operation: &str) -> Option<(&'static str, u64, u64)> {
    let (service, op) = operation.split_once(':')?;
    let read = op.starts_with("Describe") || op.starts_with("List") || op.starts_with("Get");
    Some(match service {
        "ecs" => match op {
            "TagResource" | "UntagResource" => ("ecs tag modify", 20, 10),
            "ListTagsForResource" => ("ecs tag read", 50, 20),
            "DeleteTaskDefinitions" => ("ecs task-definition delete", 5, 1),
            _ if op.contains("TaskDefinition") => {
                if read {
                    ("ecs task-definition read", 50, 20)
                } else {
                    ("ecs task-definition modify", 20, 1)
                }
            }
            _ if op.contains("Service") => {
                if read {
                    ("ecs service read", 100, 20)
                } else {
                    ("ecs service modify", 50, 5)
                }
            }
            _ if op.contains("Cluster") => {
                if read {
                    ("ecs cluster read", 50, 20)
                } else {
                    ("ecs cluster modify", 20, 1)
                }
            }
            _ => {
                if read {
                    ("ecs cluster-resource read", 100, 20)
                } else {
                    ("ecs cluster-resource modify", 100, 40)
                }
            }
        },
        "ec2" => match op {
            "CreateTags" => ("ec2 create-tags", 100, 10),
            "AuthorizeSecurityGroupIngress" => ("ec2 authorize", 50, 5),
            _ if read => ("ec2 read", 100, 20),
            _ => ("ec2 mutate", 50, 5),
        },
        "logs" => match op {
            "PutRetentionPolicy" => ("logs retention", 5, 5),
            "CreateLogGroup" => ("logs create", 10, 10),
            "DeleteLogGroup" => ("logs delete", 10, 10),
            _ => return None,
        },
        _ => return None,
    })
}

impl Buckets {
    /// Takes a token for a call of `operation`; false when the bucket is empty. Operations without a known limit always pass.
    pub fn take(&mut self, operation: &str, now: Timestamp) -> bool {
        let Some((name, size, refill)) = group(operation) else { return true };
        let (level, since) = self.levels.entry(name).or_insert((size * 1000, now));
        *level = (*level + now.since(*since).as_millis().saturating_mul(refill)).min(size * 1000);
        *since = now.max(*since);
        if *level < 1000 {
            return false;
        }
        *level -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::Span;

    #[test]
    fn a_bucket_empties_and_refills_at_its_rate() {
        let mut buckets = Buckets::default();
        let start = Timestamp::from_millis(1_000_000);
        let taken = (0..30).filter(|_| buckets.take("ecs:CreateCluster", start)).count();
        assert_eq!(taken, 20);
        assert!(!buckets.take("ecs:DeleteCluster", start + Span::from_millis(900)), "one group, one bucket");
        assert!(buckets.take("ecs:DeleteCluster", start + Span::from_millis(1_000)));
        assert!(buckets.take("ecs:DescribeClusters", start), "another group is not touched");
        assert_eq!((0..9).filter(|_| buckets.take("ecs:DeleteTaskDefinitions", start)).count(), 5);
        assert!(buckets.take("sts:GetCallerIdentity", start));
    }
}
