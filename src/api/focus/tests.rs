//! The columns against the specification: which must be there, what may be in them, and that they add up.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    api::fake,
    domain::{
        meter::{
            self,
            samples::{any_session, at, card},
        },
        model::{Basis, CostLine, Units},
    },
};

/// FOCUS 1.2: columns that must be there, and whether their cells may be null.
const MANDATORY: [(&str, bool); 21] = [
    ("BilledCost", false),
    ("BillingAccountId", false),
    ("BillingAccountName", true),
    ("BillingCurrency", false),
    ("BillingPeriodEnd", false),
    ("BillingPeriodStart", false),
    ("ChargeCategory", false),
    ("ChargeClass", true),
    ("ChargeDescription", true),
    ("ChargePeriodEnd", false),
    ("ChargePeriodStart", false),
    ("ContractedCost", false),
    ("EffectiveCost", false),
    ("InvoiceIssuerName", false),
    ("ListCost", false),
    ("PricingQuantity", true),
    ("PricingUnit", true),
    ("ProviderName", false),
    ("PublisherName", false),
    ("ServiceCategory", false),
    ("ServiceName", false),
];

/// FOCUS 1.2: columns that must be there under conditions that AWS meets, or are recommended.
const CONDITIONAL: [&str; 31] = [
    "AvailabilityZone",
    "CapacityReservationId",
    "CapacityReservationStatus",
    "ChargeFrequency",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "CommitmentDiscountUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedUnitPrice",
    "InvoiceId",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
];

/// FOCUS 1.2: the subcategories of the categories used here.
const SUBCATEGORIES: [(&str, &[&str]); 7] = [
    ("Compute", &["Containers", "Serverless Compute", "Virtual Machines", "Other (Compute)"]),
    ("Storage", &["Block Storage", "File Storage", "Object Storage", "Other (Storage)"]),
    (
        "Networking",
        &[
            "Application Networking",
            "Content Delivery",
            "Network Connectivity",
            "Network Infrastructure",
            "Network Routing",
        ],
    ),
    ("Management and Governance", &["Cost Management", "Observability", "Support"]),
    ("Security", &["Secret Management", "Other (Security)"]),
    ("Integration", &["API Management", "Messaging", "Workflow Orchestration", "Other (Integration)"]),
    ("Other", &["Other (Other)"]),
];

type Cells = BTreeMap<String, String>;

fn rows(charges: &[Charge]) -> Vec<Cells> {
    let text = csv(charges).unwrap();
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// A decimal text in billionths of a billionth; FOCUS's numeric format has no sign for a positive number and no comma.
fn atto(text: &str) -> i128 {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    assert!(whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) && fraction.len() <= 18, "{text}");
    let value = whole.parse::<i128>().unwrap() * 10i128.pow(18) + format!("{fraction:0<18}").parse::<i128>().unwrap();
    if negative { -value } else { value }
}

/// The product of two of those, rounded to the nano.
fn product(one: &str, other: &str) -> i128 {
    let (one, other) = (atto(one), atto(other));
    // 18 + 18 digits do not fit beside each other: prices have nine at most.
    assert_eq!(other % 10i128.pow(9), 0);
    (one / 10i128.pow(3)) * (other / 10i128.pow(9)) / 10i128.pow(15)
}

fn check(row: &Cells) {
    let cell = |name: &str| row[name].as_str();
    let null = |name: &str| row[name].is_empty();
    for (name, nullable) in MANDATORY {
        assert!(nullable || !null(name), "{name} is null in {row:?}");
    }
    let usage = match cell("ChargeCategory") {
        "Usage" => true,
        "Credit" => false,
        other => panic!("{other}"),
    };
    assert_eq!(cell("ChargeFrequency"), if usage { "Usage-Based" } else { "One-Time" });
    assert!(null("ChargeClass"), "nothing here corrects a bill");
    for name in [
        "PricingCategory",
        "PricingQuantity",
        "PricingUnit",
        "ListUnitPrice",
        "ContractedUnitPrice",
        "SkuId",
        "SkuPriceId",
        "SkuMeter",
    ] {
        assert_eq!(null(name), !usage, "{name}");
    }
    for name in ["ConsumedQuantity", "ConsumedUnit"] {
        assert_eq!(null(name), !usage, "{name}");
    }
    for name in ["ResourceType", "Tags"] {
        assert!(!null(name) || null("ResourceId"), "{name}");
    }
    assert!(null("ResourceName") || (!null("ResourceId") && cell("ResourceName") != cell("ResourceId")));
    assert_eq!(null("RegionName"), null("RegionId"));
    assert_eq!(null("SubAccountName"), null("SubAccountId"));
    assert_eq!(cell("BillingCurrency"), "USD");
    if usage {
        let spot = cell("SkuPriceId").contains("/spot_");
        assert_eq!(cell("PricingCategory"), if spot { "Dynamic" } else { "Standard" });
        for (cost, price) in [("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")] {
            let far = product(cell("PricingQuantity"), cell(price)) - atto(cell(cost)) / 10i128.pow(9);
            assert!(far.abs() <= 1, "{cost} is {far} nano-dollars from quantity × price: {row:?}");
        }
    } else {
        for cost in ["ListCost", "ContractedCost", "EffectiveCost"] {
            assert_eq!(cell(cost), cell("BilledCost"));
        }
    }
    assert_eq!(cell("EffectiveCost"), cell("BilledCost"));
    let (_, known) = SUBCATEGORIES.iter().find(|(category, _)| *category == cell("ServiceCategory")).unwrap();
    assert!(known.contains(&cell("ServiceSubcategory")), "{row:?}");
    if !null("Tags") {
        let tags: serde_json::Value = serde_json::from_str(cell("Tags")).unwrap();
        assert!(tags.as_object().unwrap().values().all(serde_json::Value::is_string));
    }
    for time in ["BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"] {
        assert!(cell(time).len() == 20 && cell(time).ends_with('Z'), "{time}: {}", cell(time));
    }
    assert!(cell("BillingPeriodStart") <= cell("ChargePeriodStart"), "{row:?}");
    assert!(cell("ChargePeriodStart") < cell("ChargePeriodEnd"), "{row:?}");
    assert!(cell("ChargePeriodEnd") <= cell("BillingPeriodEnd"), "{row:?}");
}

