//! Every operation that the sandbox answers, by the name that faults and counters know it by: `ecs:RunTask`.
//!
//! Guarantees: in step with what the services answer (a test reads their dispatch). Never says what an operation does.

/// The services, each with its operations; the registry's are HTTP methods.
pub const SERVICES: [(&str, &[&str]); 12] = [
    (
        "ecs",
        &[
            "CreateCluster",
            "UpdateCluster",
            "UpdateClusterSettings",
            "PutClusterCapacityProviders",
            "DescribeClusters",
            "ListClusters",
            "DeleteCluster",
            "RegisterTaskDefinition",
            "DescribeTaskDefinition",
            "ListTaskDefinitions",
            "ListTaskDefinitionFamilies",
            "DeregisterTaskDefinition",
            "DeleteTaskDefinitions",
            "RunTask",
            "StopTask",
            "DescribeTasks",
            "ListTasks",
            "CreateService",
            "UpdateService",
            "DescribeServices",
            "ListServices",
            "DeleteService",
            "TagResource",
            "UntagResource",
            "ListTagsForResource",
        ],
    ),
    (
        "ecr",
        &[
            "GetAuthorizationToken",
            "DescribeRegistry",
            "CreateRepository",
            "DescribeRepositories",
            "DeleteRepository",
            "PutLifecyclePolicy",
            "GetLifecyclePolicy",
            "ListTagsForResource",
            "TagResource",
            "UntagResource",
            "ListImages",
            "DescribeImages",
            "BatchGetImage",
            "BatchDeleteImage",
            "PutImage",
            "DescribeImageScanFindings",
            "BatchCheckLayerAvailability",
            "GetDownloadUrlForLayer",
            "InitiateLayerUpload",
            "UploadLayerPart",
            "CompleteLayerUpload",
        ],
    ),
    (
        "ec2",
        &[
            "DescribeVpcs",
            "DescribeSubnets",
            "DescribeRouteTables",
            "DescribeAvailabilityZones",
            "DescribeSecurityGroups",
            "DescribeSecurityGroupRules",
            "DescribeNetworkInterfaces",
            "CreateSecurityGroup",
            "AuthorizeSecurityGroupIngress",
            "AuthorizeSecurityGroupEgress",
            "RevokeSecurityGroupIngress",
            "RevokeSecurityGroupEgress",
            "DeleteSecurityGroup",
            "CreateTags",
            "DeleteTags",
            "DescribeTags",
        ],
    ),
    (
        "iam",
        &[
            "CreateRole",
            "GetRole",
            "ListRoles",
            "DeleteRole",
            "UpdateAssumeRolePolicy",
            "AttachRolePolicy",
            "DetachRolePolicy",
            "ListAttachedRolePolicies",
            "PutRolePolicy",
            "GetRolePolicy",
            "DeleteRolePolicy",
            "ListRolePolicies",
            "TagRole",
            "UntagRole",
            "ListRoleTags",
            "ListInstanceProfilesForRole",
            "GetPolicy",
            "CreateServiceLinkedRole",
        ],
    ),
    (
        "logs",
        &[
            "CreateLogGroup",
            "DescribeLogGroups",
            "PutRetentionPolicy",
            "DeleteRetentionPolicy",
            "DeleteLogGroup",
            "CreateLogStream",
            "DescribeLogStreams",
            "PutLogEvents",
            "GetLogEvents",
            "FilterLogEvents",
            "ListTagsForResource",
            "TagResource",
            "UntagResource",
            "ListTagsLogGroup",
        ],
    ),
    (
        "cloudwatch",
        &[
            "PutMetricData",
            "GetMetricStatistics",
            "GetMetricData",
            "ListMetrics",
            "PutMetricAlarm",
            "DescribeAlarms",
            "DeleteAlarms",
            "TagResource",
            "UntagResource",
            "ListTagsForResource",
        ],
    ),
    ("tagging", &["GetResources", "GetTagKeys", "GetTagValues"]),
    ("ce", &["GetCostAndUsage"]),
    ("pricing", &["GetProducts"]),
    (
        "scheduler",
        &[
            "CreateScheduleGroup",
            "GetScheduleGroup",
            "ListScheduleGroups",
            "DeleteScheduleGroup",
            "ListTagsForResource",
            "CreateSchedule",
            "UpdateSchedule",
            "GetSchedule",
            "ListSchedules",
            "DeleteSchedule",
        ],
    ),
    ("sts", &["GetCallerIdentity"]),
    ("registry", &["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"]),
];

