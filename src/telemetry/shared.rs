//! What is measured of budgets that sessions share, for the metrics page.
//!
//! The figures are kept as the engine last summed them and written out at each scrape: a budget that is gone leaves no
//! series behind. Money becomes a floating-point number here, at the edge, and never comes back.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry,
};

use super::{
    catalogue::{self, Unit},
    gauges::dollars,
};
use crate::domain::model::Money;

/// One shared budget's figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetGauges {
    /// NAME of `[budgets.NAME]`.
    pub budget: String,
    /// Which owner, group or account; empty for the daemon.
    pub of: String,
    /// The whole of it.
    pub limit: Money,
    /// Spent in the present period.
    pub spent: Money,
    /// That in hundredths of the limit.
    pub percent: u64,
}

/// The shared budgets that are known now.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedBudgets(Arc<Mutex<Vec<BudgetGauges>>>);

impl SharedBudgets {
    /// Takes these in place of those before.
    pub fn replace(&self, budgets: Vec<BudgetGauges>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = budgets;
    }
}

impl Collector for SharedBudgets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_empty() {
            return Ok(());
        }
        for metric in [catalogue::BUDGET_LIMIT, catalogue::BUDGET_SPENT, catalogue::BUDGET_PERCENT] {
            let unit = metric.unit.prometheus().map(|unit| registry::Unit::Other(unit.to_owned()));
            let help = format!("{}.", metric.help);
            let mut family = encoder.encode_descriptor(metric.base(), &help, unit.as_ref(), MetricType::Gauge)?;
            for gauges in &known {
                let labels = [("budget", gauges.budget.as_str()), ("of", gauges.of.as_str())];
                let value = match metric.unit {
                    Unit::Percent => gauges.percent as f64,
                    _ if metric == catalogue::BUDGET_LIMIT => dollars(gauges.limit),
                    _ => dollars(gauges.spent),
                };
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_shared_budget_is_on_the_page_while_it_is_there_and_not_after() {
        let metrics = Metrics::new();
        let class = BudgetGauges {
            budget: "class".into(),
            of: "ml".into(),
            limit: "5 USD".parse().unwrap(),
            spent: "1.25 USD".parse().unwrap(),
            percent: 25,
        };
        metrics.budgets(vec![class]);
        let page = metrics.render();
        for line in [
            "labguard_budget_limit_dollars{budget=\"class\",of=\"ml\"} 5.0",
            "labguard_budget_spent_dollars{budget=\"class\",of=\"ml\"} 1.25",
            "labguard_budget_used_percent{budget=\"class\",of=\"ml\"} 25.0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in:\n{page}");
        }
        metrics.budgets(Vec::new());
        assert!(!metrics.render().contains("labguard_budget"));
    }
}
