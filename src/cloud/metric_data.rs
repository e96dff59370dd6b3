//! Metric data from CloudWatch, minute by minute. Each metric that is asked for is paid for, and never free (aws-facts
//! §2.2): the answer says how many that were. Reads only.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{Dimension, Metric as Named, MetricDataQuery, MetricStat, ScanBy, StatusCode};
use aws_smithy_types::DateTime;

use super::{Cloud, fault};
use crate::domain::model::{Fault, FaultClass, Timestamp};

const GET: &str = "cloudwatch:GetMetricData";

/// Seconds of a period: what AWS's own metrics are measured by.
const PERIOD: i32 = 60;

/// More pages than this are not read at once: a page holds a hundred thousand points.
const MOST_PAGES: u64 = 4;

/// One metric, and which of its statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `AWS/ApplicationELB` and the like.
    pub namespace: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Names and values; all of them, as they were published.
    pub dimensions: Vec<(&'static str, String)>,
    /// `Sum`, `Maximum`, …
    pub statistic: &'static str,
}

/// A metric's values, by the beginning of their minute.
pub type Series = BTreeMap<Timestamp, f64>;

impl Metric {
    fn query(&self, place: usize) -> MetricDataQuery {
        let dimensions = self.dimensions.iter();
        let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(*name).value(value).build());
        let named = Named::builder().namespace(self.namespace).metric_name(self.name);
        let named = named.set_dimensions(Some(dimensions.collect())).build();
        let stat = MetricStat::builder().metric(named).period(PERIOD).stat(self.statistic).build();
        MetricDataQuery::builder().id(format!("m{place}")).metric_stat(stat).return_data(true).build()
    }
}

impl Cloud {
    /// The series of each metric from one instant to another (whole minutes of our clock), and how many metrics that took, pages and failed calls
    /// counted: each is paid for.
    ///
    /// # Errors
    /// AWS's refusal, or its word that it could not read a metric.
    pub async fn metric_data(
        &self,
        metrics: &[Metric],
        from: Timestamp,
        until: Timestamp,
    ) -> (u64, Result<Vec<Series>, Fault>) {
        let queries: Vec<MetricDataQuery> = metrics.iter().enumerate().map(|(place, it)| it.query(place)).collect();
        let apart = self.inner.skew.apart().in_minutes();
        let (from, until) = (apart.theirs(from), apart.theirs(until));
        let mut series = vec![Series::new(); metrics.len()];
        let (mut paid, mut next) = (0, None);
        for _ in 0..MOST_PAGES {
            paid += metrics.len() as u64;
            let asked = self.inner.metrics.get_metric_data().set_metric_data_queries(Some(queries.clone()));
            let asked = asked.start_time(DateTime::from_millis(from.as_millis()));
            let asked = asked.end_time(DateTime::from_millis(until.as_millis())).scan_by(ScanBy::TimestampAscending);
            let answer = match self.call(GET, asked.set_next_token(next).send()).await {
                Ok(answer) => answer,
                Err(refusal) => return (paid, Err(Fault::from(refusal))),
            };
            for result in answer.metric_data_results() {
                let place = result.id().and_then(|id| id.strip_prefix('m')?.parse::<usize>().ok());
                let Some(series) = place.and_then(|place| series.get_mut(place)) else { continue };
                if let Some(status @ (StatusCode::InternalError | StatusCode::Forbidden)) = result.status_code() {
                    return (paid, Err(unread(status, result.label().unwrap_or_default())));
                }
                let points = result.timestamps().iter().zip(result.values());
                let at = |at: &DateTime| at.to_millis().map(|at| apart.ours(Timestamp::from_millis(at))).ok();
                series.extend(points.filter_map(|(when, value)| Some((at(when)?, *value))));
            }
            next = answer.next_token;
            if next.is_none() {
                return (paid, Ok(series));
            }
        }
        let message = format!("{MOST_PAGES} pages of metric data did not end");
        (paid, Err(fault::own(FaultClass::Transient, GET, "Unending", message, None)))
    }
}

fn unread(status: &StatusCode, label: &str) -> Fault {
    let class = if *status == StatusCode::Forbidden { FaultClass::Denied } else { FaultClass::Transient };
    fault::own(class, GET, status.as_str(), format!("the metric {label} could not be read"), None)
}
