//! What AWS charges, as a dated card (aws-facts §2.2).
//!
//! Guarantee: a price that is not known is never guessed low; every guess is said to be one.

use serde::{Deserialize, Serialize};

use crate::domain::model::{Arch, Money, TaskSize};

/// The price of compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputeRate {
    /// One vCPU for an hour.
    pub vcpu_hour: Money,
    /// One GB (1024 MiB) for an hour.
    pub gb_hour: Money,
}

/// Prices of one region at one date. Gross: free tiers and credits are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateCard {
    /// Which region these are the prices of.
    pub region: String,
    /// When they were read, `YYYY-MM-DD`.
    pub as_of: String,
    /// Linux on x86-64, on demand.
    pub x86: ComputeRate,
    /// Linux on ARM, on demand.
    pub arm: ComputeRate,
    /// Spot, either architecture: an estimate, since it varies.
    pub spot: ComputeRate,
    /// One GB of ephemeral storage above the included 20, for an hour.
    pub storage_gb_hour: Money,
    /// One public IPv4 address for an hour.
    pub ipv4_hour: Money,
    /// One CloudWatch custom metric for a month of 730 h; billed by the hour with data.
    pub metric_month: Money,
    /// A thousand PutMetricData requests.
    pub thousand_requests: Money,
}

impl RateCard {
    /// us-east-1, read 2026-10-09 (addresses 2026-10-16; Spot from third parties: estimated).
    #[must_use]
    pub fn us_east_1() -> Self {
        let usd = Money::from_nanos;
        Self {
            region: "us-east-1".to_owned(),
            as_of: "2026-10-09".to_owned(),
            x86: ComputeRate { vcpu_hour: usd(40_480_000), gb_hour: usd(4_445_000) },
            arm: ComputeRate { vcpu_hour: usd(32_380_000), gb_hour: usd(3_560_000) },
            spot: ComputeRate { vcpu_hour: usd(12_700_000), gb_hour: usd(1_370_000) },
            storage_gb_hour: usd(111_000),
            ipv4_hour: usd(5_000_000),
            metric_month: usd(300_000_000),
            thousand_requests: usd(10_000_000),
        }
    }

    /// The card of a region, with a warning where its figures are wholly or partly estimated.
    #[must_use]
    pub fn for_region(region: &str) -> (Self, Option<String>) {
        let usd = Money::from_nanos;
        let base = Self { region: region.to_owned(), ..Self::us_east_1() };
        let (vcpu, gb, as_of) = match region {
            "us-east-1" => return (base, None),
            "eu-central-1" => (46_560_000, 5_110_000, "2026-07-07"),
            "ap-northeast-1" => (50_560_000, 5_530_000, "2026-08-15"),
            _ => {
                let warning = format!("no prices known for {region}: priced as us-east-1, so its costs are estimated");
                return (base, Some(warning));
            }
        };
        let x86 = ComputeRate { vcpu_hour: usd(vcpu), gb_hour: usd(gb) };
        // ARM costs less than x86 everywhere: its price is bounded by x86's where it is not known.
        let card = Self { as_of: as_of.to_owned(), x86, arm: x86, storage_gb_hour: usd(133_000), ..base };
        (card, Some(format!("prices of {region} other than x86 compute are estimated")))
    }

    /// What compute of this size costs.
    #[must_use]
    pub const fn compute(&self, size: &TaskSize) -> ComputeRate {
        if size.spot {
            return self.spot;
        }
        match size.arch {
            Arch::X86_64 => self.x86,
            Arch::Arm64 => self.arm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_us_east_1_is_priced_without_a_warning() {
        assert_eq!(RateCard::for_region("us-east-1"), (RateCard::us_east_1(), None));
        for region in ["us-west-2", "eu-central-1", "ap-south-1"] {
            let (card, warning) = RateCard::for_region(region);
            assert!(warning.is_some(), "{region}");
            assert!(card.x86.vcpu_hour >= RateCard::us_east_1().x86.vcpu_hour, "{region} is guessed low");
        }
    }

    #[test]
    fn a_card_reads_back_from_json() {
        let card = RateCard::us_east_1();
        let text = serde_json::to_string(&card).unwrap();
        assert_eq!(serde_json::from_str::<RateCard>(&text).unwrap(), card);
    }
}
