//! Receipts and history, for people.

use std::collections::BTreeMap;

use super::{
    BAD, BOLD, GOOD, Look,
    columns::{Cell, table},
    estimate::costs,
    moment::{Zone, short},
};
use crate::domain::model::{Billed, Money, Receipt, ReceiptResource};

/// The closing account of one session.
#[must_use]
pub fn receipt(look: Look, zone: Zone, receipt: &Receipt) -> String {
    let took = receipt.ended_at.since(receipt.opened_at);
    let cause = receipt.cause.map_or("unknown", |cause| cause.describe());
    let mut text = format!("{}\n", look.paint(BOLD, &format!("receipt {}", receipt.session)));
    let mut facts = vec![
        ("ended", format!("{cause} ({})", zone.told(&receipt.cause_detail, receipt.ended_at))),
        (
            "time",
            format!(
                "{} to {}, {}",
                zone.clock(receipt.opened_at, receipt.ended_at),
                zone.clock(receipt.ended_at, receipt.ended_at),
                short(took)
            ),
        ),
    ];
    if let Some(identity) = &receipt.identity {
        let sandbox = if identity.is_sandbox() { " (sandbox: not AWS)" } else { "" };
        facts.push(("where", format!("account {}, {}{sandbox}", identity.account, identity.region)));
    }
    if receipt.restarts > 0 {
        facts.push(("restarts", receipt.restarts.to_string()));
    }
    let facts: Vec<Vec<Cell>> = facts.into_iter().map(|(name, value)| vec![name.into(), value.into()]).collect();
    text.push_str(&table(look, &[], &facts));
    text.push('\n');
    let rows: Vec<Vec<Cell>> = receipt
        .resources
        .iter()
        .map(|resource| {
            let moment = |at: Option<_>| at.map_or_else(|| "–".to_owned(), |at| zone.clock(at, receipt.ended_at));
            vec![
                resource.key.to_string().into(),
                resource.name.as_str().into(),
                moment(resource.born_at).into(),
                fate(resource, moment(resource.gone_at)),
            ]
        })
        .collect();
    text.push_str(&table(look, &["resource", "name", "born", "gone"], &rows));
    text.push('\n');
    // To the nano-dollar, so that whoever adds the lines up gets the total.
    let amounts = receipt.lines.iter().map(|line| line.amount).chain([receipt.total]);
    let decimals = amounts.map(Money::decimals).max().unwrap_or_default();
    text.push_str(&costs(look, "amount", &receipt.lines, receipt.total, |amount| amount.exact_in(decimals)));
    text.push_str(&format!("\nbudget {}, rates of {}\n", receipt.budget, receipt.rates_as_of));
    if let Some(billed) = &receipt.billed {
        text.push_str(&account(look, zone, receipt, billed));
    }
    text.push_str(&verdict(look, receipt));
    text.push('\n');
    text
}

/// What AWS says, beside what labguard counted.
fn account(look: Look, zone: Zone, receipt: &Receipt, billed: &Billed) -> String {
    let mut rows: Vec<Vec<Cell>> = billed
        .lines
        .iter()
        .map(|(kind, amount)| vec![kind.as_str().into(), Cell::new("").right(), Cell::new(amount.to_string()).right()])
        .collect();
    let total = |amount: Money| Cell::new(amount.exact()).styled(BOLD).right();
    rows.push(vec![Cell::new("total").styled(BOLD), total(receipt.total), total(billed.total)]);
    let estimated = if billed.estimated { ", still an estimate" } else { "" };
    format!(
        "\n{}AWS's own account of {} to {}, asked {}{estimated}; for comparison only\n",
        table(look, &["AWS's usage type", "labguard", "AWS"], &rows),
        billed.from,
        billed.until,
        zone.clock(billed.asked_at, receipt.ended_at),
    )
}

/// The last line of a receipt.
#[must_use]
pub fn verdict(look: Look, receipt: &Receipt) -> String {
    let remarks: Vec<&str> = receipt.resources.iter().filter_map(|resource| resource.remark.as_deref()).collect();
    if receipt.proven_clean {
        look.paint(GOOD, "nothing left: two clean passes of fresh reads")
    } else if remarks.is_empty() {
        look.paint(BAD, "not proven clean: see the journal for what is left")
    } else {
        look.paint(BAD, &format!("not proven clean: {}", remarks.join("; ")))
    }
}

fn fate(resource: &ReceiptResource, gone: String) -> Cell {
    match (resource.ours, resource.born_at, resource.gone_at) {
        (false, _, _) => Cell::new("left standing: it was there before"),
        (true, None, _) if resource.remark.is_some() => Cell::new("NOT PROVEN").styled(BAD),
        (true, None, _) => Cell::new("never came to be"),
        (true, Some(_), Some(_)) => Cell::new(gone),
        (true, Some(_), None) => Cell::new("LEFT BEHIND").styled(BAD),
    }
}