/// `ecs:RunTask` and all others.
pub fn names() -> impl Iterator<Item = String> {
    SERVICES.iter().flat_map(|(service, operations)| operations.iter().map(move |name| format!("{service}:{name}")))
}

/// Whether a fault's operation, a name or the beginning of names with a `*` behind it, meets any.
#[must_use]
pub fn meets(operation: &str) -> bool {
    match operation.strip_suffix('*') {
        Some(beginning) => names().any(|name| name.starts_with(beginning)),
        None => names().any(|name| name == operation),
    }
}

/// The operation that was probably meant.
#[must_use]
pub fn nearest(operation: &str) -> Option<String> {
    let star = if operation.ends_with('*') { "*" } else { "" };
    let word = operation.trim_end_matches('*').to_ascii_lowercase();
    let candidates = names().chain(SERVICES.iter().map(|(service, _)| format!("{service}:")));
    let far = |name: &String| strsim::damerau_levenshtein(&word, &name.to_ascii_lowercase());
    let meant = candidates.filter(|name| name.ends_with(':') == (star == "*")).min_by_key(far)?;
    (far(&meant) * 3 <= word.len()).then(|| format!("{meant}{star}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The operations that a service's dispatch names: the words in quotes before `=>`.
    fn answered(text: &str) -> BTreeSet<String> {
        let body = text.split("pub fn call(").nth(1).unwrap();
        let body = body.split("\n}\n").next().unwrap();
        let arms = body.lines().filter_map(|line| line.trim().split_once(" =>")).map(|(arm, _)| arm);
        let words = arms.flat_map(|arm| arm.split('|'));
        words.filter_map(|word| Some(word.trim().strip_prefix('"')?.strip_suffix('"')?.to_owned())).collect()
    }

    #[test]
    fn the_table_is_in_step_with_what_the_services_answer() {
        for (service, text) in [
            ("ecs", include_str!("ecs/mod.rs")),
            ("ecr", include_str!("ecr/mod.rs")),
            ("ec2", include_str!("ec2/mod.rs")),
            ("iam", include_str!("iam.rs")),
            ("logs", include_str!("logs.rs")),
            ("cloudwatch", include_str!("cloudwatch/mod.rs")),
            ("tagging", include_str!("tagging.rs")),
            ("ce", include_str!("cost_explorer.rs")),
            ("pricing", include_str!("pricing.rs")),
            ("scheduler", include_str!("scheduler/mod.rs")),
            ("sts", include_str!("sts.rs")),
        ] {
            let (_, known) = SERVICES.iter().find(|(name, _)| *name == service).unwrap();
            let known: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(known, answered(text), "{service}");
        }
    }

    #[test]
    fn a_name_a_beginning_and_the_one_that_was_meant() {
        assert!(
            meets("ecs:RunTask") && meets("ecs:Describe*") && meets("ecs:*") && meets("*") && meets("registry:PUT")
        );
        assert!(!meets("ecs:RunTsk") && !meets("esc:*") && !meets("RunTask") && !meets("ecs"));
        assert_eq!(nearest("ecs:RunTsk").as_deref(), Some("ecs:RunTask"));
        assert_eq!(nearest("esc:*").as_deref(), Some("ecs:*"));
        assert_eq!(nearest("s3:PutObject"), None);
    }
}
