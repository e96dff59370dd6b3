//! What is paid for, by which unit, and at which dated price (aws-facts §2.2).
//!
//! Guarantees: a price names its date, its source and how sure it is; what has no price has none, never zero.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    money::Money,
    size::{Arch, TaskSize},
};

/// Something that AWS bills, of all that a session can use. Serialised by its key, as `[rates]` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Fargate vCPU, Linux on x86-64, on demand.
    VcpuX86,
    /// Fargate memory, Linux on x86-64, on demand.
    MemoryX86,
    /// Fargate vCPU, Linux on ARM, on demand.
    VcpuArm,
    /// Fargate memory, Linux on ARM, on demand.
    MemoryArm,
    /// Fargate vCPU, Windows, on demand.
    VcpuWindows,
    /// Fargate memory, Windows, on demand.
    MemoryWindows,
    /// Windows' licence, per vCPU.
    LicenceWindows,
    /// Fargate Spot vCPU, Linux on x86-64.
    SpotVcpuX86,
    /// Fargate Spot memory, Linux on x86-64.
    SpotMemoryX86,
    /// Fargate Spot vCPU, Linux on ARM.
    SpotVcpuArm,
    /// Fargate Spot memory, Linux on ARM.
    SpotMemoryArm,
    /// Ephemeral storage above the included 20 GB.
    EphemeralStorage,
    /// A public IPv4 address, in use or idle.
    PublicIpv4,
    /// Images in a private ECR repository.
    ImageStorage,
    /// A CloudWatch custom metric; billed by the hour with data.
    Metric,
    /// PutMetricData and other CloudWatch requests.
    MetricRequests,
    /// Metrics asked for with GetMetricData; no allowance covers them.
    MetricReads,
    /// A CloudWatch alarm of standard resolution.
    Alarm,
    /// A CloudWatch alarm of high resolution.
    AlarmHighResolution,
    /// Log data taken in by CloudWatch Logs.
    LogsIngested,
    /// Log data kept by CloudWatch Logs.
    LogsStored,
    /// Invocations by EventBridge Scheduler.
    ScheduleInvocations,
    /// A secret in Secrets Manager.
    Secret,
    /// Requests to Secrets Manager.
    SecretRequests,
    /// A customer-managed KMS key.
    Key,
    /// Requests to KMS.
    KeyRequests,
    /// An application load balancer.
    LoadBalancer,
    /// An application load balancer's capacity units.
    LoadBalancerCapacity,
    /// Data sent out to the internet.
    DataOut,
    /// Requests to Cost Explorer.
    CostExplorerRequests,
}

impl Item {
    /// Every item.
    pub const ALL: [Item; 30] = [
        Item::VcpuX86,
        Item::MemoryX86,
        Item::VcpuArm,
        Item::MemoryArm,
        Item::VcpuWindows,
        Item::MemoryWindows,
        Item::LicenceWindows,
        Item::SpotVcpuX86,
        Item::SpotMemoryX86,
        Item::SpotVcpuArm,
        Item::SpotMemoryArm,
        Item::EphemeralStorage,
        Item::PublicIpv4,
        Item::ImageStorage,
        Item::Metric,
        Item::MetricRequests,
        Item::MetricReads,
        Item::Alarm,
        Item::AlarmHighResolution,
        Item::LogsIngested,
        Item::LogsStored,
        Item::ScheduleInvocations,
        Item::Secret,
        Item::SecretRequests,
        Item::Key,
        Item::KeyRequests,
        Item::LoadBalancer,
        Item::LoadBalancerCapacity,
        Item::DataOut,
        Item::CostExplorerRequests,
    ];

