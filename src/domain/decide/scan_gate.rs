//! Whether a pushed image may run: its repository's scan must have found nothing as bad as the policy refuses.
//!
//! Guarantee: with a gate, nothing that would run the image is made before there is a verdict of that very digest; a
//! verdict is journalled, and asked for once.

use crate::domain::{
    model::{
        Cause, Event, Life, Observed, Record, ResourceKind, ScanReading, ScanStatus, ScanVerdict, Severity, Span, Stage,
    },
    policy::{Policy, Unscanned},
};

use super::turn::Turn;

/// Between two looks at a scan, as ECR's own waiter does (aws-facts §3.1).
const LOOK: Span = Span::from_secs(5);

/// So much longer is waited where the scan cannot be read.
const UNREADABLE: Span = Span::from_secs(30);

/// The digest that a verdict is wanted of: none without a gate, before there is an image, or once there is a verdict.
pub(super) fn pending<'r>(record: &'r Record, policy: &Policy) -> Option<&'r str> {
    policy.repository.block_on?;
    let image = record.only(ResourceKind::Image).filter(|image| image.life == Life::Live)?;
    let (_, digest) = image.id.as_deref()?.split_once('@')?;
    let known = record.scan.as_ref().is_some_and(|scan| scan.digest == digest);
    (!known).then_some(digest)
}

/// Whether the image may run now; ends the session where it never may.
pub(super) fn passed(turn: &mut Turn<'_>) -> bool {
    let Some(block_on) = turn.policy().repository.block_on else { return true };
    if let Some(digest) = pending(&turn.record, turn.policy()).map(str::to_owned) {
        let Some((verdict, detail)) = judge(turn, block_on) else { return false };
        turn.note(Event::Scanned { digest, verdict, detail });
    }
    match turn.record.scan.clone() {
        Some(scan) if scan.verdict == ScanVerdict::Refused => {
            turn.end(Cause::DeployFailed, scan.detail, Stage::Teardown);
            false
        }
        Some(_) => true,
        None => false,
    }
}

/// What to make of the scan, once that can be said.
fn judge(turn: &mut Turn<'_>, block_on: Severity) -> Option<(ScanVerdict, String)> {
    let seen = turn.seen;
    let word = match &seen.scan {
        Observed::Present(reading) => match &reading.status {
            ScanStatus::Complete => return Some(weigh(reading, block_on)),
            ScanStatus::Failed(why) => {
                return Some(without(turn, &format!("the scan of the image gave no result: {why}")));
            }
            ScanStatus::Waiting(word) => word.as_str(),
        },
        Observed::Absent => "not begun",
        Observed::Unknown => "cannot be read",
    };
    // A look that failed is not yet a time-out: the next may bring the result.
    let patience = if seen.scan == Observed::Unknown { UNREADABLE } else { Span::ZERO };
    let allowed = turn.policy().repository.scan_timeout;
    let since = turn.record.only(ResourceKind::Image).and_then(|image| image.live_at).unwrap_or(turn.record.opened_at);
    if turn.reached(since + allowed + patience) {
        let hint = if turn.record.only(ResourceKind::Repository).is_some_and(|repository| !repository.ours) {
            "; the repository was there before: switch on its scan on push"
        } else {
            ""
        };
        return Some(without(turn, &format!("the scan of the image gave no result within {allowed}: {word}{hint}")));
    }
    turn.due.push(turn.now + LOOK);
    None
}

/// A scan without a result.
fn without(turn: &Turn<'_>, why: &str) -> (ScanVerdict, String) {
    match turn.policy().repository.on_scan_timeout {
        Unscanned::Refuse => (
            ScanVerdict::Refused,
            format!("{why}; the policy runs nothing unscanned (repository.on_scan_timeout = \"run\" would)"),
        ),
        Unscanned::Run => (ScanVerdict::Unscanned, format!("{why}; the policy runs it all the same")),
    }
}

