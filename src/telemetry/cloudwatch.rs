//! CloudWatch data points, as data; and what they cost.
//!
//! Pure. Sending them is the cloud adapter's work: at most 1000 in a call (aws-facts §5.3). A custom metric is
//! billed for every hour in which it has data (aws-facts §2.2), so a policy chooses few of them.

use std::collections::BTreeSet;

use super::{catalogue, gauges::SessionGauges};
use crate::domain::model::Timestamp;

/// One data point for `PutMetricData`.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// Metric name, such as `SessionSpend`.
    pub name: String,
    /// Finite, always: CloudWatch refuses anything else.
    pub value: f64,
    /// CloudWatch's `StandardUnit`.
    pub unit: String,
    /// Names and values. With the metric's name they make one custom metric, which is what is paid for.
    pub dimensions: Vec<(String, String)>,
    /// When it was measured.
    pub at: Timestamp,
}

/// The chosen metrics of one session. Names that cannot be published are passed over (`config` refuses them).
#[must_use]
pub fn data(gauges: &SessionGauges, chosen: &[String], now: Timestamp) -> Vec<Datum> {
    let wanted: BTreeSet<&str> =
        chosen.iter().filter_map(|name| catalogue::find(name)).map(|metric| metric.name).collect();
    gauges
        .samples()
        .into_iter()
        .filter(|sample| wanted.contains(sample.metric.name))
        .filter_map(|sample| {
            let mut dimensions =
                vec![("Session".to_owned(), gauges.id.to_string()), ("Name".to_owned(), printable(&gauges.name))];
            if let Some((_, value)) = sample.label {
                dimensions.push(("Limit".to_owned(), value.to_owned()));
            }
            Some(Datum {
                name: sample.metric.cloudwatch?.to_owned(),
                value: sample.value,
                unit: sample.metric.unit.cloudwatch().to_owned(),
                dimensions,
                at: now,
            })
        })
        .collect()
}

/// As CloudWatch takes dimension values: printable ASCII, not empty, not beginning with a colon.
fn printable(name: &str) -> String {
    let legal = |letter: char| letter == ' ' || letter.is_ascii_graphic();
    let text: String = name.chars().map(|letter| if legal(letter) { letter } else { '_' }).take(255).collect();
    let text = text.trim().trim_start_matches(':');
    if text.is_empty() { "_".to_owned() } else { text.to_owned() }
}

/// Counts custom-metric hours: each metric once for every clock hour in which it has data.
///
/// A fresh one (after a restart) counts the running hour again: rather too much than too little.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MetricHours {
    hour: Option<i64>,
    seen: BTreeSet<(String, Vec<(String, String)>)>,
}

impl MetricHours {
    /// How many new metric hours these data points start.
    pub fn count(&mut self, data: &[Datum]) -> u64 {
        let mut started = 0;
        for datum in data {
            let hour = datum.at.as_secs() / 3600;
            if self.hour != Some(hour) {
                self.hour = Some(hour);
                self.seen.clear();
            }
            if self.seen.insert((datum.name.clone(), datum.dimensions.clone())) {
                started += 1;
            }
        }
        started
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::model::Span, telemetry::gauges::staged};

    fn names(chosen: &[&str]) -> Vec<String> {
        chosen.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_the_chosen_metrics_are_published_with_unit_and_dimensions() {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let gauges = staged::running();
        let data = super::data(
            &gauges,
            &names(&["session_spend_dollars", "SessionHealthy", "session_phase", "nonsense"]),
            now,
        );
        let dimensions =
            vec![("Session".to_owned(), gauges.id.to_string()), ("Name".to_owned(), "admission".to_owned())];
        assert_eq!(
            data,
            [
                Datum {
                    name: "SessionHealthy".into(),
                    value: 1.0,
                    unit: "Count".into(),
                    dimensions: dimensions.clone(),
                    at: now
                },
                Datum { name: "SessionSpend".into(), value: 0.017_342_5, unit: "None".into(), dimensions, at: now },
            ]
        );
        assert_eq!(super::data(&gauges, &[], now), []);
    }

    #[test]
    fn names_that_cloudwatch_would_refuse_are_made_legal() {
        assert_eq!(printable("class of 2026"), "class of 2026");
        assert_eq!(printable(":prüfung\n"), "pr_fung_");
        assert_eq!(printable("  "), "_");
    }

    #[test]
    fn every_limit_is_a_metric_of_its_own() {
        let data = super::data(&staged::running(), &names(&["session_limit_seconds"]), Timestamp::default());
        let limits: Vec<_> = data.iter().map(|datum| (datum.dimensions[2].clone(), datum.value)).collect();
        let limit = |name: &str| ("Limit".to_owned(), name.to_owned());
        assert_eq!(limits, [(limit("idle"), 1080.0), (limit("lifetime"), 6000.0)]);
    }

    #[test]
    fn a_metric_is_counted_once_an_hour() {
        let chosen = names(&["session_spend_dollars", "session_limit_seconds"]);
        let start = Timestamp::from_millis(3_600_000 * 400_000);
        let mut hours = MetricHours::default();
        let mut total = 0;
        for minute in 0..61 {
            total += hours.count(&super::data(&staged::running(), &chosen, start + Span::from_mins(minute)));
        }
        assert_eq!(total, 6, "three metrics in two clock hours");
    }
}