    /// As `[rates]` and the journal write it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        self.facts().0
    }

    /// For people: `Fargate vCPU (x86)`.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        self.facts().1
    }

    /// What the price is for: `vCPU-hour`.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        self.facts().2
    }

    /// Whether only time and AWS's own market say what it costs: a Spot price is never more than an estimate.
    #[must_use]
    pub const fn is_spot(self) -> bool {
        matches!(self, Item::SpotVcpuX86 | Item::SpotMemoryX86 | Item::SpotVcpuArm | Item::SpotMemoryArm)
    }

    /// vCPU and memory of a Fargate task of that size.
    #[must_use]
    pub const fn compute(size: &TaskSize) -> (Item, Item) {
        match (size.arch, size.spot) {
            (Arch::X86_64, false) => (Item::VcpuX86, Item::MemoryX86),
            (Arch::X86_64, true) => (Item::SpotVcpuX86, Item::SpotMemoryX86),
            (Arch::Arm64, false) => (Item::VcpuArm, Item::MemoryArm),
            (Arch::Arm64, true) => (Item::SpotVcpuArm, Item::SpotMemoryArm),
        }
    }

    const fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Item::VcpuX86 => ("vcpu_x86", "Fargate vCPU", "vCPU-hour"),
            Item::MemoryX86 => ("memory_x86", "Fargate memory", "GB-hour"),
            Item::VcpuArm => ("vcpu_arm", "Fargate vCPU (ARM)", "vCPU-hour"),
            Item::MemoryArm => ("memory_arm", "Fargate memory (ARM)", "GB-hour"),
            Item::VcpuWindows => ("vcpu_windows", "Fargate vCPU (Windows)", "vCPU-hour"),
            Item::MemoryWindows => ("memory_windows", "Fargate memory (Windows)", "GB-hour"),
            Item::LicenceWindows => ("licence_windows", "Windows licence", "vCPU-hour"),
            Item::SpotVcpuX86 => ("spot_vcpu_x86", "Fargate Spot vCPU", "vCPU-hour"),
            Item::SpotMemoryX86 => ("spot_memory_x86", "Fargate Spot memory", "GB-hour"),
            Item::SpotVcpuArm => ("spot_vcpu_arm", "Fargate Spot vCPU (ARM)", "vCPU-hour"),
            Item::SpotMemoryArm => ("spot_memory_arm", "Fargate Spot memory (ARM)", "GB-hour"),
            Item::EphemeralStorage => ("ephemeral_storage", "ephemeral storage", "GB-hour"),
            Item::PublicIpv4 => ("public_ipv4", "public IPv4 address", "address-hour"),
            Item::ImageStorage => ("image_storage", "image storage", "GB-month"),
            Item::Metric => ("metric", "CloudWatch metrics", "metric-month"),
            Item::MetricRequests => ("metric_requests", "CloudWatch PutMetricData", "1000 requests"),
            Item::MetricReads => ("metric_reads", "CloudWatch GetMetricData", "1000 metrics"),
            Item::Alarm => ("alarm", "CloudWatch alarm", "alarm-month"),
            Item::AlarmHighResolution => ("alarm_high_resolution", "CloudWatch alarm (high resolution)", "alarm-month"),
            Item::LogsIngested => ("logs_ingested", "log data taken in", "GB"),
            Item::LogsStored => ("logs_stored", "log data kept", "GB-month"),
            Item::ScheduleInvocations => ("schedule_invocations", "Scheduler invocations", "million invocations"),
            Item::Secret => ("secret", "secret", "secret-month"),
            Item::SecretRequests => ("secret_requests", "Secrets Manager requests", "10000 requests"),
            Item::Key => ("key", "KMS key", "key-month"),
            Item::KeyRequests => ("key_requests", "KMS requests", "10000 requests"),
            Item::LoadBalancer => ("load_balancer", "load balancer", "hour"),
            Item::LoadBalancerCapacity => ("load_balancer_capacity", "load balancer capacity", "LCU-hour"),
            Item::DataOut => ("data_out", "data sent to the internet", "GB"),
            Item::CostExplorerRequests => ("cost_explorer_requests", "Cost Explorer requests", "request"),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.describe())
    }
}

/// A key that names no item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing that is billed is called \"{0}\"")]
pub struct UnknownItem(String);

impl FromStr for Item {
    type Err = UnknownItem;
    fn from_str(text: &str) -> Result<Self, UnknownItem> {
        Item::ALL.into_iter().find(|item| item.key() == text).ok_or_else(|| UnknownItem(text.to_owned()))
    }
}

/// How sure a price is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// AWS's published price, read at the date.
    #[default]
    Published,
    /// AWS's own price file or Price List API, read at the date.
    Imported,
    /// The operator's word (`[rates]`).
    Given,
    /// Not known: guessed, and not low.
    Estimated,
    /// No price is known: nothing could be counted.
    Unpriced,
}

impl Basis {
    /// What is said behind an item of that basis; nothing where the price is AWS's own.
    #[must_use]
    pub const fn remark(self) -> &'static str {
        match self {
            Basis::Published | Basis::Imported => "",
            Basis::Given => " (price given)",
            Basis::Estimated => " (price estimated)",
            Basis::Unpriced => " (no price known)",
        }
    }
}

/// A price at a date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Of one unit of the item.
    pub amount: Money,
    /// How sure it is.
    pub basis: Basis,
    /// When it was read or published, `YYYY-MM-DD`; empty where it has no date: the operator's word does not age.
    pub as_of: String,
    /// Where from.
    pub source: String,
}

/// Prices of one region. Gross: free tiers and credits are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RateCard {
    /// Which region these are the prices of.
    pub region: String,
    /// What is priced.
    pub prices: BTreeMap<Item, Price>,
}

