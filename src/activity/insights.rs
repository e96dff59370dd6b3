//! Use of the tasks, by what Container Insights says of their network and CPU each minute (aws-facts §7).
//!
//! It is inferred: a probe of labguard's moves bytes, too, and takes time. So the policy says how much is nobody's use, and
//! what a person does below that is not seen. Guarantee: a minute counts as known only where every value that is looked at
//! is there.

use std::collections::BTreeMap;

use super::minutes::Minute;
use crate::domain::model::Timestamp;

/// Values by minute.
type Series = BTreeMap<Timestamp, f64>;

/// What Container Insights says; absent: not looked at.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Told {
    /// Bytes a second, received and sent.
    pub network: Option<(Series, Series)>,
    /// CPU units: 1024 are one vCPU.
    pub cpu: Option<Series>,
}

/// What is more than nobody's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Above {
    /// Bytes a second, both ways together.
    pub network: u32,
    /// Hundredths of the task's CPU.
    pub cpu: u32,
    /// The task's CPU units.
    pub of: u32,
}

/// Every minute that is known, with its use.
#[must_use]
pub fn minutes(told: &Told, above: Above) -> BTreeMap<Timestamp, Minute> {
    let network = told.network.as_ref();
    let places: Vec<Timestamp> = match (network, &told.cpu) {
        (Some((received, _)), _) => received.keys().copied().collect(),
        (None, Some(cpu)) => cpu.keys().copied().collect(),
        (None, None) => Vec::new(),
    };
    places.into_iter().filter_map(|at| Some((at, minute(told, above, at)?))).collect()
}

/// What a minute says; `None` where a value is missing.
fn minute(told: &Told, above: Above, at: Timestamp) -> Option<Minute> {
    let mut uses = Vec::new();
    if let Some((received, sent)) = &told.network {
        let bytes = received.get(&at)? + sent.get(&at)?;
        if bytes > f64::from(above.network) {
            uses.push(format!("network {bytes:.0} bytes/s"));
        }
    }
    if let Some(cpu) = &told.cpu {
        let hundredths = cpu.get(&at)? * 100.0 / f64::from(above.of.max(1));
        if hundredths > f64::from(above.cpu) {
            uses.push(format!("CPU {hundredths:.0} %"));
        }
    }
    Some((!uses.is_empty()).then(|| uses.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mins: i64) -> Timestamp {
        Timestamp::from_millis(mins * 60_000)
    }

    fn series(values: &[(i64, f64)]) -> Series {
        values.iter().map(|(mins, value)| (at(*mins), *value)).collect()
    }

    #[test]
    fn what_is_above_the_policys_figures_is_use_and_what_a_probe_makes_is_not() {
        let above = Above { network: 4096, cpu: 20, of: 256 };
        for (received, sent, cpu, used) in [
            (300.0, 700.0, 2.0, None),
            (4096.0, 0.0, 51.2, None),
            (2048.0, 2049.0, 0.0, Some("network 4097 bytes/s")),
            (0.0, 90_000.4, 0.0, Some("network 90000 bytes/s")),
            (0.0, 0.0, 128.0, Some("CPU 50 %")),
            (5000.0, 0.0, 256.0, Some("network 5000 bytes/s, CPU 100 %")),
        ] {
            let network = Some((series(&[(1, received)]), series(&[(1, sent)])));
            let told = Told { network: network.clone(), cpu: Some(series(&[(1, cpu)])) };
            assert_eq!(minutes(&told, above), [(at(1), used.map(str::to_owned))].into(), "{received} {sent} {cpu}");
        }
    }

    #[test]
    fn a_minute_of_which_a_value_is_missing_is_not_known() {
        let above = Above { network: 1, cpu: 1, of: 256 };
        let busy = series(&[(1, 9e9), (2, 9e9), (3, 9e9)]);
        let told =
            Told { network: Some((busy.clone(), series(&[(1, 0.0), (3, 0.0)]))), cpu: Some(series(&[(3, 0.0)])) };
        assert_eq!(minutes(&told, above).into_keys().collect::<Vec<_>>(), [at(3)]);
        let alone = Told { network: None, cpu: Some(busy.clone()) };
        assert_eq!(minutes(&alone, above).len(), 3, "what is not looked at is not missed");
        assert!(minutes(&Told::default(), above).is_empty());
    }
}
