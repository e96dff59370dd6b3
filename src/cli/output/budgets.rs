//! `labguard budgets`: each shared budget, how far it is spent, what happened, and what comes next.

use super::{
    BAD, BOLD, DIM, GOOD, Look, NOTICE,
    columns::{Cell, table},
    moment::Zone,
};
use crate::{
    domain::model::{Measure, Scope},
    reconcile::status::{BudgetStatus, ThresholdStatus},
};

/// All of them: a table, then each in words.
#[must_use]
pub fn budgets(look: Look, zone: Zone, budgets: &[BudgetStatus]) -> String {
    let rows: Vec<Vec<Cell>> = budgets
        .iter()
        .map(|budget| {
            vec![
                Cell::new(budget.name.as_str()).styled(BOLD),
                whose(budget).into(),
                budget.period.name().into(),
                Cell::new(budget.spent.to_string()).right(),
                Cell::new(budget.limit.exact()).right(),
                used(budget).right(),
                Cell::new(budget.rate.to_string()).right(),
                Cell::new(budget.sessions.len().to_string()).right(),
                next(budget, zone).into(),
            ]
        })
        .collect();
    let headings = ["budget", "whose", "period", "spent", "limit", "used", "per hour", "sessions", "next"];
    let mut text = table(look, &headings, &rows);
    for budget in budgets {
        text.push('\n');
        text.push_str(&detail(look, zone, budget));
    }
    text
}

fn whose(budget: &BudgetStatus) -> String {
    match budget.scope {
        Scope::Daemon => "the daemon".to_owned(),
        scope => format!("{} {}", scope.name(), budget.of),
    }
}

fn used(budget: &BudgetStatus) -> Cell {
    let worst = budget.thresholds.iter().filter(|it| it.reached_at.is_some()).map(|it| it.measure).max();
    Cell::new(format!("{} %", budget.percent)).styled(match worst {
        None => GOOD,
        Some(Measure::Notify) => NOTICE,
        Some(Measure::Block | Measure::Stop | Measure::Teardown) => BAD,
    })
}

fn next(budget: &BudgetStatus, zone: Zone) -> String {
    match budget.next_at {
        Some(at) => format!("{} {}", budget.next, zone.away(at, budget.at)),
        None => budget.next.clone(),
    }
}

fn detail(look: Look, zone: Zone, budget: &BudgetStatus) -> String {
    let mut text = look.paint(BOLD, &format!("{} of {}", budget.name, whose(budget)));
    if let Some(from) = budget.from {
        text.push_str(&format!(", since {} ({})", zone.clock(from, budget.at), budget.zone));
    }
    text.push('\n');
    for threshold in &budget.thresholds {
        text.push_str(&format!(
            "  at {:>3} %  {}  {}",
            threshold.percent,
            threshold.amount,
            threshold.measure.describe()
        ));
        text.push_str(&when(threshold, zone, budget));
        text.push('\n');
    }
    text.push_str(&format!(
        "  to end its sessions {}, reserved for those just begun {}, at worst over it {}\n",
        budget.teardown, budget.reserved, budget.overshoot
    ));
    if !budget.sessions.is_empty() {
        let sessions: Vec<&str> = budget.sessions.iter().map(|session| session.as_str()).collect();
        text.push_str(&look.paint(DIM, &format!("  sessions: {}", sessions.join(", "))));
        text.push('\n');
    }
    text
}

fn when(threshold: &ThresholdStatus, zone: Zone, budget: &BudgetStatus) -> String {
    match (threshold.reached_at, threshold.due) {
        (Some(at), _) => format!(": reached {}", zone.away(at, budget.at)),
        (None, Some(at)) => format!(": {}", zone.away(at, budget.at)),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;

    #[test]
    fn shared_budgets_read_like_this() {
        let expected = "\
budget  whose     period       spent     limit  used    per hour  sessions  next
class   group ml  day     4.6000 USD  5.00 USD  92 %  0.1000 USD         1  tears its sessions down (100 %) 17:54:00 UTC (in 3h 54m)

class of group ml, since 00:00:00 UTC (UTC)
  at  50 %  2.5000 USD  is told
  at  90 %  4.5000 USD  takes no further session: reached 13:00:00 UTC (1h ago)
  at 100 %  5.0000 USD  tears its sessions down: 17:54:00 UTC (in 3h 54m)
  to end its sessions 0.0100 USD, reserved for those just begun 0.0000 USD, at worst over it 0.0060 USD
  sessions: admission-7k2m9q
";
        assert_eq!(budgets(Look::PLAIN, Zone::UTC, &[fake::budget()]), expected);
    }
}
