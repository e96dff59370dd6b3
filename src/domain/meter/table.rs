//! The prices that ship with labguard, each with its date and source (aws-facts §2.2).
//!
//! Guarantee: what is not known is guessed, not low, and marked as a guess. All are US dollars; regions that are
//! billed otherwise (China's) are not here.

use crate::domain::model::{Basis, Item, Money, Price, RateCard};

/// Nano-dollars, the date it was read, the source.
type Figure = (Item, i64, &'static str, &'static str);

const PAGE: &str = "Fargate pricing page and Price List (aws-facts §2.2)";
const FACTS: &str = "aws-facts §2.2";
const GUESS: &str = "estimate";

/// us-east-1, as published.
const PUBLISHED: [Figure; 19] = [
    (Item::VcpuX86, 40_480_000, "2026-10-09", PAGE),
    (Item::MemoryX86, 4_445_000, "2026-10-09", PAGE),
    (Item::VcpuArm, 32_380_000, "2026-10-09", PAGE),
    (Item::MemoryArm, 3_560_000, "2026-10-09", PAGE),
    (Item::EphemeralStorage, 111_000, "2026-10-09", PAGE),
    (Item::PublicIpv4, 5_000_000, "2026-10-16", "VPC pricing, USE1-PublicIPv4:InUseAddress (aws-facts §2.2)"),
    (Item::ImageStorage, 100_000_000, "2026-03-01", FACTS),
    (Item::Metric, 300_000_000, "2026-03-01", FACTS),
    (Item::MetricRequests, 10_000_000, "2026-03-01", FACTS),
    (Item::MetricReads, 10_000_000, "2026-03-01", FACTS),
    (Item::Alarm, 100_000_000, "2026-03-01", FACTS),
    (Item::AlarmHighResolution, 300_000_000, "2026-03-01", FACTS),
    (Item::LogsIngested, 500_000_000, "2026-03-01", FACTS),
    (Item::LogsStored, 30_000_000, "2026-03-01", FACTS),
    (Item::ScheduleInvocations, 1_000_000_000, "2026-03-13", FACTS),
    (Item::LoadBalancer, 22_500_000, "2026-03-01", FACTS),
    (Item::LoadBalancerCapacity, 8_000_000, "2026-03-01", FACTS),
    (Item::DataOut, 90_000_000, "2026-03-01", FACTS),
    (Item::CostExplorerRequests, 10_000_000, "2026-03-01", "Cost Explorer documentation (aws-facts §6.5)"),
];

/// us-east-1, not known: old, from third parties, or moving.
const GUESSED: [Figure; 11] = [
    (Item::VcpuWindows, 91_480_000, "2024-01-01", GUESS),
    (Item::MemoryWindows, 10_050_000, "2024-01-01", GUESS),
    (Item::LicenceWindows, 46_000_000, "2024-01-01", GUESS),
    (Item::SpotVcpuX86, 12_700_000, "2026-10-09", GUESS),
    (Item::SpotMemoryX86, 1_370_000, "2026-10-09", GUESS),
    // ARM Spot is never dearer than x86 Spot where both are offered.
    (Item::SpotVcpuArm, 12_700_000, "2026-10-09", GUESS),
    (Item::SpotMemoryArm, 1_370_000, "2026-10-09", GUESS),
    (Item::Secret, 400_000_000, "2026-03-01", GUESS),
    (Item::SecretRequests, 50_000_000, "2026-03-01", GUESS),
    (Item::Key, 1_000_000_000, "2026-03-01", GUESS),
    (Item::KeyRequests, 30_000_000, "2026-03-01", GUESS),
];

/// What is known of other regions.
const ELSEWHERE: [(&str, Figure); 5] = [
    ("eu-central-1", (Item::VcpuX86, 46_560_000, "2026-07-07", FACTS)),
    ("eu-central-1", (Item::MemoryX86, 5_110_000, "2026-07-07", FACTS)),
    ("ap-northeast-1", (Item::VcpuX86, 50_560_000, "2026-08-15", FACTS)),
    ("ap-northeast-1", (Item::MemoryX86, 5_530_000, "2026-08-15", FACTS)),
    ("ap-northeast-1", (Item::EphemeralStorage, 133_000, "2026-08-15", FACTS)),
];

