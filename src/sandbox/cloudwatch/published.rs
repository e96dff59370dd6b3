//! Metrics that AWS's own services publish: Container Insights', and load balancers' that a test invents.
//!
//! Guarantees: they show when their time has come, not before; a load balancer that is there reports its consumption each
//! minute, also of past ones, and its requests only where there were some. Never takes anything from outside:
//! PutMetricData refuses AWS's namespaces.

use crate::domain::model::{Span, Timestamp};

use super::{CloudWatch, Key, Point};

const LOAD_BALANCER: &str = "AWS/ApplicationELB";

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}

impl CloudWatch {
    /// A service's own figure of the minute that begins at the first instant, to be seen from the second on.
    pub(in crate::sandbox) fn put_of_service(
        &mut self,
        (namespace, name): (&str, &str),
        mut dimensions: Vec<(String, String)>,
        (at, shown): (Timestamp, Timestamp),
        value: f64,
        unit: &str,
    ) {
        dimensions.sort();
        let key: Key = (namespace.to_owned(), name.to_owned(), dimensions);
        self.keep(
            key,
            Point {
                at: seconds(at),
                shown: seconds(shown),
                count: 1.0,
                sum: value,
                least: value,
                most: value,
                unit: unit.to_owned(),
                values: vec![(value, 1.0)],
            },
        );
    }

    /// A load balancer takes `requests` at `at`, for a target group if one is named; what it reports of that minute shows
    /// `late` after the minute's end. None: it is there, and idle.
    pub(in crate::sandbox) fn load_balancer_took(
        &mut self,
        load_balancer: &str,
        target_group: Option<&str>,
        at: Timestamp,
        requests: u32,
        late: Span,
    ) {
        let minute = Timestamp::from_millis(at.as_millis().div_euclid(60_000) * 60_000);
        let times = (minute, minute + Span::from_mins(1) + late);
        let alone = vec![("LoadBalancer".to_owned(), load_balancer.to_owned())];
        let mut put = |name: &str, dimensions, value, unit| {
            self.put_of_service((LOAD_BALANCER, name), dimensions, times, value, unit);
        };
        put("ConsumedLCUs", alone.clone(), 0.001, "None");
        if requests > 0 {
            let grouped = target_group.map(|group| ("TargetGroup".to_owned(), group.to_owned()));
            for dimensions in [Some(alone.clone()), grouped.map(|it| [alone, vec![it]].concat())].into_iter().flatten()
            {
                put("RequestCount", dimensions, f64::from(requests), "Count");
            }
        }
    }
}
