//! Prices for people and programs: what each item costs, how sure that is, since when, and who says so.

use serde_json::{Value, json};

use super::{
    BOLD, DIM, Look, NOTICE,
    columns::{Cell, table},
};
use crate::{
    daemon::rates::{Shown, Taken},
    domain::model::{Basis, Item},
    rates::Change,
};

const fn word(basis: Basis) -> &'static str {
    match basis {
        Basis::Published => "published",
        Basis::Imported => "AWS",
        Basis::Given => "given",
        Basis::Estimated => "estimated",
        Basis::Unpriced => "none",
    }
}

/// All items of a region with their prices; old ones are noticed.
#[must_use]
pub fn card(look: Look, Shown { card, old, .. }: &Shown) -> String {
    let row = |item: Item| {
        let name = vec![Cell::new(item.key()), Cell::new(item.describe())];
        let rest = match card.price(item) {
            Some(price) => {
                let basis = Cell::new(word(price.basis));
                let basis = if price.basis == Basis::Estimated { basis.styled(NOTICE) } else { basis };
                let as_of = Cell::new(if price.as_of.is_empty() { "-" } else { &price.as_of });
                vec![
                    Cell::new(price.amount.exact()).right(),
                    Cell::new(item.unit()),
                    basis,
                    if old.contains(&item) { as_of.styled(NOTICE) } else { as_of },
                    Cell::new(price.source.as_str()).styled(DIM),
                ]
            }
            None => vec![
                Cell::new("-").right(),
                Cell::new(item.unit()),
                Cell::new(word(Basis::Unpriced)).styled(NOTICE),
                Cell::new("-"),
                Cell::new(""),
            ],
        };
        name.into_iter().chain(rest).collect()
    };
    let rows: Vec<Vec<Cell>> = Item::ALL.into_iter().map(row).collect();
    let headings = ["key", "item", "price", "per", "from", "as of", "source"];
    format!("{}\n{}", look.paint(BOLD, &format!("prices in {}", card.region)), table(look, &headings, &rows))
}

/// The same for programs.
#[must_use]
pub fn document(Shown { card, old, warning }: &Shown) -> Value {
    let prices = card.prices.iter().map(|(item, price)| {
        json!({
            "item": item, "description": item.describe(), "amount": price.amount, "unit": item.unit(),
            "basis": price.basis, "as_of": (!price.as_of.is_empty()).then_some(&price.as_of), "source": price.source,
            "old": old.contains(item),
        })
    });
    let warnings: Vec<&String> = warning.iter().collect();
    json!({ "region": card.region, "prices": prices.collect::<Vec<_>>(), "warnings": warnings })
}

/// What an import changed.
#[must_use]
pub fn changes(look: Look, changes: &[Change]) -> String {
    let rows: Vec<Vec<Cell>> = changes
        .iter()
        .map(|change| {
            let before = change.before.as_ref().map_or_else(|| "-".to_owned(), |price| price.amount.exact());
            vec![
                change.region.as_str().into(),
                change.item.key().into(),
                Cell::new(before).right(),
                Cell::new(change.now.amount.exact()).right(),
                change.item.unit().into(),
                change.now.as_of.as_str().into(),
                Cell::new(change.now.source.as_str()).styled(DIM),
            ]
        })
        .collect();
    table(look, &["region", "item", "before", "now", "per", "as of", "source"], &rows)
}

/// What was taken, for programs.
#[must_use]
pub fn taken_document(taken: &Taken) -> Value {
    let changes = taken.changes.iter().map(|change| {
        json!({
            "region": change.region, "item": change.item, "before": change.before.as_ref().map(|price| price.amount),
            "now": change.now.amount, "unit": change.item.unit(), "as_of": change.now.as_of, "source": change.now.source,
        })
    });
    json!({
        "sources": taken.imported.sources, "taken": taken.imported.count(), "changes": changes.collect::<Vec<_>>(),
        "left_out": taken.imported.left_out, "file": taken.file,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::model::{Money, Price, RateCard};

    #[test]
    fn each_price_says_what_it_is_for_how_sure_it_is_and_since_when() {
        let price = |nanos, basis, as_of: &str, source: &str| Price {
            amount: Money::from_nanos(nanos),
            basis,
            as_of: as_of.to_owned(),
            source: source.to_owned(),
        };
        let prices = BTreeMap::from([
            (Item::VcpuX86, price(40_480_000, Basis::Imported, "2026-09-29", "AmazonECS 20260929")),
            (Item::MemoryX86, price(0, Basis::Given, "", "given in a.toml:2")),
        ]);
        let it = RateCard { region: "us-east-1".to_owned(), prices };
        let it = Shown { card: it, old: vec![Item::VcpuX86], warning: Some("old".to_owned()) };
        let shown = card(Look::PLAIN, &it);
        let squeezed: Vec<String> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(squeezed[0], "prices in us-east-1");
        assert_eq!(squeezed[2], "vcpu_x86 Fargate vCPU 0.04048 USD vCPU-hour AWS 2026-09-29 AmazonECS 20260929");
        assert_eq!(squeezed[3], "memory_x86 Fargate memory 0.00 USD GB-hour given - given in a.toml:2");
        assert_eq!(squeezed[4], "vcpu_arm Fargate vCPU (ARM) - vCPU-hour none -");
        let document = document(&it);
        assert_eq!(document["prices"][0]["old"], true);
        assert_eq!(document["prices"][1]["as_of"], Value::Null);
        assert_eq!(document["warnings"][0], "old");
    }
}
