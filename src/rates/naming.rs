//! Which of AWS's products is which of our items.
//!
//! A product is known by its service, its region and its usage type, of which everything after the region's prefix must
//! be the same: ARM, Windows and Spot have usage types that contain those of others.
//! Guarantee: one product is one item or none. Must never match by a part of a name. EventBridge Scheduler and Cost
//! Explorer are left out: their usage types are not certain.

use super::prefix;
use crate::domain::model::Item;

/// Units that AWS gives a price for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// An hour of something.
    Hours,
    /// A GB.
    Gb,
    /// A GB for a month.
    GbMonths,
    /// One of something.
    Count,
}

impl Unit {
    /// Whether AWS's text means this unit.
    pub(super) fn fits(self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let is = |words: &[&str]| words.contains(&text.as_str());
        match self {
            Unit::Hours => {
                let last = text.rsplit(['-', ' ']).next().unwrap_or_default();
                ["hour", "hours", "hr", "hrs"].contains(&last)
            }
            Unit::Gb => is(&["gb", "gigabytes"]),
            Unit::GbMonths => is(&["gb-mo", "gb-month", "gb-months"]),
            Unit::Count => !text.is_empty() && !Unit::Hours.fits(&text) && !is(&["gb", "gb-mo", "gb-month"]),
        }
    }
}

/// What else a product must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Any,
    /// Of an application load balancer: others have the same usage types.
    Application,
    /// To the internet.
    Internet,
}

/// A product that is an item of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    service: &'static str,
    /// The usage type after the region's prefix.
    usage: &'static str,
    pub item: Item,
    /// Our price is for ten to this power of AWS's unit.
    pub tens: u32,
    pub unit: Unit,
    only: Only,
}

const fn rule(service: &'static str, usage: &'static str, item: Item, tens: u32, unit: Unit) -> Rule {
    Rule { service, usage, item, tens, unit, only: Only::Any }
}

const fn hours(service: &'static str, usage: &'static str, item: Item) -> Rule {
    rule(service, usage, item, 0, Unit::Hours)
}

const ECS: &str = "AmazonECS";
const CLOUDWATCH: &str = "AmazonCloudWatch";
const SECRETS: &str = "AWSSecretsManager";

/// Of an item that has several, the first is the usual one.
const RULES: &[Rule] = &[
    hours(ECS, "Fargate-vCPU-Hours:perCPU", Item::VcpuX86),
    hours(ECS, "Fargate-GB-Hours", Item::MemoryX86),
    hours(ECS, "Fargate-ARM-vCPU-Hours:perCPU", Item::VcpuArm),
    hours(ECS, "Fargate-ARM-GB-Hours", Item::MemoryArm),
    hours(ECS, "Fargate-Windows-vCPU-Hours:perCPU", Item::VcpuWindows),
    hours(ECS, "Fargate-Windows-GB-Hours", Item::MemoryWindows),
    hours(ECS, "Fargate-Windows-OS-Hours:perCPU", Item::LicenceWindows),
    hours(ECS, "Fargate-EphemeralStorage-GB-Hours", Item::EphemeralStorage),
    hours(ECS, "Fargate-EphemeralStorage-GB-Hrs", Item::EphemeralStorage),
    hours(ECS, "SpotUsage-Fargate-vCPU-Hours:perCPU", Item::SpotVcpuX86),
    hours(ECS, "SpotUsage:Fargate-vCPU-Hours:perCPU", Item::SpotVcpuX86),
    hours(ECS, "SpotUsage-Fargate-GB-Hours", Item::SpotMemoryX86),
    hours(ECS, "SpotUsage:Fargate-GB-Hours", Item::SpotMemoryX86),
    hours(ECS, "SpotUsage-Fargate-ARM-vCPU-Hours:perCPU", Item::SpotVcpuArm),
    hours(ECS, "SpotUsage:Fargate-ARM-vCPU-Hours:perCPU", Item::SpotVcpuArm),
    hours(ECS, "SpotUsage-Fargate-ARM-GB-Hours", Item::SpotMemoryArm),
    hours(ECS, "SpotUsage:Fargate-ARM-GB-Hours", Item::SpotMemoryArm),
    hours("AmazonVPC", "PublicIPv4:InUseAddress", Item::PublicIpv4),
    rule("AmazonECR", "TimedStorage-ByteHrs", Item::ImageStorage, 0, Unit::GbMonths),
    rule(CLOUDWATCH, "CW:MetricMonitorUsage", Item::Metric, 0, Unit::Count),
    rule(CLOUDWATCH, "CW:Requests", Item::MetricRequests, 3, Unit::Count),
    rule(CLOUDWATCH, "CW:GMD-Metrics", Item::MetricReads, 3, Unit::Count),
    rule(CLOUDWATCH, "CW:AlarmMonitorUsage", Item::Alarm, 0, Unit::Count),
    rule(CLOUDWATCH, "CW:HighResAlarmMonitorUsage", Item::AlarmHighResolution, 0, Unit::Count),
    rule(CLOUDWATCH, "DataProcessing-Bytes", Item::LogsIngested, 0, Unit::Gb),
    rule(CLOUDWATCH, "TimedStorage-ByteHrs", Item::LogsStored, 0, Unit::GbMonths),
    rule(SECRETS, "AWSSecretsManager-Secrets", Item::Secret, 0, Unit::Count),
    rule(SECRETS, "AWSSecretsManager-Secret", Item::Secret, 0, Unit::Count),
    rule(SECRETS, "AWSSecretsManagerAPIRequest", Item::SecretRequests, 4, Unit::Count),
    rule(SECRETS, "AWSSecretsManager-APIRequests", Item::SecretRequests, 4, Unit::Count),
    rule("awskms", "KMS-Keys", Item::Key, 0, Unit::Count),
    rule("awskms", "KMS-Requests", Item::KeyRequests, 4, Unit::Count),
    Rule { only: Only::Application, ..hours("AWSELB", "LoadBalancerUsage", Item::LoadBalancer) },
    Rule { only: Only::Application, ..hours("AWSELB", "LCUUsage", Item::LoadBalancerCapacity) },
    Rule { only: Only::Internet, ..rule("AWSDataTransfer", "DataTransfer-Out-Bytes", Item::DataOut, 0, Unit::Gb) },
];

