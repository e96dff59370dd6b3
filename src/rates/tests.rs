//! Price files as AWS writes them, and as they should not be: order, gzip, cuts, currencies, traps.
//!
//! Guarantee: files are made here, in temporary folders. Must never ask AWS.

use std::{io::Write as _, path::PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::model::{Basis, Money, Price};

/// SKU, region, usage type, and what it costs: unit, currency, amount.
type Line<'l> = (&'l str, &'l str, &'l str, &'l [(&'l str, &'l str, &'l str)]);

const FARGATE: &[Line<'static>] = &[
    ("EC2V", "us-east-1", "USE1-ECS-EC2-vCPU-Hours", &[("vCPU-Hours", "USD", "0.0000000000")]),
    ("ARMV", "us-east-1", "USE1-Fargate-ARM-vCPU-Hours:perCPU", &[("hours", "USD", "0.0323800000")]),
    ("WINV", "us-east-1", "USE1-Fargate-Windows-vCPU-Hours:perCPU", &[("hours", "USD", "0.0914800000")]),
    ("X86V", "us-east-1", "USE1-Fargate-vCPU-Hours:perCPU", &[("hours", "USD", "0.0404800000")]),
    ("X86M", "us-east-1", "USE1-Fargate-GB-Hours", &[("hours", "USD", "0.0044450000")]),
    ("SPOT", "us-east-1", "USE1-SpotUsage-Fargate-vCPU-Hours:perCPU", &[("hours", "USD", "0.0124123456")]),
    ("EUCV", "eu-central-1", "EUC1-Fargate-vCPU-Hours:perCPU", &[("hours", "USD", "0.0465600000")]),
    ("LIES", "eu-central-1", "USE1-Fargate-GB-Hours", &[("hours", "USD", "9.0000000000")]),
];

fn products(offer: &str, lines: &[Line<'_>]) -> Value {
    let product = |(sku, region, usage, _): &Line<'_>| {
        let attributes = json!({
            "servicecode": offer, "location": "somewhere", "locationType": "AWS Region", "usagetype": usage,
            "operation": "", "regionCode": region, "servicename": "Amazon Elastic Container Service",
        });
        ((*sku).to_owned(), json!({ "sku": sku, "productFamily": "Compute", "attributes": attributes }))
    };
    Value::Object(lines.iter().map(product).collect())
}

fn terms(lines: &[Line<'_>]) -> Value {
    let term = |(sku, _, _, tiers): &Line<'_>| {
        let tier = |(at, (unit, currency, amount)): (usize, &(&str, &str, &str))| {
            let rate = format!("{sku}.JRTCKXETXF.{at}");
            let dimension = json!({
                "rateCode": rate, "description": "a price", "beginRange": "0", "endRange": "Inf", "unit": unit,
                "pricePerUnit": { *currency: amount }, "appliesTo": [],
            });
            (rate, dimension)
        };
        let dimensions: serde_json::Map<String, Value> = tiers.iter().enumerate().map(tier).collect();
        let code = format!("{sku}.JRTCKXETXF");
        let term = json!({
            "offerTermCode": "JRTCKXETXF", "sku": sku, "effectiveDate": "2026-09-01T00:00:00Z",
            "priceDimensions": dimensions, "termAttributes": {},
        });
        ((*sku).to_owned(), json!({ code: term }))
    };
    json!({ "Reserved": { "X86V": { "x": 1 } }, "OnDemand": Value::Object(lines.iter().map(term).collect()) })
}

