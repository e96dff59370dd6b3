//! What a report says, by hand and by properties.

use proptest::prelude::*;

use super::{
    ledger, report,
    samples::{LONGEST, any_session, at, card, close, opened, ran},
};
use crate::domain::model::{Accounting, Basis, Bucket, CostQuery, Cut, Money, Record, TimeZone};

fn query(by: Cut, bucket: Bucket) -> CostQuery {
    CostQuery { by, bucket, ..CostQuery::default() }
}

/// Two hours of the smallest task, an hour on either side of midnight, then closed.
fn across_midnight() -> Record {
    let mut record = opened(1, "ada", "ml-101", 82_800, Accounting::default());
    record.apply(at(82_800), &ran(1, 82_800, None));
    record.apply(at(90_000), &ran(1, 82_800, Some(90_000)));
    close(&mut record, at(90_060));
    record
}

#[test]
fn an_hour_on_either_side_of_midnight_is_half_of_it_on_each_day() {
    let record = across_midnight();
    let report = report([&record], &card(), &query(Cut::Session, Bucket::Day), at(200_000)).unwrap();
    let amounts: Vec<(String, String)> =
        report.slices.iter().map(|slice| (slice.from.to_string(), slice.amount.exact())).collect();
    assert_eq!(
        amounts,
        [
            ("2026-11-29T00:00:00Z".to_owned(), "0.0173425 USD".to_owned()),
            ("2026-11-30T00:00:00Z".to_owned(), "0.0173425 USD".to_owned()),
            ("2026-12-01T00:00:00Z".to_owned(), "0.00 USD".to_owned()),
        ]
    );
    assert_eq!(report.total.exact(), "0.034685 USD");
    assert_eq!((report.sessions, report.live), (1, 0));
    let [share] = &report.shares[..] else { panic!("{:?}", report.shares) };
    assert_eq!((share.name.as_str(), share.amount, share.basis), (record.id.as_str(), report.total, Basis::Published));
    assert_eq!(report.slices[1].shares, [(record.id.to_string(), report.slices[1].amount)]);
}

#[test]
fn parts_are_named_by_what_they_are_cut_by_and_the_dearest_comes_first() {
    let (one, mut two) = (across_midnight(), opened(2, "bob", "", 0, Accounting::default()));
    two.apply(at(0), &ran(1, 0, None));
    let by = |cut| {
        let report = report([&one, &two], &card(), &query(cut, Bucket::Month), at(100_000)).unwrap();
        report.shares.into_iter().map(|share| (share.name, share.sessions)).collect::<Vec<_>>()
    };
    assert_eq!(by(Cut::Owner), [("bob".to_owned(), 1), ("ada".to_owned(), 1)]);
    assert_eq!(by(Cut::Group), [(String::new(), 1), ("ml-101".to_owned(), 1)]);
    let items: Vec<String> = by(Cut::Item).into_iter().map(|(name, _)| name).collect();
    assert_eq!(items, ["Fargate vCPU", "public IPv4 address", "Fargate memory"]);
}

#[test]
fn a_task_born_at_midnight_belongs_to_the_new_day() {
    let mut record = opened(1, "ada", "", 86_390, Accounting::default());
    record.apply(at(86_400), &ran(1, 86_400, Some(86_401)));
    close(&mut record, at(86_460));
    let report = report([&record], &card(), &query(Cut::Session, Bucket::Day), at(200_000)).unwrap();
    assert_eq!(report.slices[0].amount, Money::ZERO);
    assert_eq!(report.slices[1].amount.exact(), "0.000289043 USD", "its whole minute");
}

#[test]
fn a_stretch_of_time_alone_is_told_and_what_lies_outside_is_not() {
    let record = across_midnight();
    let hour = CostQuery { since: Some(at(84_600)), until: Some(at(88_200)), ..query(Cut::Session, Bucket::Hour) };
    let report = report([&record], &card(), &hour, at(200_000)).unwrap();
    assert_eq!(report.total.exact(), "0.0173425 USD");
    assert_eq!(report.slices.len(), 2, "half an hour before midnight, half an hour after");
}

#[test]
fn questions_without_an_answer_are_refused_in_words() {
    let record = across_midnight();
    let ask = |query: CostQuery| report([&record], &card(), &query, at(40_000_000)).map_err(|error| error.to_string());
    let backwards = CostQuery { since: Some(at(100)), until: Some(at(50)), ..CostQuery::default() };
    assert!(ask(backwards).unwrap_err().contains("give a beginning before the end"));
    let fine = CostQuery { bucket: Bucket::Hour, ..CostQuery::default() };
    assert!(ask(fine).unwrap_err().contains("more than 1000 stretches of one hour"));
    let none = report([], &card(), &CostQuery::default(), at(0)).unwrap();
    assert_eq!((none.total, none.slices.len(), none.shares.len()), (Money::ZERO, 1, 0));
}

proptest! {
    #[test]
    fn every_cut_adds_up_to_what_the_sessions_own_meters_say(
        sessions in proptest::collection::vec(any_session(), 1..5),
        zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]),
        now in 300_000i64..2 * LONGEST,
    ) {
        let now = at(now);
        let own: Money = sessions.iter().map(|record| {
            let end = record.closed_at.unwrap_or(now);
            if end > now { Money::ZERO } else { ledger(record, &card(), end).total }
        }).sum();
        // A session that is closed only after `now` is not asked about.
        let known: Vec<&Record> = sessions.iter().filter(|record| record.closed_at.is_none_or(|end| end <= now)).collect();
        for by in [Cut::Session, Cut::Owner, Cut::Group, Cut::Item] {
            for bucket in [Bucket::Day, Bucket::Month] {
                let query = CostQuery { zone: zone.parse::<TimeZone>().unwrap(), ..query(by, bucket) };
                let report = report(known.iter().copied(), &card(), &query, now).unwrap();
                prop_assert_eq!(report.total, own, "{:?} {:?}", by, bucket);
                prop_assert_eq!(report.shares.iter().map(|share| share.amount).sum::<Money>(), report.total);
                for slice in &report.slices {
                    prop_assert_eq!(slice.shares.iter().map(|(_, amount)| *amount).sum::<Money>(), slice.amount);
                }
                for (one, next) in report.slices.iter().zip(report.slices.iter().skip(1)) {
                    prop_assert_eq!(one.until, next.from);
                }
                for share in &report.shares {
                    let over_time: Money = report.slices.iter().flat_map(|slice| &slice.shares)
                        .filter(|(name, _)| *name == share.name).map(|(_, amount)| *amount).sum();
                    prop_assert_eq!(over_time, share.amount);
                }
            }
        }
    }

    #[test]
    fn adjacent_reports_add_up(sessions in proptest::collection::vec(any_session(), 1..3), cut in 0i64..LONGEST) {
        let now = at(2 * LONGEST);
        let ask = |since, until| {
            let query = CostQuery { since, until, bucket: Bucket::Month, ..CostQuery::default() };
            report(&sessions, &card(), &query, now).map(|report| report.total)
        };
        // The past of a session with a clock that was set back stays where it was: only closed ones are the same twice.
        if let Ok(early) = ask(None, Some(at(cut))) {
            prop_assert_eq!(early + ask(Some(at(cut)), None).unwrap(), ask(None, None).unwrap());
        }
    }
}
