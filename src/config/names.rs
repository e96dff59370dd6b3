//! What AWS lets things be called (aws-facts §1.1, §3.1, §4).
//!
//! Guarantees: a name that passes is accepted by AWS. Never asks AWS.

/// Which rule a name follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameRule {
    /// ECR repository: 2 to 256, words of `a-z 0-9` joined by `. _ __ -` and `/`.
    Repository,
    /// ECS cluster, family, container, service: 1 to 255 letters, digits, `_`, `-`.
    Ecs,
    /// EC2 security group: 1 to 255 of EC2's characters, not beginning `sg-`.
    SecurityGroup,
    /// CloudWatch log group: 1 to 512 letters, digits, `_ - / . #`, not beginning `aws/`.
    LogGroup,
    /// IAM role: 1 to 64 letters, digits, `+ = , . @ _ -`.
    Role,
}

impl NameRule {
    /// For people.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            NameRule::Repository => "2 to 256 of a-z and 0-9 in words joined by . _ __ - or / (ECR's rule)",
            NameRule::Ecs => "1 to 255 letters, digits, _ and - (ECS's rule)",
            NameRule::SecurityGroup => {
                "1 to 255 letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*, not beginning with \"sg-\" (EC2's rule)"
            }
            NameRule::LogGroup => {
                "1 to 512 letters, digits and _ - / . #, not beginning with \"aws/\" (CloudWatch's rule)"
            }
            NameRule::Role => "1 to 64 letters, digits and + = , . @ _ - (IAM's rule)",
        }
    }

    /// Whether AWS takes `name`, in which `{session}` is filled in already.
    pub(super) fn allows(self, name: &str) -> bool {
        let (least, most) = match self {
            NameRule::Repository => (2, 256),
            NameRule::Ecs | NameRule::SecurityGroup => (1, 255),
            NameRule::LogGroup => (1, 512),
            NameRule::Role => (1, 64),
        };
        let only = |others: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
        (least..=most).contains(&name.len())
            && match self {
                NameRule::Repository => name.split('/').all(is_repository_part),
                NameRule::Ecs => only("_-"),
                NameRule::SecurityGroup => {
                    only(" ._-:/()#,@[]+=&;{}!$*") && !name.to_ascii_lowercase().starts_with("sg-")
                }
                NameRule::LogGroup => only("_-/.#") && !name.starts_with("aws/"),
                NameRule::Role => only("+=,.@_-"),
            }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, by hand.
fn is_repository_part(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let joint = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    part.starts_with(word)
        && part.ends_with(word)
        && part.split(word).filter(|joiner| !joiner.is_empty()).all(joint)
        && part.chars().all(|c| word(c) || matches!(c, '.' | '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_follow_the_registry_grammar() {
        for good in ["ab", "admission_prediction", "labguard/x-1", "a__b", "a---b", "a.b/c"] {
            assert!(NameRule::Repository.allows(good), "{good}");
        }
        for bad in ["a", "Upper", "a..b", "a___b", "/a", "a/", "a//b", "-a", "a-", "a._b", "a b", "", "ä2"] {
            assert!(!NameRule::Repository.allows(bad), "{bad}");
        }
    }

    #[test]
    fn each_kind_keeps_to_its_own_rule() {
        assert!(NameRule::Ecs.allows("admission_prediction-1") && !NameRule::Ecs.allows("a/b"));
        assert!(!NameRule::Ecs.allows(&"x".repeat(256)));
        assert!(!NameRule::SecurityGroup.allows("sg-mine") && NameRule::SecurityGroup.allows("my group (1)"));
        assert!(NameRule::LogGroup.allows("/labguard/x") && !NameRule::LogGroup.allows("a b"));
        assert!(!NameRule::Role.allows(&"x".repeat(65)) && NameRule::Role.allows("a+b=c,d.e@f"));
    }
}