impl RateCard {
    /// The price of an item, where it is known.
    #[must_use]
    pub fn price(&self, item: Item) -> Option<&Price> {
        self.prices.get(&item)
    }

    /// What one unit costs; nothing where that is not known ([`RateCard::unpriced`] says so).
    #[must_use]
    pub fn amount(&self, item: Item) -> Money {
        self.price(item).map_or(Money::ZERO, |price| price.amount)
    }

    /// The items without a price.
    pub fn unpriced<'a>(&'a self, items: &'a [Item]) -> impl Iterator<Item = Item> + 'a {
        items.iter().copied().filter(|item| !self.prices.contains_key(item))
    }

    /// The card with these items alone.
    #[must_use]
    pub fn only(&self, items: &[Item]) -> RateCard {
        let prices = items.iter().filter_map(|item| Some((*item, self.price(*item)?.clone()))).collect();
        RateCard { region: self.region.clone(), prices }
    }

    /// The date of the oldest price of these items; prices without a date do not count.
    #[must_use]
    pub fn oldest(&self, items: &[Item]) -> Option<&str> {
        let dates = items.iter().filter_map(|item| self.price(*item)).map(|price| price.as_of.as_str());
        dates.filter(|date| !date.is_empty()).min()
    }

    /// For people: `2026-10-09 (us-east-1)`, with what is estimated and what is the operator's word.
    #[must_use]
    pub fn describe(&self) -> String {
        let items: Vec<Item> = self.prices.keys().copied().collect();
        let remark = |basis, word: &str| match self.prices.values().filter(|price| price.basis == basis).count() {
            0 => String::new(),
            all if all == items.len() => format!(", all {word}"),
            some => format!(", {some} of {} {word}", items.len()),
        };
        let (estimated, given) = (remark(Basis::Estimated, "estimated"), remark(Basis::Given, "given"));
        let undated = if given.is_empty() { "unknown" } else { "no date" };
        format!("{} ({}{estimated}{given})", self.oldest(&items).unwrap_or(undated), self.region)
    }
}

/// How a session's use is counted, besides the prices themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Accounting {
    /// Whether AWS's always-free allowances are taken off (aws-facts §2.2). Gross without.
    pub free_tier: bool,
    /// Credits that pay first. Gross without.
    pub credits: Money,
    /// Log data that a task is taken to write, MiB per hour: AWS says how much it was only later.
    pub logs_mib_per_hour: u32,
    /// Data that a task is taken to send to the internet, MiB per hour.
    pub traffic_mib_per_hour: u32,
    /// Whether a public address is billed by the begun hour and not by the second (aws-facts §2.3: not confirmed).
    pub ipv4_by_hour: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_found_by_its_key_and_serialises_as_it() {
        for item in Item::ALL {
            assert_eq!(item.key().parse::<Item>(), Ok(item));
            assert_eq!(serde_json::to_value(item).unwrap(), item.key());
        }
        assert_eq!("vcpu".parse::<Item>().unwrap_err().to_string(), "nothing that is billed is called \"vcpu\"");
    }

    #[test]
    fn a_card_says_how_old_it_is_and_how_much_of_it_is_a_guess() {
        let price = |as_of: &str, basis| Price {
            amount: Money::from_nanos(1),
            basis,
            as_of: as_of.to_owned(),
            source: "test".to_owned(),
        };
        let mut card = RateCard { region: "us-east-1".to_owned(), prices: BTreeMap::new() };
        card.prices.insert(Item::VcpuX86, price("2026-10-09", Basis::Published));
        card.prices.insert(Item::PublicIpv4, price("2026-08-01", Basis::Estimated));
        assert_eq!(card.describe(), "2026-08-01 (us-east-1, 1 of 2 estimated)");
        assert_eq!(card.only(&[Item::VcpuX86]).describe(), "2026-10-09 (us-east-1)");
        assert_eq!(card.unpriced(&[Item::Metric, Item::VcpuX86]).collect::<Vec<_>>(), [Item::Metric]);
        card.prices.insert(Item::MemoryX86, price("", Basis::Given));
        assert_eq!(card.describe(), "2026-08-01 (us-east-1, 1 of 3 estimated, 1 of 3 given)");
        assert_eq!(card.only(&[Item::MemoryX86]).describe(), "no date (us-east-1, all given)");
        assert_eq!(card.only(&[]).describe(), "unknown (us-east-1)");
        let text = serde_json::to_string(&card).unwrap();
        assert_eq!(serde_json::from_str::<RateCard>(&text).unwrap(), card);
    }
}