/// Regions with Fargate, and per cent of us-east-1's prices that theirs are guessed at.
const REGIONS: [(&str, i64); 33] = [
    ("us-east-1", 100),
    ("us-east-2", 100),
    ("us-west-1", 116),
    ("us-west-2", 100),
    ("af-south-1", 140),
    ("ap-east-1", 140),
    ("ap-northeast-1", 126),
    ("ap-northeast-2", 120),
    ("ap-northeast-3", 126),
    ("ap-south-1", 110),
    ("ap-south-2", 110),
    ("ap-southeast-1", 126),
    ("ap-southeast-2", 122),
    ("ap-southeast-3", 130),
    ("ap-southeast-4", 126),
    ("ap-southeast-5", 126),
    ("ap-southeast-7", 130),
    ("ca-central-1", 112),
    ("ca-west-1", 120),
    ("eu-central-1", 118),
    ("eu-central-2", 132),
    ("eu-north-1", 112),
    ("eu-south-1", 122),
    ("eu-south-2", 118),
    ("eu-west-1", 102),
    ("eu-west-2", 118),
    ("eu-west-3", 122),
    ("il-central-1", 132),
    ("me-central-1", 130),
    ("me-south-1", 130),
    ("mx-central-1", 130),
    ("sa-east-1", 175),
    ("us-gov-west-1", 130),
];

/// Every region that the table has prices of.
pub(super) fn regions() -> impl Iterator<Item = &'static str> {
    REGIONS.iter().map(|(region, _)| *region)
}

/// The card of a region; none where nothing is known of it.
pub(super) fn card(region: &str) -> Option<RateCard> {
    let (_, percent) = REGIONS.iter().find(|(known, _)| *known == region)?;
    let home = region == "us-east-1";
    let price = |basis, (item, nanos, as_of, source): Figure| {
        let price =
            Price { amount: Money::from_nanos(nanos), basis, as_of: as_of.to_owned(), source: source.to_owned() };
        (item, price)
    };
    let at_home = PUBLISHED.iter().map(|figure| (Basis::Published, *figure));
    let at_home = at_home.chain(GUESSED.iter().map(|figure| (Basis::Estimated, *figure)));
    let mut prices: std::collections::BTreeMap<Item, Price> = at_home
        .map(|(basis, figure)| match figure {
            _ if home => price(basis, figure),
            // The price of a public address was announced as one for all regions; still nobody has read it there.
            (Item::PublicIpv4, ..) => price(Basis::Estimated, figure),
            (item, nanos, as_of, _) => {
                let scaled = nanos.saturating_mul(*percent);
                let guess = scaled / 100 + i64::from(scaled % 100 != 0);
                price(Basis::Estimated, (item, guess, as_of, GUESS))
            }
        })
        .collect();
    let known = ELSEWHERE.iter().filter(|(at, _)| *at == region);
    prices.extend(known.map(|(_, figure)| price(Basis::Published, *figure)));
    Some(RateCard { region: region.to_owned(), prices })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_a_price_for_every_item_and_only_what_was_read_is_not_called_a_guess() {
        for region in regions() {
            let card = card(region).unwrap();
            assert_eq!(card.unpriced(&Item::ALL).count(), 0, "{region}");
            let sure = card.prices.values().filter(|price| price.basis == Basis::Published).count();
            let expected = match region {
                "us-east-1" => PUBLISHED.len(),
                _ => ELSEWHERE.iter().filter(|(at, _)| *at == region).count(),
            };
            assert_eq!(sure, expected, "{region}");
            assert!(card.prices.iter().all(|(item, price)| !item.is_spot() || price.basis == Basis::Estimated));
        }
        assert_eq!(card("xx-nowhere-1"), None);
    }

    #[test]
    fn no_region_is_guessed_cheaper_than_us_east_1() {
        let home = card("us-east-1").unwrap();
        for region in regions() {
            let card = card(region).unwrap();
            for item in Item::ALL {
                assert!(card.amount(item) >= home.amount(item), "{item} in {region}");
            }
        }
    }

    #[test]
    fn the_figures_are_those_of_aws_facts() {
        let exact = |region: &str, item| card(region).unwrap().amount(item).exact();
        assert_eq!(exact("us-east-1", Item::VcpuX86), "0.04048 USD");
        assert_eq!(exact("us-east-1", Item::MemoryX86), "0.004445 USD");
        assert_eq!(exact("us-east-1", Item::VcpuArm), "0.03238 USD");
        assert_eq!(exact("us-east-1", Item::MemoryArm), "0.00356 USD");
        assert_eq!(exact("us-east-1", Item::EphemeralStorage), "0.000111 USD");
        assert_eq!(exact("us-east-1", Item::PublicIpv4), "0.005 USD");
        assert_eq!(exact("eu-central-1", Item::VcpuX86), "0.04656 USD");
        assert_eq!(exact("ap-northeast-1", Item::EphemeralStorage), "0.000133 USD");
    }
}
