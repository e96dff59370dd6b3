//! Metric data to CloudWatch: as few calls as its limits allow (aws-facts §5.3). The SDK compresses them.

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;

use super::Cloud;
use crate::domain::model::{Fault, Timestamp};

/// One value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// Metric name, at most 255 characters.
    pub name: String,
    /// Value; NaN and infinities are left out, since CloudWatch refuses them.
    pub value: f64,
    /// CloudWatch's unit: `Seconds`, `Count`, `None`, …
    pub unit: String,
    /// Names and values, at most 30.
    pub dimensions: Vec<(String, String)>,
    /// When it was measured.
    pub at: Timestamp,
}

/// AWS allows 1,000 per call.
const PER_CALL: usize = 1000;

/// AWS allows 1 MB per call; counted before compression, with room for the frame.
const BYTES_PER_CALL: usize = 900_000;

impl Datum {
    /// No less than its size on the wire.
    fn weight(&self) -> usize {
        let dimensions: usize = self.dimensions.iter().map(|(name, value)| name.len() + value.len() + 40).sum();
        200 + self.name.len() + self.unit.len() + dimensions
    }

    fn datum(&self) -> MetricDatum {
        let dimensions =
            self.dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build()).collect();
        MetricDatum::builder()
            .metric_name(&self.name)
            .value(self.value)
            .unit(StandardUnit::from(self.unit.as_str()))
            .set_dimensions(Some(dimensions))
            .timestamp(DateTime::from_millis(self.at.as_millis()))
            .build()
    }
}

/// Cut so that every part fits one call.
fn parts(data: &[Datum]) -> Vec<Vec<&Datum>> {
    let mut parts: Vec<Vec<&Datum>> = Vec::new();
    let mut weight = 0;
    for datum in data.iter().filter(|datum| datum.value.is_finite()) {
        weight += datum.weight();
        match parts.last_mut() {
            Some(part) if part.len() < PER_CALL && weight <= BYTES_PER_CALL => part.push(datum),
            _ => {
                parts.push(vec![datum]);
                weight = datum.weight();
            }
        }
    }
    parts
}

impl Cloud {
    /// Publishes the data; answers how many calls that took (each is paid for).
    ///
    /// # Errors
    /// AWS's refusal; what was sent before it stays sent.
    pub async fn put_metrics(&self, namespace: &str, data: &[Datum]) -> Result<u64, Fault> {
        let mut calls = 0;
        for part in parts(data) {
            let data = part.into_iter().map(Datum::datum).collect();
            let sent = self.inner.metrics.put_metric_data().namespace(namespace).set_metric_data(Some(data)).send();
            self.call("cloudwatch:PutMetricData", sent).await?;
            calls += 1;
        }
        Ok(calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datum(value: f64, dimension: usize) -> Datum {
        let dimensions = vec![("Session".to_owned(), "x".repeat(dimension))];
        Datum { name: "Spend".into(), value, unit: "None".into(), dimensions, at: Timestamp::from_millis(0) }
    }

    #[test]
    fn parts_keep_both_limits_and_lose_nothing_finite() {
        let many: Vec<Datum> = (0..2500).map(|n| datum(f64::from(n), 8)).collect();
        assert_eq!(parts(&many).iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
        let wide: Vec<Datum> = (0..900).map(|n| datum(f64::from(n), 2000)).collect();
        assert!(parts(&wide).len() >= 2);
        assert!(parts(&wide).iter().all(|part| part.iter().map(|d| d.weight()).sum::<usize>() <= BYTES_PER_CALL));
        assert!(parts(&[datum(f64::NAN, 1), datum(f64::INFINITY, 1)]).is_empty());
    }
}