#[test]
fn every_column_of_the_specification_is_there_and_ours_come_last() {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let expected: BTreeSet<&str> = MANDATORY.iter().map(|(name, _)| *name).chain(CONDITIONAL).collect();
    let (ours, theirs): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.starts_with("x_"));
    assert_eq!(theirs, expected.into_iter().collect::<Vec<_>>(), "in order, none missing, none invented");
    assert!(names.ends_with(&ours));
}

#[test]
fn a_charge_reads_like_this() {
    let mut charge = fake::charge();
    charge.account = Some("123456789012".into());
    charge.line.basis = Basis::Estimated;
    charge.line.item = "Fargate vCPU (price estimated)".into();
    let [row] = &rows(&[charge])[..] else { panic!() };
    check(row);
    for (name, cell) in [
        ("BilledCost", "0.004778889"),
        ("BillingAccountId", "123456789012"),
        ("BillingPeriodStart", "2026-11-01T00:00:00Z"),
        ("ChargeDescription", "Fargate vCPU (price estimated): 0.25 vCPU × 1700 s"),
        ("ChargePeriodStart", "2026-11-22T13:30:00Z"),
        ("ChargePeriodEnd", "2026-11-22T13:58:20Z"),
        ("ConsumedQuantity", "0.118055555555556"),
        ("ConsumedUnit", "vCPU-Hours"),
        ("ListUnitPrice", "0.04048"),
        ("ProviderName", "AWS"),
        ("RegionName", "US East (N. Virginia)"),
        ("ResourceType", "Task"),
        ("ResourceName", ""),
        ("ServiceName", "Amazon Elastic Container Service"),
        ("SkuPriceId", "us-east-1/vcpu_x86"),
        ("Tags", r#"{"labguard:owner":"ada","labguard:session":"admission-7k2m9q"}"#),
        ("x_Group", "ml-101"),
        ("x_PriceBasis", "estimated"),
    ] {
        assert_eq!(row[name], cell, "{name}");
    }
}

#[test]
fn what_the_sandbox_ran_is_nobodys_bill() {
    let [row] = &rows(&[fake::charge()])[..] else { panic!() };
    assert_eq!(
        (row["ProviderName"].as_str(), row["InvoiceIssuerName"].as_str()),
        ("labguard sandbox", "labguard sandbox")
    );
}

#[test]
fn every_item_has_a_service_a_unit_and_a_place_in_the_lists() {
    for item in Item::ALL {
        let line = CostLine {
            billed_as: Some(item),
            units: Units { of: 3_600, per: 3_600 },
            unit_price: Money::from_nanos(1_500),
            amount: Money::from_nanos(1_500),
            ..fake::charge().line
        };
        let [row] = &rows(&[Charge { line, ..fake::charge() }])[..] else { panic!() };
        check(row);
        assert_eq!(row["PricingCategory"] == "Dynamic", item.is_spot());
        assert!(!row["SkuId"].contains("spot"), "a SKU is the same however it is priced");
    }
}

#[test]
fn what_is_free_says_what_it_would_have_cost() {
    let line = CostLine { amount: Money::ZERO, ..fake::charge().line };
    let [row] = &rows(&[Charge { line, ..fake::charge() }])[..] else { panic!() };
    check(row);
    assert_eq!((row["BilledCost"].as_str(), row["ListCost"].as_str()), ("0.00", "0.004778889"));
}

proptest! {
    #[test]
    fn every_row_of_any_session_keeps_the_rules_and_billed_cost_is_the_receipt(record in any_session(), more in 0i64..100_000) {
        let now = record.closed_at.unwrap_or(record.heard_at).max(at(more));
        let charges = meter::charges(&record, &card(), None, None, now);
        let rows = rows(&charges);
        rows.iter().for_each(check);
        let billed: i128 = rows.iter().map(|row| atto(&row["BilledCost"])).sum();
        let receipt = meter::receipt(&record, &card(), now);
        prop_assert_eq!(billed, i128::from(receipt.total.nanos()) * 10i128.pow(9));
        let columns = super::super::export::csv(&charges).unwrap();
        let mut reader = ::csv::Reader::from_reader(columns.as_bytes());
        let plain: i128 = reader.deserialize().map(|row: Result<Cells, _>| atto(&row.unwrap()["amount"])).sum();
        prop_assert_eq!(plain, billed);
    }
}
