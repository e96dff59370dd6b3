//! Lines of cost as the FinOps Open Cost and Usage Specification has them, version 1.2.
//!
//! Guarantees: every column that the specification makes mandatory for such charges is there; what is not known is null
//! (an empty cell), never a placeholder; BilledCost adds up to what the sessions cost; a guessed price says so
//! (`x_PriceBasis`). Must never call what the sandbox ran a charge of AWS.

mod vocabulary;

use crate::domain::model::{
    Charge, Item, Money, OWNER_TAG, ResourceKind, SANDBOX_ACCOUNT, SESSION_TAG, Span, Timestamp,
};

use super::export::{basis, decimal, written};

/// One column: its name, and a charge's cell in it; nothing is null.
type Column = (&'static str, fn(&Row<'_>) -> Option<String>);

/// A charge, and what is asked of it more than once.
struct Row<'c> {
    charge: &'c Charge,
    /// What is used; absent for credits.
    item: Option<Item>,
    /// By its list price, before what is free.
    list: Money,
}

impl<'c> Row<'c> {
    fn of(charge: &'c Charge) -> Self {
        let (line, item) = (&charge.line, charge.line.billed_as);
        // What is free has a price all the same, and the row says what it would have cost.
        let priced = || line.unit_price.fraction_ceil(u128::from(line.units.of), u128::from(line.units.per));
        let list = if item.is_some() && line.amount == Money::ZERO { priced() } else { line.amount };
        Self { charge, item, list }
    }

    fn service(&self) -> vocabulary::Service {
        self.item.map_or(vocabulary::CREDITS, vocabulary::of)
    }

    fn issuer(&self) -> Option<String> {
        let sandbox = self.charge.account.as_deref() == Some(SANDBOX_ACCOUNT);
        Some(if sandbox { "labguard sandbox" } else { "AWS" }.to_owned())
    }

    /// Absent where AWS never said what it is called.
    fn resource(&self) -> Option<String> {
        self.charge.resource_id.clone()
    }

    fn kind(&self) -> Option<ResourceKind> {
        self.charge.line.key.map(|key| key.kind)
    }

    fn quantity(&self) -> Option<String> {
        let units = self.charge.line.units;
        self.item.map(|_| quotient(units.of, units.per))
    }

    fn unit_price(&self) -> Option<String> {
        self.item.map(|_| decimal(self.charge.line.unit_price))
    }
}

fn usage(row: &Row<'_>, text: &str) -> Option<String> {
    row.item.map(|_| text.to_owned())
}