fn weigh(reading: &ScanReading, block_on: Severity) -> (ScanVerdict, String) {
    let counts: Vec<String> = reading
        .counts
        .iter()
        .rev()
        .filter(|(_, count)| **count > 0)
        .map(|(it, count)| format!("{count} {it}"))
        .collect();
    let found = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    let bad: u32 = reading.counts.range(block_on..).map(|(_, count)| *count).sum();
    if bad == 0 {
        return (ScanVerdict::Passed, format!("the scan of the image found {found}"));
    }
    let named: Vec<&str> = reading
        .worst
        .iter()
        .filter(|(severity, _)| *severity >= block_on)
        .map(|(_, name)| name.as_str())
        .take(10)
        .collect();
    let more = (bad as usize).saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let detail = format!(
        "the scan of the image found {found}, and the policy refuses {block_on} or worse (repository.block_on): {}{more}; \
         build the image on a newer base, or raise repository.block_on",
        named.join(", ")
    );
    (ScanVerdict::Refused, detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{
        decide::{
            Rules, decide, wants,
            world::{World, policy},
        },
        meter::RateBook,
        model::{Observation, Plan, Step, Timestamp, Want},
    };

    /// A session whose image is there and whose definition is not, and its policy.
    fn pushed(on_scan_timeout: Unscanned) -> (Record, Policy, Timestamp) {
        let mut policy = policy();
        policy.repository.block_on = Some(Severity::High);
        policy.repository.scan_timeout = Span::from_mins(5);
        policy.repository.on_scan_timeout = on_scan_timeout;
        let mut world = World::new(policy.clone(), 1);
        world.run_until(100, |record| pending(record, &policy).is_some());
        (world.record, policy, world.now)
    }

    fn look(record: &Record, policy: &Policy, scan: Observed<ScanReading>, now: Timestamp) -> Plan {
        let seen = Observation { scan, ..Observation::default() };
        decide(record, &seen, Rules { policy, card: &RateBook::embedded().card("us-east-1") }, now)
    }

    fn complete(counts: &[(Severity, u32)]) -> Observed<ScanReading> {
        let worst = counts.iter().rev().map(|(severity, _)| (*severity, format!("CVE-{severity}"))).collect();
        let counts = counts.iter().copied().collect::<BTreeMap<_, _>>();
        Observed::Present(ScanReading { status: ScanStatus::Complete, counts, worst })
    }

    fn status(status: ScanStatus) -> Observed<ScanReading> {
        Observed::Present(ScanReading { status, counts: BTreeMap::new(), worst: Vec::new() })
    }

    fn verdict(plan: &Plan) -> Option<ScanVerdict> {
        plan.notes.iter().find_map(|note| match note {
            Event::Scanned { verdict, .. } => Some(*verdict),
            _ => None,
        })
    }

    fn refused(plan: &Plan) -> Option<String> {
        plan.notes.iter().find_map(|note| match note {
            Event::Ending { cause: Cause::DeployFailed, detail, .. } => Some(detail.clone()),
            _ => None,
        })
    }

    fn defines(plan: &Plan) -> bool {
        plan.steps.iter().any(|step| {
            step.key().is_some_and(|key| key.kind == ResourceKind::TaskDefinition)
                && matches!(step, Step::Ensure { .. })
        })
    }

    #[test]
    fn nothing_runs_before_the_scan_has_a_result_and_the_result_decides() {
        let (record, policy, now) = pushed(Unscanned::Refuse);
        assert!(wants(&record, &policy, &Observation::default(), now).contains(&Want::Scan));
        let waits = look(&record, &policy, status(ScanStatus::Waiting("IN_PROGRESS".into())), now);
        assert!(verdict(&waits).is_none() && refused(&waits).is_none() && !defines(&waits));
        assert!(waits.wake_at.unwrap() <= now + LOOK);
        let clean = look(&record, &policy, complete(&[(Severity::Medium, 3)]), now);
        assert_eq!(verdict(&clean), Some(ScanVerdict::Passed));
        assert!(defines(&clean) && refused(&clean).is_none());
        let bad =
            look(&record, &policy, complete(&[(Severity::Low, 1), (Severity::High, 2), (Severity::Critical, 1)]), now);
        assert_eq!(verdict(&bad), Some(ScanVerdict::Refused));
        assert!(!defines(&bad));
        let why = refused(&bad).unwrap();
        assert!(why.contains("found 1 critical, 2 high, 1 low"), "{why}");
        assert!(why.contains("CVE-critical, CVE-high and 1 more"), "{why}");
    }

    #[test]
    fn a_scan_without_a_result_is_what_the_policy_makes_of_it() {
        for (on_timeout, expected) in
            [(Unscanned::Refuse, ScanVerdict::Refused), (Unscanned::Run, ScanVerdict::Unscanned)]
        {
            let (record, policy, now) = pushed(on_timeout);
            let failed = look(&record, &policy, status(ScanStatus::Failed("UNSUPPORTED_IMAGE".into())), now);
            assert_eq!(verdict(&failed), Some(expected));
            let late = record.only(ResourceKind::Image).unwrap().live_at.unwrap() + Span::from_mins(5);
            assert_eq!(verdict(&look(&record, &policy, Observed::Absent, late - Span::from_secs(1))), None);
            assert_eq!(verdict(&look(&record, &policy, Observed::Unknown, late)), None, "a look that failed");
            assert_eq!(verdict(&look(&record, &policy, Observed::Unknown, late + UNREADABLE)), Some(expected));
            let silent = look(&record, &policy, Observed::Absent, late);
            assert_eq!(verdict(&silent), Some(expected));
            assert_eq!(refused(&silent).is_some(), expected == ScanVerdict::Refused);
            assert_eq!(defines(&silent), expected == ScanVerdict::Unscanned);
        }
    }
}