/// A whole file; `order` says where the terms are.
fn file(offer: &str, lines: &[Line<'_>], terms_first: bool) -> String {
    let head = json!({
        "formatVersion": "v1.0", "disclaimer": "This pricing list is for informational purposes only.",
        "offerCode": offer, "version": "20260929154530", "publicationDate": "2026-09-29T15:45:30Z",
    });
    let mut whole = head.as_object().cloned().unwrap();
    let parts = [("products", products(offer, lines)), ("terms", terms(lines))];
    let parts: Vec<_> = if terms_first { parts.into_iter().rev().collect() } else { parts.into_iter().collect() };
    whole.extend(parts.into_iter().map(|(name, value)| (name.to_owned(), value)));
    whole.insert("attributesList".to_owned(), json!({}));
    Value::Object(whole).to_string()
}

struct OnDisk {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn on_disk(bytes: &[u8]) -> OnDisk {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.json");
    std::fs::write(&path, bytes).unwrap();
    OnDisk { _folder: folder, path }
}

fn take(bytes: impl AsRef<[u8]>, region: Option<&str>) -> Result<Imported, RatesError> {
    read(&on_disk(bytes.as_ref()).path, "index.json", region)
}

fn zipped(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn nanos(imported: &Imported, region: &str, item: Item) -> Option<i64> {
    Some(imported.prices.get(region)?.get(&item)?.amount.nanos())
}

#[test]
fn a_price_file_gives_each_item_its_own_price_with_date_and_source() {
    let imported = take(file("AmazonECS", FARGATE, false), None).unwrap();
    for (region, item, expected) in [
        ("us-east-1", Item::VcpuX86, Some(40_480_000)),
        ("us-east-1", Item::MemoryX86, Some(4_445_000)),
        ("us-east-1", Item::VcpuArm, Some(32_380_000)),
        ("us-east-1", Item::VcpuWindows, Some(91_480_000)),
        // Below a nano-dollar it is rounded up.
        ("us-east-1", Item::SpotVcpuX86, Some(12_412_346)),
        ("eu-central-1", Item::VcpuX86, Some(46_560_000)),
        ("eu-central-1", Item::MemoryX86, None),
        ("us-east-1", Item::MemoryArm, None),
    ] {
        assert_eq!(nanos(&imported, region, item), expected, "{item} in {region}");
    }
    assert_eq!(imported.count(), 6);
    assert_eq!(imported.sources, ["AmazonECS 20260929154530"]);
    assert_eq!(
        imported.prices["us-east-1"][&Item::VcpuX86],
        Price {
            amount: Money::from_nanos(40_480_000),
            basis: Basis::Imported,
            as_of: "2026-09-29".to_owned(),
            source: "AmazonECS 20260929154530".to_owned(),
        }
    );
    let only = take(file("AmazonECS", FARGATE, false), Some("eu-central-1")).unwrap();
    assert_eq!((only.count(), only.has("eu-central-1", Item::VcpuX86)), (1, true));
}

#[test]
fn the_order_of_the_parts_and_gzip_make_no_difference() {
    let usual = take(file("AmazonECS", FARGATE, false), None).unwrap();
    let text = file("AmazonECS", FARGATE, true);
    assert!(text.find("\"terms\"").unwrap() < text.find("\"products\"").unwrap());
    assert_eq!(take(&text, None).unwrap(), usual);
    assert_eq!(take(zipped(&text), None).unwrap(), usual);
    // Several members after one another are one file.
    let (a, b) = text.split_at(text.len() / 2);
    assert_eq!(take([zipped(a), zipped(b)].concat(), None).unwrap(), usual);
    // The offer's own name after its products, which name their service themselves.
    let moved = format!(
        "{{{},{}",
        &text[text.find("\"terms\"").unwrap()..text.len() - 1],
        &text[1..text.find(",\"terms\"").unwrap()]
    );
    assert_eq!(take(format!("{moved}}}"), None).unwrap(), usual);
}

#[test]
fn of_tiers_the_dearest_is_taken_and_said_so() {
    let lines: &[Line<'_>] = &[
        (
            "M",
            "us-east-1",
            "CW:MetricMonitorUsage",
            &[("Metrics", "USD", "0.3000000000"), ("Metrics", "USD", "0.1000000000"), ("Metrics", "USD", "0.0")],
        ),
        ("R", "us-east-1", "CW:Requests", &[("Requests", "USD", "0.0000100000")]),
        ("L", "us-east-1", "DataProcessing-Bytes", &[("Hrs", "USD", "0.5000000000")]),
        ("S", "us-east-1", "TimedStorage-ByteHrs", &[("GB-Mo", "USD", "0.0000000000")]),
        ("A", "us-east-1", "CW:AlarmMonitorUsage", &[("Alarms", "USD", "0.1000000000")]),
        ("B", "us-east-1", "USE1-CW:AlarmMonitorUsage", &[("Alarms", "USD", "0.2000000000")]),
    ];
    let imported = take(file("AmazonCloudWatch", lines, false), None).unwrap();
    assert_eq!(nanos(&imported, "us-east-1", Item::Metric), Some(300_000_000));
    assert_eq!(
        imported.prices["us-east-1"][&Item::Metric].source,
        "AmazonCloudWatch 20260929154530, dearest of 3 tiers"
    );
    assert_eq!(nanos(&imported, "us-east-1", Item::MetricRequests), Some(10_000_000));
    // Two products are the same item: the dearer counts.
    assert_eq!(nanos(&imported, "us-east-1", Item::Alarm), Some(200_000_000));
    assert_eq!(imported.count(), 3);
    assert_eq!(
        imported.left_out,
        [
            "log data kept in us-east-1: AWS names no price above nothing",
            "log data taken in in us-east-1: its price is for \"Hrs\", not for GB"
        ]
    );
}

#[test]
fn a_file_that_is_not_whole_or_not_one_is_refused_with_its_reason() {
    let good = file("AmazonECS", FARGATE, false);
    let packed = zipped(&good);
    let mut bent = packed.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 0xff;
    let chinese = good.replace("\"USD\"", "\"CNY\"");
    let cases: [(Vec<u8>, &str); 14] = [
        (Vec::new(), "ends in the middle"),
        (good.as_bytes()[..good.len() - 1].to_vec(), "ends in the middle"),
        (good.as_bytes()[..good.len() / 2].to_vec(), "ends in the middle"),
        (packed[..packed.len() / 2].to_vec(), "ends in the middle"),
        (bent, "is damaged (as gzip"),
        (good.replace("\"terms\"", "\"terms\" x").into_bytes(), "is damaged"),
        (format!("{good}{good}").into_bytes(), "is damaged (trailing"),
        (b"<html><body>not found</body></html>".to_vec(), "is no price file of AWS's (it is not JSON"),
        (b"\"OfferTermCode\",\"SKU\"".to_vec(), "is no price file of AWS's"),
        (b"[1, 2]".to_vec(), "an object with offerCode"),
        (b"{\"formatVersion\":\"v1.0\",\"offers\":{}}".to_vec(), "not all of offerCode, products and terms"),
        (good.replace("v1.0", "v2.0").into_bytes(), "its format is \"v2.0\""),
        (chinese.into_bytes(), "are in CNY, and labguard counts in US dollars"),
        (good.replace("0.0404800000", "cheap").into_bytes(), "is \"cheap\", which is no amount"),
    ];
    for (bytes, why) in cases {
        let error = take(&bytes, None).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
        assert!(error.contains("index.json") && error.contains("no price was taken"), "{error}");
    }
    let undated = take(good.replace("2026-09-29T", "soon"), None).unwrap_err().to_string();
    assert!(undated.contains("when it was published"), "{undated}");
    let other = take(file("AmazonS3", &FARGATE[..1], false), None).unwrap_err().to_string();
    assert!(other.contains("no price that labguard knows") && other.contains("AmazonVPC"), "{other}");
    let elsewhere = take(good, Some("sa-east-1")).unwrap_err().to_string();
    assert!(elsewhere.contains("no price that labguard knows of sa-east-1"), "{elsewhere}");
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_path_buf(), folder.path().join("nowhere")] {
        let error = read(&path, "it", None).unwrap_err();
        assert!(matches!(error, RatesError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn the_price_list_s_answers_are_read_as_the_file_is() {
    let answer = |(sku, ..): &Line<'_>, published: &str| {
        let listed = json!({
            "product": products("AmazonECS", FARGATE)[*sku],
            "serviceCode": "AmazonECS",
            "terms": { "OnDemand": terms(FARGATE)["OnDemand"][*sku] },
            "version": "20260929154530",
            "publicationDate": published,
        });
        listed.to_string()
    };
    let answers: Vec<String> = FARGATE.iter().map(|line| answer(line, "2026-09-29T15:45:30Z")).collect();
    let imported = of_answers("AmazonECS", "us-east-1", &answers).unwrap();
    assert_eq!(imported, take(file("AmazonECS", FARGATE, false), Some("us-east-1")).unwrap());

    let nothing = of_answers("AmazonECS", "us-west-2", &answers).unwrap_err().to_string();
    assert!(
        nothing.contains("AWS's Price List of AmazonECS has no price that labguard knows of us-west-2"),
        "{nothing}"
    );
    assert!(matches!(of_answers("AmazonECS", "us-west-2", &[]), Err(RatesError::Nothing { .. })));
    let odd = of_answers("AmazonECS", "us-east-1", &["{}".to_owned()]).unwrap_err().to_string();
    assert!(odd.contains("missing field `product`"), "{odd}");
    let undated = of_answers("AmazonECS", "us-east-1", &[answer(&FARGATE[3], "soon")]).unwrap_err();
    assert!(matches!(undated, RatesError::Damaged { .. }), "{undated}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_file_cut_or_bent_anywhere_never_panics_and_never_gives_another_price(at in any::<prop::sample::Index>(), byte in any::<u8>(), first in any::<bool>()) {
        let good = file("AmazonECS", FARGATE, first);
        let whole = take(&good, None).unwrap();
        let at = at.index(good.len());
        prop_assert!(take(&good.as_bytes()[..at], None).is_err());
        let packed = zipped(&good);
        prop_assert!(take(&packed[..at * packed.len() / good.len()], None).is_err());
        let mut bent = packed;
        let place = at * bent.len() / good.len();
        bent[place] ^= byte;
        // gzip's own sum finds what JSON would not; its header holds what is of no account.
        if let Ok(taken) = take(&bent, None) {
            prop_assert_eq!(taken, whole);
        }
        let mut plain = good.into_bytes();
        plain[at] = byte;
        let _ = take(&plain, None);
    }
}
