//! What a usage type begins with in each region.
//!
//! Guarantee: a prefix is matched whole, so that nothing that only ends like a usage type is taken for it.
//! Never says which region a product is of: that is its `regionCode`.

/// Regions whose prefix is known. Others have one of the usual form.
const KNOWN: [(&str, &str); 27] = [
    ("us-east-1", "USE1"),
    ("us-east-2", "USE2"),
    ("us-west-1", "USW1"),
    ("us-west-2", "USW2"),
    ("us-gov-west-1", "UGW1"),
    ("us-gov-east-1", "UGE1"),
    ("af-south-1", "AFS1"),
    ("ap-east-1", "APE1"),
    ("ap-northeast-1", "APN1"),
    ("ap-northeast-2", "APN2"),
    ("ap-northeast-3", "APN3"),
    ("ap-southeast-1", "APS1"),
    ("ap-southeast-2", "APS2"),
    ("ap-southeast-3", "APS4"),
    ("ap-south-1", "APS3"),
    ("ca-central-1", "CAN1"),
    ("eu-central-1", "EUC1"),
    ("eu-central-2", "EUC2"),
    ("eu-north-1", "EUN1"),
    ("eu-south-1", "EUS1"),
    ("eu-south-2", "EUS2"),
    ("eu-west-2", "EUW2"),
    ("eu-west-3", "EUW3"),
    ("il-central-1", "ILC1"),
    ("me-central-1", "MEC1"),
    ("me-south-1", "MES1"),
    ("sa-east-1", "SAE1"),
];

/// Whether usage types of a region may begin so. Most have the region's short name, AWS's oldest in us-east-1 none at
/// all, and KMS's the region's own name.
pub(super) fn fits(region: &str, prefix: &str) -> bool {
    match (prefix, region) {
        ("", _) => region == "us-east-1",
        ("EU" | "EUW1", "eu-west-1") => true,
        (_, "eu-west-1") => prefix == region,
        _ if prefix == region => true,
        _ => match KNOWN.iter().find(|(known, _)| *known == region) {
            Some((_, known)) => prefix == *known,
            None => is_usual(prefix) && !KNOWN.iter().any(|(_, other)| *other == prefix),
        },
    }
}

/// Two to four capitals and a digit.
fn is_usual(prefix: &str) -> bool {
    let (letters, digit) = prefix.split_at(prefix.len().saturating_sub(1));
    (2..=4).contains(&letters.len())
        && letters.bytes().all(|byte| byte.is_ascii_uppercase())
        && digit.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_region_s_own_and_whole() {
        for (region, prefix) in [
            ("us-east-1", "USE1"),
            ("us-east-1", ""),
            ("us-east-1", "us-east-1"),
            ("eu-west-1", "EU"),
            ("eu-west-1", "EUW1"),
            ("eu-central-1", "EUC1"),
            ("ap-southeast-7", "APS9"),
        ] {
            assert!(fits(region, prefix), "{prefix} in {region}");
        }
        for (region, prefix) in [
            ("eu-central-1", "USE1"),
            ("eu-central-1", ""),
            ("eu-central-1", "EU"),
            ("us-east-1", "TS"),
            ("us-east-1", "USE1-TS"),
            ("us-east-1", "USE2"),
            ("ap-southeast-7", "APS1"),
            ("ap-southeast-7", ""),
            ("ap-southeast-7", "TS"),
            ("ap-southeast-7", "Ä1"),
        ] {
            assert!(!fits(region, prefix), "{prefix} in {region}");
        }
    }
}