/// A product's attributes, as far as they say what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub(super) struct Attributes {
    servicecode: Option<String>,
    usagetype: Option<String>,
    operation: Option<String>,
    #[serde(rename = "regionCode")]
    region: Option<String>,
    #[serde(rename = "fromRegionCode")]
    from_region: Option<String>,
    #[serde(rename = "locationType")]
    location_type: Option<String>,
    #[serde(rename = "fromLocationType")]
    from_location_type: Option<String>,
    #[serde(rename = "toLocation")]
    to: Option<String>,
}

/// Region and rule of a product; none for what is nothing of ours. `offer` is the file's own, where a product names no
/// service.
pub(super) fn find<'a>(it: &'a Attributes, offer: Option<&str>) -> Option<(&'a str, &'static Rule)> {
    let service = it.servicecode.as_deref().or(offer)?;
    let region = it.region.as_deref().or(it.from_region.as_deref())?;
    let usage = it.usagetype.as_deref()?;
    // Local and Wavelength Zones have prices of their own under the same usage types.
    let place = it.location_type.as_deref().or(it.from_location_type.as_deref());
    if place.is_some_and(|place| place != "AWS Region") {
        return None;
    }
    let same = |rule: &&Rule| {
        let before = usage.strip_suffix(rule.usage).and_then(|before| match before {
            "" => Some(""),
            _ => before.strip_suffix('-').filter(|prefix| !prefix.is_empty()),
        });
        let only = match rule.only {
            Only::Any => true,
            Only::Application => it.operation.as_deref() == Some("LoadBalancing:Application"),
            Only::Internet => it.to.as_deref() == Some("External"),
        };
        rule.service == service && only && before.is_some_and(|before| prefix::fits(region, before))
    };
    RULES.iter().find(same).map(|rule| (region, rule))
}

