//! A sweep for reading: what it found by session, what became of it, and what changed between two reports.

use super::{
    BAD, Icon, Look, NOTICE,
    columns::{Cell, table},
    moment::Zone,
    narrator::Line,
};
use crate::{
    domain::model::Timestamp,
    reconcile::handle::{Orphan, OrphanState, SweepReport, SweepStage, Swept, Verdict},
};

/// The sessions with their verdicts, then each thing with its outcome.
#[must_use]
pub fn tables(look: Look, zone: Zone, now: Timestamp, report: &SweepReport) -> String {
    let sessions: Vec<Vec<Cell>> = report.sessions.iter().map(|swept| session(zone, now, swept)).collect();
    let things: Vec<Vec<Cell>> = report.things().map(|(swept, orphan)| thing(zone, now, swept, orphan)).collect();
    let first = table(look, &["session", "owner", "newest", "runs", "verdict"], &sessions);
    let second = table(look, &["session", "made", "kind", "id", "outcome"], &things);
    format!("{first}\n{second}")
}

fn made(zone: Zone, now: Timestamp, at: Option<Timestamp>) -> Cell {
    at.map_or_else(|| "not known".to_owned(), |at| zone.clock(at, now)).into()
}

fn session(zone: Zone, now: Timestamp, swept: &Swept) -> Vec<Cell> {
    let why = zone.told(&swept.why, now);
    let verdict = match swept.verdict {
        Verdict::Orphan => Cell::new(format!("orphan: {why}")),
        Verdict::MaybeGuarded if !swept.yields_when_named() => Cell::new(why).styled(NOTICE),
        Verdict::MaybeGuarded => Cell::new(format!("may be guarded by another labguard: {why}")).styled(NOTICE),
    };
    let runs = match swept.running.as_slice() {
        [] => Cell::new("nothing"),
        [one] => Cell::new(one.clone()).styled(BAD),
        [one, rest @ ..] => Cell::new(format!("{one} +{}", rest.len())).styled(BAD),
    };
    let owner = swept.owner.clone().unwrap_or_else(|| "not known".to_owned());
    vec![swept.session.clone().into(), owner.into(), made(zone, now, swept.newest_at), runs, verdict]
}

fn thing(zone: Zone, now: Timestamp, swept: &Swept, orphan: &Orphan) -> Vec<Cell> {
    let outcome = Cell::new(outcome(orphan));
    let outcome = if orphan.state == OrphanState::StillThere { outcome.styled(BAD) } else { outcome };
    let made = made(zone, now, orphan.made_at);
    vec![swept.session.clone().into(), made, orphan.kind.clone().into(), orphan.id.clone().into(), outcome]
}

fn outcome(orphan: &Orphan) -> String {
    let state = orphan.state.describe();
    orphan.detail.as_ref().map_or_else(|| state.to_owned(), |detail| format!("{state}: {detail}"))
}

/// What changed, each thing once; of what a thing waits for, only the first word.
#[must_use]
pub fn changes(before: Option<&SweepReport>, now: &SweepReport) -> Vec<Line> {
    let mut lines = Vec::new();
    let stage = before.map(|before| before.stage);
    if now.stage == SweepStage::Removing && stage != Some(SweepStage::Removing) {
        let chosen = left(now);
        lines.push(Line { icon: Icon::Going, text: format!("{chosen} to remove") });
    }
    for (index, (swept, orphan)) in now.things().enumerate() {
        let old = before.and_then(|before| before.things().nth(index)).map(|(_, old)| old);
        let known = old.map(|old| (old.state, old.detail.is_some()));
        if known == Some((orphan.state, orphan.detail.is_some())) {
            continue;
        }
        let icon = match orphan.state {
            OrphanState::Gone => Icon::Done,
            OrphanState::StillThere => Icon::Fail,
            OrphanState::Removing if orphan.detail.is_some() => Icon::Going,
            OrphanState::Removing | OrphanState::Found | OrphanState::Kept => continue,
        };
        let text = format!("{} {} of {}: {}", orphan.kind, orphan.id, swept.session, outcome(orphan));
        lines.push(Line { icon, text });
    }
    lines
}

/// That it goes on though nothing changes, and what it waits for.
#[must_use]
pub fn still(report: &SweepReport) -> String {
    let left = left(report);
    if left == 0 {
        return "still looking".to_owned();
    }
    let waits = report.things().map(|(_, orphan)| orphan);
    let mut waits = waits.filter(|orphan| orphan.state == OrphanState::Removing && orphan.detail.is_some());
    let first = waits
        .next()
        .map(|orphan| format!("; the {} {}: {}", orphan.kind, orphan.id, orphan.detail.as_deref().unwrap_or_default()));
    format!("still at it: {left} left{}", first.unwrap_or_default())
}

/// How many things a removal has not ended with.
fn left(report: &SweepReport) -> usize {
    let going = |state| matches!(state, OrphanState::Found | OrphanState::Removing);
    report.things().filter(|(_, orphan)| going(orphan.state)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;

    fn of(state: OrphanState, detail: Option<&str>) -> SweepReport {
        let mut report = fake::swept(true, Vec::new());
        report.stage = SweepStage::Removing;
        let orphan = &mut report.sessions[0].things[0];
        (orphan.state, orphan.detail) = (state, detail.map(str::to_owned));
        report
    }

    #[test]
    fn owner_age_and_whether_something_runs_are_shown_by_session() {
        let mut report = fake::swept(false, Vec::new());
        report.sessions[0].running = vec!["task 0a".into(), "task 0b".into()];
        report.sessions[0].verdict = Verdict::MaybeGuarded;
        report.sessions[0].why = "task 0a runs".into();
        let text = tables(Look::PLAIN, Zone::UTC, fake::noon(), &report);
        let expected = "\
session     owner  newest        runs        verdict
old-abcdef  ada    14:00:00 UTC  task 0a +1  may be guarded by another labguard: task 0a runs

session     made       kind     id                                             outcome
old-abcdef  not known  cluster  arn:aws:ecs:us-east-1:000000000000:cluster/old  found
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&text), squeezed(expected));
    }

    #[test]
    fn a_thing_that_waits_is_told_of_once() {
        let found = of(OrphanState::Found, None);
        let waits = of(OrphanState::Removing, Some("Throttled"));
        let waits_more = of(OrphanState::Removing, Some("DependencyViolation"));
        let gone = of(OrphanState::Gone, Some("removed"));
        let texts = |before: Option<&SweepReport>, now| {
            changes(before, now).into_iter().map(|line| line.text).collect::<Vec<_>>()
        };
        assert_eq!(texts(None, &found), ["1 to remove"]);
        assert!(texts(Some(&found), &waits)[0].ends_with("of old-abcdef: being removed: Throttled"));
        assert_eq!(texts(Some(&waits), &waits_more), [""; 0]);
        assert!(texts(Some(&waits_more), &gone)[0].ends_with("gone: removed"));
        assert!(still(&waits).starts_with("still at it: 1 left; the cluster arn:aws:ecs:"), "{}", still(&waits));
        assert!(still(&waits).ends_with(": Throttled"), "{}", still(&waits));
        assert_eq!(still(&gone), "still looking");
    }
}
