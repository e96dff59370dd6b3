//! Reads Prometheus' text format (and OpenMetrics', which is close enough) for one metric.
//!
//! Lines that are not samples of the metric asked for are skipped whatever they hold: a container's page may
//! be broken elsewhere. A broken line of that metric is an error: a wrong sum would be a wrong sign of use.

use crate::domain::model::{Whose, range};

/// Which samples count.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Their labels include all of these.
    pub with: Vec<(String, String)>,
    /// Their labels match none of these: one value or several with `|` between, each with `*` at its end as a beginning.
    pub without: Vec<(String, String)>,
    /// The label that names the client's address, and whose use counts. A sample without it, or whose value is no
    /// address, counts: it may be anybody's.
    pub by_address: Option<(String, Whose)>,
}

impl Wanted {
    fn counts(&self, found: &[(String, String)]) -> bool {
        let excluded = |(name, patterns): &(String, String)| {
            found.iter().any(|(label, value)| label == name && patterns.split('|').any(|it| fits(it.trim(), value)))
        };
        let stranger = self.by_address.as_ref().is_some_and(|(name, whose)| {
            let value = found.iter().find(|(label, _)| label == name).and_then(|(_, value)| range::address(value));
            value.is_some_and(|ip| !whose.counts(ip))
        });
        self.with.iter().all(|wanted| found.contains(wanted)) && !self.without.iter().any(excluded) && !stranger
    }
}

fn fits(pattern: &str, value: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == value, |beginning| value.starts_with(beginning))
}

/// What a page says of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// The page does not know the metric at all.
    Missing,
    /// The page knows it, and these samples match (none: zero, as labelled counters appear with their first use).
    Total {
        /// The sum of their values.
        total: f64,
        /// How many.
        samples: usize,
    },
}

/// Why a page makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpositionError {
    /// A line of the metric that is no sample.
    #[error("line {line} of the metrics page is no sample: {text}")]
    Line {
        /// From 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// A count that is no count: negative, infinite or not a number.
    #[error("line {line} of the metrics page counts {value}")]
    Value {
        /// From 1.
        line: usize,
        /// As written.
        value: String,
    },
}

/// Sums the samples of `counter` that are wanted.
///
/// # Errors
/// [`ExpositionError`] when a line of that counter cannot be read, or its value is no count.
pub fn sum(page: &str, counter: &str, wanted: &Wanted) -> Result<Sum, ExpositionError> {
    let family = counter.strip_suffix("_total").unwrap_or(counter);
    let (mut known, mut total, mut samples) = (false, 0.0, 0);
    for (index, line) in page.lines().enumerate() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.split_whitespace();
            if matches!(words.next(), Some("TYPE" | "HELP")) {
                known |= words.next().is_some_and(|name| name == counter || name == family);
            }
            continue;
        }
        let Some(rest) = line.strip_prefix(counter) else { continue };
        if !rest.starts_with(|next: char| next == '{' || next.is_whitespace()) {
            continue;
        }
        known = true;
        let broken = || ExpositionError::Line { line: index + 1, text: line.chars().take(80).collect() };
        let (found, rest) = match rest.trim_start().strip_prefix('{') {
            Some(inner) => label_set(inner).ok_or_else(broken)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_whitespace().next().ok_or_else(broken)?;
        let number: f64 = value.parse().map_err(|_| broken())?;
        if !wanted.counts(&found) {
            continue;
        }
        if !number.is_finite() || number < 0.0 {
            return Err(ExpositionError::Value { line: index + 1, value: value.to_owned() });
        }
        total += number;
        samples += 1;
    }
    Ok(if known { Sum::Total { total, samples } } else { Sum::Missing })
}

/// Names and values of labels, and what follows the closing brace.
type Labels<'a> = (Vec<(String, String)>, &'a str);

/// Reads `name="value",…}` with the escapes `\\`, `\"` and `\n`; a trailing comma is allowed.
fn label_set(mut rest: &str) -> Option<Labels<'_>> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let mut value = String::new();
        let quoted = after.trim_start().strip_prefix('"')?;
        let mut letters = quoted.char_indices();
        let end = loop {
            match letters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => match letters.next()?.1 {
                    'n' => value.push('\n'),
                    other @ ('\\' | '"') => value.push(other),
                    other => value.extend(['\\', other]),
                },
                (_, letter) => value.push(letter),
            }
        };
        labels.push((name.trim().to_owned(), value));
        rest = quoted[end..].trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = r#"# HELP http_requests Requests answered.
