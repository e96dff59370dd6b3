//! Faults by name: what the sandbox does wrong on demand, always the same way for the same seed.
//!
//! A rule is written `OPERATION=KIND[:WHEN]`: `ecs:RunTask=capacity:2` (the first two calls), `ecs:*=throttle:30%`
//! (that share), `*=lost-answer:@3` (the third call only), `ecs:DescribeTasks=slow(2s)` (each).
//!
//! Guarantees: seeded; a rule counts only the calls it applies to. Never changes state itself.

use std::str::FromStr;

use crate::domain::model::Span;

use super::{ids::Ids, operations};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// `ThrottlingException` / `RequestLimitExceeded`, no effect.
    Throttle,
    /// A 5xx, no effect.
    ServerError(u16),
    /// The connection breaks before the effect.
    NoAnswer,
    /// The effect happens, the answer is lost.
    LostAnswer,
    /// Access denied, no effect.
    AccessDenied,
    /// The credentials have expired, no effect.
    ExpiredToken,
    /// RunTask answers 200 with `failures[]`: no capacity. A service places no task.
    Capacity,
    /// The same: the account's quota of vCPUs is used up.
    Quota,
    /// RunTask is refused: AWS has blocked the account. A service places no task.
    Blocked,
    /// DescribeVpcs finds no default VPC.
    NoDefaultVpc,
    /// Eventual consistency: what the call makes (or reads) is MISSING for that long.
    Missing(Span),
    /// The answer takes that much longer.
    Slow(Span),
    /// A virgin account: the service-linked role cannot be assumed yet.
    ServiceLinkedRole,
}

/// Name and meaning of each kind, for documents and `--help`.
#[must_use]
pub fn catalogue() -> &'static [(&'static str, &'static str)] {
    &[
        ("throttle", "answers ThrottlingException (EC2: RequestLimitExceeded); nothing happens"),
        ("server-error", "answers 500, or the status in parentheses: server-error(503); nothing happens"),
        ("no-answer", "the connection breaks before anything happens"),
        ("lost-answer", "the effect happens, but the connection breaks before the answer"),
        ("access-denied", "answers AccessDeniedException (EC2: UnauthorizedOperation)"),
        ("expired-token", "answers ExpiredTokenException (EC2: RequestExpired)"),
        (
            "capacity",
            "RunTask answers 200 with failures[]: capacity is unavailable at this time; a service says it by its events",
        ),
        ("quota", "the same for the account's quota of vCPUs: you've reached the limit"),
        (
            "blocked",
            "RunTask answers BlockedException: the account is currently blocked; a service says it by its events",
        ),
        ("no-default-vpc", "DescribeVpcs answers an empty list where the default VPC is asked for"),
        ("missing", "what the call makes or reads is MISSING for the span in parentheses: missing(10s)"),
        ("slow", "the answer takes longer by the span in parentheses: slow(2s)"),
        ("service-linked-role", "CreateCluster, RunTask and CreateService cannot assume the service-linked role yet"),
    ]
}

/// Which calls a rule hits, of those whose operation it names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// Each.
    Always,
    /// The first so many.
    First(u32),
    /// Only that one, counted from 1.
    Nth(u32),
    /// Each with this probability (0 to 1).
    Probability(f64),
}

/// One named fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// For messages; the text it was read from.
    pub name: String,
    /// `ecs:RunTask`, `ecs:*` or `*`.
    pub operation: String,
    /// Which of those calls.
    pub when: When,
    /// What happens to them.
    pub kind: FaultKind,
}

impl FaultRule {
    /// A rule named after what it does.
    #[must_use]
    pub fn new(operation: &str, kind: FaultKind, when: When) -> Self {
        Self { name: format!("{operation} {kind:?}"), operation: operation.to_owned(), when, kind }
    }

    fn applies_to(&self, operation: &str) -> bool {
        match self.operation.strip_suffix('*') {
            Some(prefix) => operation.starts_with(prefix),
            None => self.operation == operation,
        }
    }
}

/// Why a text is not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a fault ({why}); expected {}{}", expected(), nearest.as_ref().map(|it| format!("; nearest: {it}")).unwrap_or_default())]
pub struct FaultRuleError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
    /// The rule that was probably meant.
    pub nearest: Option<String>,
}

