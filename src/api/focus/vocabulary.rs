//! Which AWS service an item belongs to, in the words of FOCUS 1.2.
//!
//! Guarantee: each service has one category and one subcategory of the specification's own lists.

use crate::domain::model::Item;

/// A service as FOCUS names and places it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// As AWS calls it.
    pub name: &'static str,
    /// One of FOCUS's service categories.
    pub category: &'static str,
    /// One of that category's subcategories.
    pub subcategory: &'static str,
}

const fn service(name: &'static str, category: &'static str, subcategory: &'static str) -> Service {
    Service { name, category, subcategory }
}

const GOVERNANCE: &str = "Management and Governance";

/// Credits belong to no service.
pub(super) const CREDITS: Service = service("Credits", "Other", "Other (Other)");

/// The service that an item is of.
pub(super) const fn of(item: Item) -> Service {
    match item {
        Item::VcpuX86
        | Item::MemoryX86
        | Item::VcpuArm
        | Item::MemoryArm
        | Item::VcpuWindows
        | Item::MemoryWindows
        | Item::LicenceWindows
        | Item::SpotVcpuX86
        | Item::SpotMemoryX86
        | Item::SpotVcpuArm
        | Item::SpotMemoryArm
        | Item::EphemeralStorage => service("Amazon Elastic Container Service", "Compute", "Containers"),
        Item::PublicIpv4 => service("Amazon Virtual Private Cloud", "Networking", "Network Infrastructure"),
        Item::ImageStorage => service("Amazon Elastic Container Registry", "Storage", "Other (Storage)"),
        Item::Metric
        | Item::MetricRequests
        | Item::MetricReads
        | Item::Alarm
        | Item::AlarmHighResolution
        | Item::LogsIngested
        | Item::LogsStored => service("Amazon CloudWatch", GOVERNANCE, "Observability"),
        Item::ScheduleInvocations => service("Amazon EventBridge", "Integration", "Other (Integration)"),
        Item::Secret | Item::SecretRequests => service("AWS Secrets Manager", "Security", "Secret Management"),
        Item::Key | Item::KeyRequests => service("AWS Key Management Service", "Security", "Secret Management"),
        Item::LoadBalancer | Item::LoadBalancerCapacity => {
            service("Elastic Load Balancing", "Networking", "Application Networking")
        }
        Item::DataOut => service("AWS Data Transfer", "Networking", "Network Connectivity"),
        Item::CostExplorerRequests => service("AWS Cost Explorer", GOVERNANCE, "Cost Management"),
    }
}

/// What a price is for, by FOCUS's format of units.
pub(super) const fn unit(item: Item) -> &'static str {
    match item {
        Item::VcpuX86
        | Item::VcpuArm
        | Item::VcpuWindows
        | Item::LicenceWindows
        | Item::SpotVcpuX86
        | Item::SpotVcpuArm => "vCPU-Hours",
        Item::MemoryX86
        | Item::MemoryArm
        | Item::MemoryWindows
        | Item::SpotMemoryX86
        | Item::SpotMemoryArm
        | Item::EphemeralStorage => "GB-Hours",
        Item::PublicIpv4 => "Address-Hours",
        Item::ImageStorage | Item::LogsStored => "GB-Months",
        Item::Metric => "Metric-Months",
        Item::MetricRequests => "1000 Requests",
        Item::MetricReads => "1000 Metrics",
        Item::Alarm | Item::AlarmHighResolution => "Alarm-Months",
        Item::LogsIngested | Item::DataOut => "GB",
        Item::ScheduleInvocations => "1000000 Invocations",
        Item::Secret => "Secret-Months",
        Item::SecretRequests | Item::KeyRequests => "10000 Requests",
        Item::Key => "Key-Months",
        Item::LoadBalancer => "Hours",
        Item::LoadBalancerCapacity => "Unit-Hours",
        Item::CostExplorerRequests => "Requests",
    }
}

/// What is counted where the price is for many of it at once.
pub(super) const fn counted(item: Item) -> Option<&'static str> {
    match item {
        Item::MetricRequests | Item::SecretRequests | Item::KeyRequests | Item::CostExplorerRequests => {
            Some("Requests")
        }
        Item::MetricReads => Some("Metrics"),
        Item::ScheduleInvocations => Some("Invocations"),
        _ => None,
    }
}

/// The item without how it is priced: the same for Spot as on demand.
pub(super) const fn sku(item: Item) -> Item {
    match item {
        Item::SpotVcpuX86 => Item::VcpuX86,
        Item::SpotMemoryX86 => Item::MemoryX86,
        Item::SpotVcpuArm => Item::VcpuArm,
        Item::SpotMemoryArm => Item::MemoryArm,
        other => other,
    }
}

/// A region's name as AWS writes it; its code where this version does not know it.
pub(super) fn region(code: &str) -> &str {
    match code {
        "us-east-1" => "US East (N. Virginia)",
        "us-east-2" => "US East (Ohio)",
        "us-west-1" => "US West (N. California)",
        "us-west-2" => "US West (Oregon)",
        "ca-central-1" => "Canada (Central)",
        "sa-east-1" => "South America (Sao Paulo)",
        "eu-central-1" => "Europe (Frankfurt)",
        "eu-central-2" => "Europe (Zurich)",
        "eu-west-1" => "Europe (Ireland)",
        "eu-west-2" => "Europe (London)",
        "eu-west-3" => "Europe (Paris)",
        "eu-north-1" => "Europe (Stockholm)",
        "eu-south-1" => "Europe (Milan)",
        "ap-south-1" => "Asia Pacific (Mumbai)",
        "ap-southeast-1" => "Asia Pacific (Singapore)",
        "ap-southeast-2" => "Asia Pacific (Sydney)",
        "ap-northeast-1" => "Asia Pacific (Tokyo)",
        "ap-northeast-2" => "Asia Pacific (Seoul)",
        "ap-northeast-3" => "Asia Pacific (Osaka)",
        "ap-east-1" => "Asia Pacific (Hong Kong)",
        "af-south-1" => "Africa (Cape Town)",
        "me-south-1" => "Middle East (Bahrain)",
        "il-central-1" => "Israel (Tel Aviv)",
        other => other,
    }
}