# TYPE http_requests counter
http_requests_total{client="user",path="/predict"} 3 1795000000000
http_requests_total{client="user",path="/",} 1e1
http_requests_total{client="probe",path="/ping"} 912 # {trace_id="a}b"} 1 1.5
http_requests_total_created{client="user"} 7
# EOF
other{broken 1
"#;

    fn with(labels: &[(&str, &str)]) -> Wanted {
        let with = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Wanted { with, ..Wanted::default() }
    }

    fn user(page: &str) -> Result<Sum, ExpositionError> {
        sum(page, "http_requests_total", &with(&[("client", "user")]))
    }

    #[test]
    fn only_samples_with_the_wanted_labels_are_summed() {
        assert_eq!(user(PAGE).unwrap(), Sum::Total { total: 13.0, samples: 2 });
        assert_eq!(
            sum(PAGE, "http_requests_total", &Wanted::default()).unwrap(),
            Sum::Total { total: 925.0, samples: 3 }
        );
        assert_eq!(sum("up 1\n", "up", &Wanted::default()).unwrap(), Sum::Total { total: 1.0, samples: 1 });
    }

    #[test]
    fn a_known_counter_without_such_samples_is_zero_and_an_unknown_one_is_missing() {
        let fresh = "# TYPE http_requests counter\nhttp_requests_total{client=\"probe\"} 4\n";
        assert_eq!(user(fresh).unwrap(), Sum::Total { total: 0.0, samples: 0 });
        assert_eq!(user("# TYPE http_requests counter\n").unwrap(), Sum::Total { total: 0.0, samples: 0 });
        assert_eq!(user("go_goroutines 12\nhttp_requests_total2 1\n").unwrap(), Sum::Missing);
        assert_eq!(user("").unwrap(), Sum::Missing);
    }

    #[test]
    fn addresses_leave_out_strangers_and_nobody_whose_address_is_not_known() {
        let page = "c{ip=\"203.0.113.7\"} 1\nc{ip=\"203.0.113.9:4711\"} 10\nc{ip=\"2001:db8::7\"} 100\n\
                    c{ip=\"::ffff:203.0.113.9\"} 1000\nc{ip=\"-\"} 10000\nc 100000\n";
        let total = |allowed: &[&str], ignored: &[&str]| {
            let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
            let whose = Whose { allowed: ranges(allowed), ignored: ranges(ignored) };
            let wanted = Wanted { by_address: Some(("ip".into(), whose)), ..Wanted::default() };
            match sum(page, "c", &wanted) {
                Ok(Sum::Total { total, .. }) => total,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(total(&[], &[]), 111_111.0);
        assert_eq!(total(&[], &["203.0.113.9/32"]), 110_101.0);
        assert_eq!(total(&["203.0.113.0/24"], &[]), 111_011.0);
        assert_eq!(total(&["203.0.113.0/24", "::/0"], &["203.0.113.8/29"]), 110_101.0);
    }

    #[test]
    fn excluded_labels_leave_out_whole_values_and_beginnings() {
        let page = "c{path=\"/predict\",agent=\"curl/8\"} 1\nc{path=\"/health/live\"} 10\nc{path=\"/metrics\"} 100\n\
                    c{path=\"/\",agent=\"zgrab/0.x\"} 1000\n";
        let without = |labels: &[(&str, &str)]| Wanted { without: with(labels).with, ..Wanted::default() };
        let total = |labels| match sum(page, "c", &without(labels)) {
            Ok(Sum::Total { total, .. }) => total,
            other => panic!("{other:?}"),
        };
        assert_eq!(total(&[("path", "/metrics|/health*")]), 1001.0);
        assert_eq!(total(&[("path", "/metrics | /health"), ("agent", "zgrab*")]), 11.0);
        assert_eq!(total(&[("user", "*")]), 1111.0, "a label that no sample has excludes none");
    }

    #[test]
    fn escapes_and_braces_in_label_values_are_read() {
        let page = r#"c{a="x\"y\\z\nw}",b="{,="} 2"#;
        let labels = with(&[("a", "x\"y\\z\nw}"), ("b", "{,=")]);
        assert_eq!(sum(page, "c", &labels).unwrap(), Sum::Total { total: 2.0, samples: 1 });
    }

    #[test]
    fn broken_lines_and_impossible_counts_are_errors() {
        for line in ["c{a=\"1\" 2", "c{a=1} 2", "c{a=\"1\"}", "c two"] {
            assert!(matches!(sum(line, "c", &Wanted::default()), Err(ExpositionError::Line { line: 1, .. })), "{line}");
        }
        for value in ["NaN", "+Inf", "-1"] {
            let page = format!("c{{}} {value}");
            assert_eq!(
                sum(&page, "c", &Wanted::default()),
                Err(ExpositionError::Value { line: 1, value: value.into() })
            );
        }
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic(page in "(c|c_total|# TYPE |[{}\",=\\\\ .0-9a-zA-Zé\n]){0,60}") {
            let _ = sum(&page, "c", &with(&[("a", "b")]));
        }
    }
}