/// What a rule looks like, for people.
#[must_use]
pub fn expected() -> String {
    let kinds: Vec<&str> = catalogue().iter().map(|(name, _)| *name).collect();
    format!(
        "OPERATION=KIND[:WHEN], such as ecs:RunTask=capacity:2 or ecs:*=throttle:30%, with one of the kinds {}",
        kinds.join(", ")
    )
}

/// Reads all of them.
///
/// # Errors
/// Every text that is none.
pub fn read_all<T: AsRef<str>>(texts: &[T]) -> Result<Vec<FaultRule>, Vec<FaultRuleError>> {
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    for text in texts {
        match text.as_ref().parse() {
            Ok(rule) => rules.push(rule),
            Err(error) => wrong.push(error),
        }
    }
    if wrong.is_empty() { Ok(rules) } else { Err(wrong) }
}

impl FromStr for FaultRule {
    type Err = FaultRuleError;

    fn from_str(text: &str) -> Result<Self, FaultRuleError> {
        let error = |why: &str| FaultRuleError { text: text.to_owned(), why: why.to_owned(), nearest: None };
        let (operation, rest) = text.split_once('=').ok_or_else(|| error("no '='"))?;
        if operation.is_empty() {
            return Err(error("no operation"));
        }
        if !operations::meets(operation) {
            let nearest = operations::nearest(operation).map(|meant| format!("{meant}={rest}"));
            let why = format!("the sandbox answers no operation {operation}, so that it would never strike");
            return Err(FaultRuleError { nearest, ..error(&why) });
        }
        let (kind, when) = match rest.rsplit_once(':') {
            Some((kind, when)) => (kind, Some(when)),
            None => (rest, None),
        };
        let (kind, argument) = match kind.split_once('(') {
            Some((kind, argument)) => {
                (kind, Some(argument.strip_suffix(')').ok_or_else(|| error("no closing parenthesis"))?))
            }
            None => (kind, None),
        };
        let span = |default: u64| match argument {
            Some(argument) => argument.parse::<Span>().map_err(|_| error("not a span of time")),
            None => Ok(Span::from_secs(default)),
        };
        let kind = match kind {
            "throttle" => FaultKind::Throttle,
            "server-error" => match argument {
                None => FaultKind::ServerError(500),
                Some(status) => FaultKind::ServerError(
                    status.parse().ok().filter(|s| (500..600).contains(s)).ok_or_else(|| error("not a 5xx status"))?,
                ),
            },
            "no-answer" | "timeout" => FaultKind::NoAnswer,
            "lost-answer" => FaultKind::LostAnswer,
            "access-denied" => FaultKind::AccessDenied,
            "expired-token" => FaultKind::ExpiredToken,
            "capacity" => FaultKind::Capacity,
            "quota" => FaultKind::Quota,
            "blocked" => FaultKind::Blocked,
            "no-default-vpc" => FaultKind::NoDefaultVpc,
            "missing" => FaultKind::Missing(span(10)?),
            "slow" => FaultKind::Slow(span(2)?),
            "service-linked-role" => FaultKind::ServiceLinkedRole,
            _ => {
                let far = |name: &&str| strsim::damerau_levenshtein(kind, name);
                let names = catalogue().iter().map(|(name, _)| *name);
                let meant = names.min_by_key(far).filter(|name| far(name) * 3 <= kind.len().max(3));
                let nearest = meant.map(|meant| format!("{operation}={}", rest.replacen(kind, meant, 1)));
                return Err(FaultRuleError { nearest, ..error("unknown kind") });
            }
        };
        let when = match when {
            None => When::Always,
            Some(when) => {
                if let Some(percent) = when.strip_suffix('%') {
                    let percent: f64 = percent.parse().map_err(|_| error("not a percentage"))?;
                    if !(0.0..=100.0).contains(&percent) {
                        return Err(error("a percentage is 0 to 100"));
                    }
                    When::Probability(percent / 100.0)
                } else if let Some(nth) = when.strip_prefix('@') {
                    When::Nth(nth.parse().map_err(|_| error("not a number after '@'"))?)
                } else {
                    When::First(when.parse().map_err(|_| error("not a number of calls"))?)
                }
            }
        };
        Ok(FaultRule { name: text.to_owned(), operation: operation.to_owned(), when, kind })
    }
}

