//! Lines of cost as CSV, one row a line, for spreadsheets and scripts.
//!
//! Guarantees: amounts and prices are exact decimals; the rows add up to what the sessions cost; what is not known is empty.

use crate::domain::model::{Charge, Money};

const COLUMNS: [&str; 22] = [
    "session",
    "policy",
    "owner",
    "group",
    "account",
    "region",
    "month",
    "from",
    "until",
    "resource",
    "resource_name",
    "resource_id",
    "item",
    "key",
    "quantity",
    "units_of",
    "units_per",
    "unit",
    "unit_price",
    "price_basis",
    "amount",
    "currency",
];

/// The charges, under their headings.
///
/// # Errors
/// When the rows do not fit the headings (a bug).
pub(super) fn csv(charges: &[Charge]) -> Result<String, csv::Error> {
    let rows = charges.iter().map(|charge| {
        let line = &charge.line;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            charge.session.to_string(),
            charge.name.clone(),
            charge.owner.clone(),
            charge.group.clone(),
            text(&charge.account),
            charge.region.clone(),
            charge.month.0.to_string().chars().take(7).collect(),
            charge.from.to_string(),
            charge.until.to_string(),
            line.key.map(String::from).unwrap_or_default(),
            text(&charge.resource_name),
            text(&charge.resource_id),
            line.item.clone(),
            line.billed_as.map(|item| item.key().to_owned()).unwrap_or_default(),
            line.quantity.clone(),
            line.units.of.to_string(),
            line.units.per.to_string(),
            line.unit.clone(),
            decimal(line.unit_price),
            basis(charge),
            decimal(line.amount),
            "USD".to_owned(),
        ]
    });
    written(&COLUMNS, rows)
}

/// Rows under their headings.
pub(super) fn written<const N: usize>(
    headings: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(headings)?;
    for row in rows {
        writer.write_record(&row)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    // Only texts went in.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An amount without its currency: `0.012345678`.
pub(super) fn decimal(money: Money) -> String {
    money.exact().trim_end_matches(" USD").to_owned()
}

/// How sure the price of a charge is, as JSON writes it.
pub(super) fn basis(charge: &Charge) -> String {
    serde_json::to_value(charge.line.basis).ok().and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;

    #[test]
    fn a_row_reads_like_this_and_texts_with_commas_stay_whole() {
        let mut charge = fake::charge();
        charge.owner = "Lovelace, \"Ada\"".into();
        let text = csv(&[charge]).unwrap();
        let expected = "\
session,policy,owner,group,account,region,month,from,until,resource,resource_name,resource_id,item,key,quantity,units_of,units_per,unit,unit_price,price_basis,amount,currency
admission-7k2m9q,admission,\"Lovelace, \"\"Ada\"\"\",ml-101,000000000000,us-east-1,2026-11,2026-11-22T13:30:00Z,2026-11-22T13:58:20Z,task/1,token-1,arn:aws:ecs:us-east-1:000000000000:task/lab/1,Fargate vCPU,vcpu_x86,0.25 vCPU × 1700 s,435200,3686400,vCPU-hour,0.04048,published,0.004778889,USD
";
        assert_eq!(text, expected);
    }
}