/// Every column, those of the specification first.
const COLUMNS: [Column; 57] = [
    ("AvailabilityZone", |_| None),
    ("BilledCost", |row| Some(decimal(row.charge.line.amount))),
    ("BillingAccountId", |row| Some(account(row))),
    // An account's name is the organisation's: labguard does not ask for it.
    ("BillingAccountName", |row| Some(account(row))),
    ("BillingCurrency", |_| Some("USD".to_owned())),
    ("BillingPeriodEnd", |row| Some(second(row.charge.month.1))),
    ("BillingPeriodStart", |row| Some(second(row.charge.month.0))),
    ("CapacityReservationId", |_| None),
    ("CapacityReservationStatus", |_| None),
    ("ChargeCategory", |row| Some(if row.item.is_some() { "Usage" } else { "Credit" }.to_owned())),
    ("ChargeClass", |_| None),
    ("ChargeDescription", |row| Some(description(row.charge))),
    ("ChargeFrequency", |row| Some(if row.item.is_some() { "Usage-Based" } else { "One-Time" }.to_owned())),
    ("ChargePeriodEnd", |row| Some(end(row.charge))),
    ("ChargePeriodStart", |row| Some(second(row.charge.from))),
    ("CommitmentDiscountCategory", |_| None),
    ("CommitmentDiscountId", |_| None),
    ("CommitmentDiscountName", |_| None),
    ("CommitmentDiscountQuantity", |_| None),
    ("CommitmentDiscountStatus", |_| None),
    ("CommitmentDiscountType", |_| None),
    ("CommitmentDiscountUnit", |_| None),
    ("ConsumedQuantity", |row| {
        let counted = row.item.and_then(vocabulary::counted);
        counted.map(|_| row.charge.line.units.of.to_string()).or_else(|| row.quantity())
    }),
    ("ConsumedUnit", |row| row.item.map(|item| vocabulary::counted(item).unwrap_or(vocabulary::unit(item)).to_owned())),
    ("ContractedCost", |row| Some(decimal(row.list))),
    ("ContractedUnitPrice", |row| row.unit_price()),
    ("EffectiveCost", |row| Some(decimal(row.charge.line.amount))),
    ("InvoiceId", |_| None),
    ("InvoiceIssuerName", |row| row.issuer()),
    ("ListCost", |row| Some(decimal(row.list))),
    ("ListUnitPrice", |row| row.unit_price()),
    ("PricingCategory", |row| row.item.map(|item| if item.is_spot() { "Dynamic" } else { "Standard" }.to_owned())),
    ("PricingCurrency", |_| Some("USD".to_owned())),
    ("PricingQuantity", |row| row.quantity()),
    ("PricingUnit", |row| row.item.map(|item| vocabulary::unit(item).to_owned())),
    ("ProviderName", |row| row.issuer()),
    ("PublisherName", |row| row.issuer()),
    ("RegionId", |row| Some(row.charge.region.clone()).filter(|region| !region.is_empty())),
    ("RegionName", |row| Some(vocabulary::region(&row.charge.region).to_owned()).filter(|region| !region.is_empty())),
    ("ResourceId", |row| row.resource()),
    // A task has no name of its own.
    ("ResourceName", |row| {
        row.resource().and(row.charge.resource_name.clone()).filter(|_| row.kind() != Some(ResourceKind::Task))
    }),
    ("ResourceType", |row| {
        row.resource().and(row.kind()).map(|kind| {
            let word = kind.describe();
            word[..1].to_uppercase() + &word[1..]
        })
    }),
    ("ServiceCategory", |row| Some(row.service().category.to_owned())),
    ("ServiceName", |row| Some(row.service().name.to_owned())),
    ("ServiceSubcategory", |row| Some(row.service().subcategory.to_owned())),
    ("SkuId", |row| row.item.map(|item| vocabulary::sku(item).key().to_owned())),
    ("SkuMeter", |row| row.item.map(|item| vocabulary::sku(item).describe().to_owned())),
    ("SkuPriceDetails", |_| None),
    ("SkuPriceId", |row| row.item.map(|item| format!("{}/{}", row.charge.region, item.key()))),
    ("SubAccountId", |row| row.charge.account.clone()),
    ("SubAccountName", |row| row.charge.account.clone()),
    ("Tags", tags),
    ("x_Group", |row| Some(row.charge.group.clone()).filter(|group| !group.is_empty())),
    ("x_Owner", |row| Some(row.charge.owner.clone())),
    ("x_Policy", |row| Some(row.charge.name.clone())),
    ("x_PriceBasis", |row| usage(row, &basis(row.charge))),
    ("x_Session", |row| Some(row.charge.session.to_string())),
];

/// The charges, under FOCUS's column names.
///
/// # Errors
/// When the rows do not fit the headings (a bug).
pub(super) fn csv(charges: &[Charge]) -> Result<String, csv::Error> {
    let rows = charges.iter().map(|charge| {
        let row = Row::of(charge);
        COLUMNS.map(|(_, cell)| cell(&row).unwrap_or_default())
    });
    written(&COLUMNS.map(|(name, _)| name), rows)
}

fn account(row: &Row<'_>) -> String {
    row.charge.account.clone().unwrap_or_else(|| "unknown".to_owned())
}

fn description(charge: &Charge) -> String {
    let line = &charge.line;
    if line.quantity.is_empty() { line.item.clone() } else { format!("{}: {}", line.item, line.quantity) }
}

/// What is on the resource; what has no resource bears no tag.
fn tags(row: &Row<'_>) -> Option<String> {
    row.charge.line.key?;
    let tags = serde_json::json!({ OWNER_TAG: row.charge.owner, SESSION_TAG: row.charge.session });
    Some(tags.to_string())
}

/// To the second, rounded down.
fn second(at: Timestamp) -> String {
    Timestamp::from_millis(at.as_secs() * 1000).to_string()
}

/// To the second, rounded up: a charge lasts a second at least, within its month.
fn end(charge: &Charge) -> String {
    let least = Timestamp::from_millis(charge.from.as_secs() * 1000) + Span::from_secs(1);
    let up = charge.until + Span::from_millis(999);
    second(up.max(least).min(charge.month.1))
}

/// `of ÷ per` with up to fifteen decimals, rounded to the nearest; integers only.
fn quotient(of: u64, per: u64) -> String {
    const SCALE: u128 = 1_000_000_000_000_000;
    let (of, per) = (u128::from(of), u128::from(per.max(1)));
    let scaled = (of * SCALE * 2 + per) / (per * 2);
    let text = format!("{}.{:015}", scaled / SCALE, scaled % SCALE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