/// The rules with their counters.
#[derive(Clone, Debug)]
pub struct Faults {
    rules: Vec<(FaultRule, u32)>,
    dice: Ids,
}

impl Faults {
    /// Starts counting.
    #[must_use]
    pub fn new(rules: Vec<FaultRule>, seed: u64) -> Self {
        Self { rules: rules.into_iter().map(|rule| (rule, 0)).collect(), dice: Ids::new(seed ^ 0xFA17) }
    }

    /// Adds a rule, counting from now.
    pub fn add(&mut self, rule: FaultRule) {
        self.rules.push((rule, 0));
    }

    /// Forgets all rules.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// What goes wrong with this call of `operation`.
    pub fn strike(&mut self, operation: &str) -> Vec<FaultKind> {
        self.strike_with(operation, |_| true)
    }

    /// What goes wrong with one try of a service to place a task: it counts as a RunTask that nobody calls.
    pub fn strike_placement(&mut self) -> Vec<FaultKind> {
        self.strike_with("ecs:RunTask", |kind| {
            matches!(kind, FaultKind::Capacity | FaultKind::Quota | FaultKind::Blocked)
        })
    }

    fn strike_with(&mut self, operation: &str, can: impl Fn(&FaultKind) -> bool) -> Vec<FaultKind> {
        let mut struck = Vec::new();
        let rules = self.rules.iter_mut().filter(|(rule, _)| rule.applies_to(operation) && can(&rule.kind));
        for (rule, seen) in rules {
            *seen += 1;
            let hit = match rule.when {
                When::Always => true,
                When::First(times) => *seen <= times,
                When::Nth(nth) => *seen == nth,
                When::Probability(share) => (self.dice.below(1_000_000) as f64) < share * 1_000_000.0,
            };
            if hit {
                struck.push(rule.kind.clone());
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_from_text_hit_the_calls_they_name() {
        let rules = ["ecs:RunTask=capacity:2", "ecs:*=slow(2s):@1", "*=throttle:0%"].map(|text| text.parse().unwrap());
        let mut faults = Faults::new(rules.to_vec(), 1);
        assert_eq!(faults.strike("ecs:RunTask"), [FaultKind::Capacity, FaultKind::Slow(Span::from_secs(2))]);
        assert_eq!(faults.strike("ecs:RunTask"), [FaultKind::Capacity]);
        assert_eq!(faults.strike("ecs:RunTask"), []);
        assert_eq!(faults.strike("ec2:DescribeVpcs"), []);
    }

    #[test]
    fn a_share_of_calls_is_the_same_for_the_same_seed() {
        let hits = |seed| {
            let mut faults = Faults::new(vec!["*=throttle:30%".parse().unwrap()], seed);
            (0..1000).map(|_| !faults.strike("ecs:RunTask").is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(hits(3), hits(3));
        assert_ne!(hits(3), hits(4));
        let share = hits(3).iter().filter(|hit| **hit).count();
        assert!((250..350).contains(&share), "{share}");
    }

    #[test]
    fn a_text_that_is_no_rule_is_refused_with_the_kinds_named() {
        for text in [
            "",
            "ecs:RunTask",
            "=throttle",
            "*=b",
            "*=throttle:x",
            "*=throttle:130%",
            "*=slow(2s",
            "*=server-error(200)",
        ] {
            let error = text.parse::<FaultRule>().unwrap_err().to_string();
            assert!(error.contains("lost-answer"), "{text}: {error}");
        }
        let wrong =
            read_all(&["nonsense", "ecs:RunTask=capcity:2", "ecs:RunTsk=capacity:2", "*=throttle"]).unwrap_err();
        let nearest: Vec<Option<&str>> = wrong.iter().map(|error| error.nearest.as_deref()).collect();
        assert_eq!(nearest, [None, Some("ecs:RunTask=capacity:2"), Some("ecs:RunTask=capacity:2")]);
        assert!(wrong[2].to_string().contains("never strike"), "{}", wrong[2]);
        for (name, _) in catalogue() {
            assert!(format!("*={name}").parse::<FaultRule>().is_ok(), "{name}");
        }
    }
}