/// Closed sessions, newest first.
#[must_use]
pub fn history(look: Look, zone: Zone, receipts: &[Receipt]) -> String {
    let rows: Vec<Vec<Cell>> = receipts
        .iter()
        .map(|receipt| {
            let cause = receipt.cause.map_or("unknown", |cause| cause.describe());
            let clean = if receipt.proven_clean { Cell::new("yes") } else { Cell::new("NO").styled(BAD) };
            vec![
                receipt.session.to_string().into(),
                receipt.owner.as_str().into(),
                zone.clock(receipt.ended_at, receipt.opened_at).into(),
                Cell::new(short(receipt.ended_at.since(receipt.opened_at))).right(),
                Cell::new(receipt.total.to_string()).right(),
                clean,
                cause.into(),
            ]
        })
        .collect();
    let mut text = table(look, &["session", "owner", "ended", "lasted", "cost", "clean", "cause"], &rows);
    let all: Money = receipts.iter().map(|receipt| receipt.total).sum();
    let noun = if receipts.len() == 1 { "session" } else { "sessions" };
    text.push_str(&format!("\n{} in {} {noun}\n", all.exact(), receipts.len()));
    text.push_str(&totals(look, "owner", receipts, |receipt| &receipt.owner));
    text.push_str(&totals(look, "group", receipts, |receipt| &receipt.group));
    text
}

/// What each of several owners or groups cost; nothing where there is one only.
fn totals(look: Look, heading: &str, receipts: &[Receipt], of: impl Fn(&Receipt) -> &String) -> String {
    let mut sums: BTreeMap<&str, (usize, Money)> = BTreeMap::new();
    for receipt in receipts {
        let sum = sums.entry(of(receipt)).or_default();
        *sum = (sum.0 + 1, sum.1 + receipt.total);
    }
    if sums.len() < 2 {
        return String::new();
    }
    let row = |(name, (sessions, amount)): (&str, (usize, Money))| {
        let name = if name.is_empty() { "(none)" } else { name };
        let (sessions, amount) = (Cell::new(sessions.to_string()).right(), Cell::new(amount.to_string()).right());
        vec![name.into(), sessions, amount]
    };
    let rows: Vec<Vec<Cell>> = sums.into_iter().map(row).collect();
    format!("\n{}", table(look, &[heading, "sessions", "cost"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;

    #[test]
    fn a_receipt_reads_like_this() {
        let expected = "\
receipt admission-7k2m9q
ended  idle timeout (idle for 20m of 20m)
time   13:30:00 UTC to 14:00:00 UTC, 30m
where  account 000000000000, us-east-1 (sandbox: not AWS)

resource        name         born          gone
cluster         lab          13:30:02 UTC  14:00:00 UTC
execution role  shared-role  13:30:02 UTC  left standing: it was there before

item          quantity            price                             amount
Fargate vCPU  0.25 vCPU × 1700 s  0.04048 USD / vCPU-hour  0.004778889 USD
total                                                      0.004778889 USD

budget 1.5000 USD, rates of 2026-11-01
nothing left: two clean passes of fresh reads
";
        assert_eq!(receipt(Look::PLAIN, Zone::UTC, &fake::receipt()), expected);
    }

    #[test]
    fn what_aws_says_stands_beside_what_was_counted() {
        let mut asked = fake::receipt();
        let vcpu = "0.0047788 USD".parse().unwrap();
        asked.billed = Some(Billed {
            asked_at: fake::noon(),
            from: "2026-11-22".into(),
            until: "2026-11-23".into(),
            lines: vec![("USE1-Fargate-vCPU-Hours:perCPU".into(), vcpu)],
            total: vcpu,
            estimated: true,
        });
        let text = receipt(Look::PLAIN, Zone::UTC, &asked);
        for line in [
            "AWS's usage type                       labguard            AWS\n",
            "total                           0.004778889 USD  0.0047788 USD\n",
            "AWS's own account of 2026-11-22 to 2026-11-23, asked 14:00:00 UTC, still an estimate; for comparison only\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
    }

    #[test]
    fn a_history_of_several_owners_and_groups_says_what_each_cost() {
        let (one, mut two) = (fake::receipt(), fake::receipt());
        (two.owner, two.group) = ("bob".into(), String::new());
        let text = history(Look::PLAIN, Zone::UTC, &[one.clone(), one.clone(), two]);
        for line in ["0.014336667 USD in 3 sessions", "ada           2  0.0096 USD", "(none)         1  0.0048 USD"] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
        let alone = history(Look::PLAIN, Zone::UTC, &[one]);
        assert!(!alone.contains("group") && !alone.contains("sessions  cost"), "{alone}");
    }

    #[test]
    fn what_is_left_behind_cries_out() {
        let mut left = fake::receipt();
        left.proven_clean = false;
        left.resources[0].gone_at = None;
        let text = receipt(Look::PLAIN, Zone::UTC, &left);
        assert!(text.contains("LEFT BEHIND") && text.contains("not proven clean"), "{text}");
        assert!(history(Look::PLAIN, Zone::UTC, &[left]).contains("  NO "));
    }

    #[test]
    fn what_nobody_answered_for_is_told_by_name_with_what_removes_it() {
        let mut open = fake::receipt();
        open.proven_clean = false;
        let group = &mut open.resources[0];
        (group.born_at, group.gone_at) = (None, None);
        group.remark = Some("the schedule group lab may be left; `labguard sweep` finds it".into());
        let text = receipt(Look::PLAIN, Zone::UTC, &open);
        assert!(text.contains("–             NOT PROVEN"), "{text}");
        assert!(
            text.contains("\nnot proven clean: the schedule group lab may be left; `labguard sweep` finds it\n"),
            "{text}"
        );
    }
}
