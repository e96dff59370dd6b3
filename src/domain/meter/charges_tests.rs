//! Charges at the ends of months, by hand and by properties.

use proptest::prelude::*;

use super::{
    charges, ledger,
    samples::{LONGEST, any_session, at, card, close, opened, ran},
};
use crate::domain::model::{Accounting, Charge, Item, Money, Span};

#[test]
fn a_task_across_the_end_of_a_month_is_on_both_bills() {
    // 23:00 on 30 November to 01:30 on 1 December.
    let mut record = opened(1, "ada", "ml-101", 169_200, Accounting::default());
    record.apply(at(169_200), &ran(1, 169_200, None));
    record.apply(at(178_200), &ran(1, 169_200, Some(178_200)));
    close(&mut record, at(178_260));
    let charges = charges(&record, &card(), None, None, at(300_000));
    let vcpu: Vec<&Charge> = charges.iter().filter(|charge| charge.line.billed_as == Some(Item::VcpuX86)).collect();
    let told: Vec<String> = vcpu
        .iter()
        .map(|it| format!("{} | {} to {} | {}", it.month.0, it.from, it.until, it.line.amount.exact()))
        .collect();
    assert_eq!(
        told,
        [
            "2026-11-01T00:00:00Z | 2026-11-30T23:00:00Z to 2026-12-01T00:00:00Z | 0.01012 USD",
            "2026-12-01T00:00:00Z | 2026-12-01T00:00:00Z to 2026-12-01T01:30:00Z | 0.01518 USD",
        ]
    );
    assert_eq!(vcpu[0].line.quantity, "0.25 vCPU × 3600 s");
    assert_eq!(vcpu[0].resource_id.as_deref(), Some("arn:aws:ecs:us-east-1:000000000000:task/lab/1"));
    assert_eq!((vcpu[0].region.as_str(), vcpu[0].account.as_deref()), ("us-east-1", Some("000000000000")));
}

proptest! {
    #[test]
    fn charges_add_up_to_the_ledger_and_each_lies_within_its_month(record in any_session(), now in 0i64..LONGEST) {
        let now = record.closed_at.unwrap_or(record.heard_at) + Span::from_secs(now.unsigned_abs());
        let own = ledger(&record, &card(), record.closed_at.unwrap_or(now)).total;
        let all = charges(&record, &card(), None, None, now);
        prop_assert_eq!(all.iter().map(|charge| charge.line.amount).sum::<Money>(), own);
        for charge in &all {
            prop_assert!(charge.from <= charge.until, "{charge:?}");
            prop_assert!(charge.month.0 <= charge.from && charge.until <= charge.month.1, "{charge:?}");
        }
        let cut = at(100_000);
        if cut < now {
            let part = |since, until| charges(&record, &card(), since, until, now).iter().map(|it| it.line.amount).sum::<Money>();
            prop_assert_eq!(part(None, Some(cut)) + part(Some(cut), None), own);
        }
    }
}