/// The offers that have prices of ours, as AWS's price files and Price List call them, each with the name of the attribute
/// that says of which region a product is.
pub fn offers() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut offers: Vec<&str> = RULES.iter().map(|rule| rule.service).collect();
    offers.dedup();
    let region = |offer| if offer == "AWSDataTransfer" { "fromRegionCode" } else { "regionCode" };
    offers.into_iter().map(move |offer| (offer, region(offer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(service: &str, region: &str, usage: &str) -> Attributes {
        let some = |text: &str| Some(text.to_owned());
        Attributes { servicecode: some(service), region: some(region), usagetype: some(usage), ..Attributes::default() }
    }

    fn item(service: &str, region: &str, usage: &str) -> Option<Item> {
        find(&product(service, region, usage), None).map(|(_, rule)| rule.item)
    }

    #[test]
    fn fargate_is_told_from_arm_windows_spot_and_other_services() {
        for (usage, expected) in [
            ("USE1-Fargate-vCPU-Hours:perCPU", Some(Item::VcpuX86)),
            ("Fargate-GB-Hours", Some(Item::MemoryX86)),
            ("USE1-Fargate-ARM-vCPU-Hours:perCPU", Some(Item::VcpuArm)),
            ("USE1-Fargate-ARM-GB-Hours", Some(Item::MemoryArm)),
            ("USE1-Fargate-Windows-vCPU-Hours:perCPU", Some(Item::VcpuWindows)),
            ("USE1-Fargate-Windows-OS-Hours:perCPU", Some(Item::LicenceWindows)),
            ("USE1-Fargate-EphemeralStorage-GB-Hours", Some(Item::EphemeralStorage)),
            ("USE1-SpotUsage-Fargate-vCPU-Hours:perCPU", Some(Item::SpotVcpuX86)),
            ("USE1-SpotUsage:Fargate-GB-Hours", Some(Item::SpotMemoryX86)),
            ("USE1-SpotUsage-Fargate-ARM-GB-Hours", Some(Item::SpotMemoryArm)),
            ("USE1-ECS-EC2-vCPU-Hours", None),
            ("USE1-ECS-EC2-GB-Hours", None),
            ("USE1-Fargate-vCPU-Hours", None),
            ("USE1-XFargate-GB-Hours", None),
            ("XFargate-GB-Hours", None),
            ("-Fargate-GB-Hours", None),
            ("EUC1-Fargate-GB-Hours", None),
            ("TS-Fargate-GB-Hours", None),
            ("USE1-Fargate-GB-Hours-More", None),
            ("", None),
        ] {
            assert_eq!(item("AmazonECS", "us-east-1", usage), expected, "{usage}");
        }
        assert_eq!(item("AmazonEKS", "us-east-1", "USE1-Fargate-vCPU-Hours:perCPU"), None);
        assert_eq!(item("AmazonECS", "eu-west-1", "EU-Fargate-GB-Hours"), Some(Item::MemoryX86));
        assert_eq!(item("AmazonECS", "eu-central-1", "Fargate-GB-Hours"), None);
    }

    #[test]
    fn the_same_usage_type_of_another_service_is_another_item() {
        assert_eq!(item("AmazonECR", "us-east-1", "TimedStorage-ByteHrs"), Some(Item::ImageStorage));
        assert_eq!(item("AmazonCloudWatch", "us-east-1", "TimedStorage-ByteHrs"), Some(Item::LogsStored));
        assert_eq!(item("AmazonS3", "us-east-1", "TimedStorage-ByteHrs"), None);
        assert_eq!(item("AmazonCloudWatch", "us-east-1", "USE1-DataProcessingIA-Bytes"), None);
        assert_eq!(item("AmazonCloudWatch", "us-east-1", "CW:CompositeAlarmMonitorUsage"), None);
        assert_eq!(item("AmazonVPC", "us-east-1", "USE1-PublicIPv4:IdleAddress"), None);
        assert_eq!(item("awskms", "eu-west-2", "eu-west-2-KMS-Keys"), Some(Item::Key));
        assert_eq!(item("awskms", "eu-west-2", "us-east-1-KMS-Keys"), None);
        assert_eq!(item("awskms", "eu-west-2", "eu-west-2-KMS-Requests-Asymmetric"), None);
    }

    #[test]
    fn zones_network_load_balancers_and_traffic_between_regions_are_not_taken() {
        let mut balancer = product("AWSELB", "ca-central-1", "CAN1-LoadBalancerUsage");
        assert_eq!(find(&balancer, None), None);
        balancer.operation = Some("LoadBalancing:Network".to_owned());
        assert_eq!(find(&balancer, None), None);
        balancer.operation = Some("LoadBalancing:Application".to_owned());
        assert_eq!(find(&balancer, None).map(|(_, rule)| rule.item), Some(Item::LoadBalancer));
        balancer.usagetype = Some("CAN1-TS-LoadBalancerUsage".to_owned());
        assert_eq!(find(&balancer, None), None);

        let mut traffic = product("AWSDataTransfer", "us-east-1", "DataTransfer-Out-Bytes");
        assert_eq!(find(&traffic, None), None);
        traffic.to = Some("External".to_owned());
        (traffic.from_region, traffic.region) = (traffic.region, None);
        assert_eq!(find(&traffic, None).map(|(region, rule)| (region, rule.item)), Some(("us-east-1", Item::DataOut)));

        let mut zone = product("AmazonECS", "us-west-2", "USW2-Fargate-GB-Hours");
        assert!(find(&zone, None).is_some());
        zone.location_type = Some("AWS Local Zone".to_owned());
        assert_eq!(find(&zone, None), None);
        (zone.location_type, zone.servicecode) = (None, None);
        assert_eq!(find(&zone, None), None);
        assert!(find(&zone, Some("AmazonECS")).is_some());
    }

    #[test]
    fn units_are_told_apart_whatever_their_spelling() {
        for good in ["hours", "Hrs", "vCPU-Hours", "GB-Hours", "LCU-Hrs"] {
            assert!(Unit::Hours.fits(good) && !Unit::Count.fits(good) && !Unit::Gb.fits(good), "{good}");
        }
        assert!(Unit::GbMonths.fits("GB-Mo") && !Unit::Gb.fits("GB-Mo") && !Unit::Hours.fits("seconds"));
        assert!(Unit::Count.fits("Metrics") && !Unit::Count.fits(""));
    }

    #[test]
    fn every_rule_finds_its_own_product_and_no_other_s() {
        for (region, short) in [("us-east-1", "USE1"), ("eu-west-1", "EU"), ("ap-south-1", "APS3")] {
            for rule in RULES {
                let prefix = if rule.service == "awskms" { region } else { short };
                let mut it = product(rule.service, region, &format!("{prefix}-{}", rule.usage));
                it.operation = Some("LoadBalancing:Application".to_owned());
                it.to = Some("External".to_owned());
                assert_eq!(find(&it, None), Some((region, rule)), "{}", rule.usage);
            }
        }
        assert_eq!(offers().count(), 8);
    }
}
