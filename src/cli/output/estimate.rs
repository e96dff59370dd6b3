//! `labguard plan`: what a session would make, and what it costs.

use super::{
    BOLD, Look, NOTICE,
    columns::{Cell, table},
    moment::short,
};
use crate::domain::model::{CostLine, Estimate, Money};

/// The whole estimate.
#[must_use]
pub fn estimate(look: Look, plan: &Estimate) -> String {
    let mut text = format!("{}\n\n", look.paint(BOLD, &format!("session {} would make", plan.name)));
    let rows: Vec<Vec<Cell>> =
        plan.resources.iter().map(|(kind, name)| vec![kind.describe().into(), name.as_str().into()]).collect();
    text.push_str(&table(look, &["kind", "name"], &rows));
    if plan.resources.iter().any(|(_, name)| name.contains(Estimate::UNKNOWN_ID)) {
        let unknown = Estimate::UNKNOWN_ID;
        text.push_str(&format!("{unknown} stands for six characters that are drawn when the session opens\n"));
    }
    text.push('\n');
    text.push_str(&costs(look, "per hour", &plan.per_hour, plan.rate, |amount| amount.to_string()));
    if !plan.until.is_empty() {
        let rows: Vec<Vec<Cell>> = plan
            .until
            .iter()
            .map(|(limit, after, spent)| {
                vec![limit.as_str().into(), Cell::new(short(*after)).right(), Cell::new(spent.to_string()).right()]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(look, &["until", "after", "spent by then"], &rows));
    }
    text.push_str(&format!(
        "\nat least, with its end     {}\nits end alone, at most     {}\nat worst over the budget   {}\nif forgotten for a month   {}\n",
        plan.least, plan.teardown, plan.overshoot, plan.forgotten_month
    ));
    for (net, does) in plan.nets.iter().filter(|(_, does)| does != "off") {
        text.push_str(&format!("\nwithout labguard, {net}: {does}"));
    }
    if plan.nets.iter().all(|(_, does)| does == "off") {
        text.push_str("\nwithout labguard, nothing ends it (fuse in the policy)");
    }
    text.push('\n');
    for warning in &plan.warnings {
        text.push_str(&format!("\n{}", look.paint(NOTICE, &format!("warning: {warning}"))));
    }
    if !plan.warnings.is_empty() {
        text.push('\n');
    }
    text
}

/// Cost lines and their sum, each amount as `written`.
#[must_use]
pub fn costs(look: Look, heading: &str, lines: &[CostLine], total: Money, written: impl Fn(Money) -> String) -> String {
    let mut rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|line| {
            vec![
                line.item.as_str().into(),
                line.quantity.as_str().into(),
                format!("{} / {}", line.unit_price.exact(), line.unit).into(),
                Cell::new(written(line.amount)).right(),
            ]
        })
        .collect();
    rows.push(vec![
        Cell::new("total").styled(BOLD),
        "".into(),
        "".into(),
        Cell::new(written(total)).styled(BOLD).right(),
    ]);
    table(look, &["item", "quantity", "price", heading], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;

    #[test]
    fn what_is_not_known_of_a_name_yet_is_explained() {
        let mut plan = fake::estimate();
        let explained = |plan: &Estimate| estimate(Look::PLAIN, plan).contains("drawn when the session opens");
        assert!(!explained(&plan), "nothing to explain");
        plan.resources[0].1 = format!("lab-{}", Estimate::UNKNOWN_ID);
        assert!(explained(&plan));
    }

    #[test]
    fn an_estimate_reads_like_this() {
        let expected = "\
session admission would make

kind     name
cluster  lab
task     one task

item          quantity   price                          per hour
Fargate vCPU  0.25 vCPU  0.04048 USD / vCPU-hour      0.0102 USD
total                                                 0.0174 USD

until     after  spent by then
lifetime     2h     0.0347 USD

at least, with its end     0.0052 USD
its end alone, at most     0.0008 USD
at worst over the budget  0.0010 USD
if forgotten for a month  12.6601 USD

without labguard, nothing ends it (fuse in the policy)

warning: port 5000 is open to the whole internet
";
        let written = estimate(Look::PLAIN, &fake::estimate());
        let squeeze = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&written), squeeze(expected), "{written}");
    }
}
