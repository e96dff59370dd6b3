//! Use of the application behind a load balancer of the operator's, by the requests that it counts each minute (aws-facts
//! §7).
//!
//! A minute without requests may have no value at all. So another value says whether the minute is known: the load
//! balancer's own consumption, which is reported always ("CloudWatch metrics for your Application Load Balancer", ELB's
//! user guide). Without it a name that is misspelt would look like peace. Whose requests they are is not known: scanners'
//! are among them. Health checks of the load balancer's are not.

use std::collections::BTreeMap;

use super::minutes::Minute;
use crate::domain::model::Timestamp;

/// Values by minute.
type Series = BTreeMap<Timestamp, f64>;

/// Every minute that is known, with its use: fewer requests than `least` are noise.
#[must_use]
pub fn minutes(requests: &Series, there: &Series, least: u32) -> BTreeMap<Timestamp, Minute> {
    let count = |at: Timestamp| requests.get(&at).copied().unwrap_or_default();
    let minute = |at: Timestamp| {
        let number = count(at);
        (number >= f64::from(least.max(1))).then(|| {
            let plural = if number == 1.0 { "" } else { "s" };
            format!("{number:.0} request{plural} in a minute")
        })
    };
    there.keys().chain(requests.keys()).map(|at| (*at, minute(*at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_without_requests_is_peace_only_where_the_load_balancer_shows_that_it_is_there() {
        let at = |mins: i64| Timestamp::from_millis(mins * 60_000);
        let series = |values: &[(i64, f64)]| values.iter().map(|(mins, value)| (at(*mins), *value)).collect::<Series>();
        let there = series(&[(1, 0.01), (2, 0.01), (3, 0.01), (4, 0.02)]);
        let requests = series(&[(2, 1.0), (3, 0.0), (4, 7.0), (6, 3.0)]);
        let used = |text: &str| Some(text.to_owned());
        let all = [
            (at(1), None),
            (at(2), used("1 request in a minute")),
            (at(3), None),
            (at(4), used("7 requests in a minute")),
            (at(6), used("3 requests in a minute")),
        ];
        assert_eq!(minutes(&requests, &there, 1), all.into());
        let few: Vec<Timestamp> =
            minutes(&requests, &there, 4).into_iter().filter(|(_, used)| used.is_some()).map(|(at, _)| at).collect();
        assert_eq!(few, [at(4)], "fewer are noise");
        assert!(minutes(&Series::new(), &Series::new(), 1).is_empty(), "a load balancer that nobody has");
    }
}
