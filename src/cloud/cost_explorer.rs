//! Cost Explorer: what AWS says that the things of one session cost, by usage type (aws-facts §6.5).
//!
//! One call, on [`super::signed`]. Gross: credits and refunds are left out, as labguard's own count leaves them out.
//! Guarantees: all pages; amounts are rounded to the nano-dollar once, in the sum. Must never be asked by a guard: AWS's
//! account comes hours to days late, and every request costs money.

use std::collections::BTreeMap;

use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::json;

use super::{
    Cloud,
    calls::Note,
    fault::{self, Refusal},
    signed::{self, Call, Service, ServiceError},
};
use crate::domain::model::{Fault, FaultClass, Money, SESSION_TAG, SessionId};

/// AWS serves the accounts of all regions from here.
const HOME: &str = "us-east-1";

const GET: &str = "ce:GetCostAndUsage";

const COST_EXPLORER: Service = Service {
    name: "ce",
    id: "Cost Explorer",
    version: "2017-10-25",
    content_type: "application/x-amz-json-1.1",
    target: Some("AWSInsightsIndexService"),
    refusal: signed::json_refusal,
};

/// Cost Explorer at one endpoint.
pub(crate) struct CostExplorer {
    get: Call,
}

impl CostExplorer {
    /// With everything from the shared configuration; `endpoint` overrides it.
    pub(crate) fn new(sdk: &SdkConfig, endpoint: Option<&str>, note: Note) -> Self {
        let endpoint = COST_EXPLORER.endpoint(sdk, endpoint, format!("https://ce.{HOME}.amazonaws.com"));
        Self { get: COST_EXPLORER.operation(sdk, "GetCostAndUsage", HOME, &endpoint, note) }
    }
}

/// What AWS says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Account {
    /// By usage type; empty where AWS knows of nothing.
    pub lines: Vec<(String, Money)>,
    /// Whether any day of it is still an estimate.
    pub estimated: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    results_by_time: Vec<Day>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Day {
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    estimated: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    keys: Vec<String>,
    metrics: BTreeMap<String, Amount>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Amount {
    amount: String,
}

impl Cloud {
    /// What bears a session's tag cost from one day (`YYYY-MM-DD`) to another, that one not included.
    ///
    /// # Errors
    /// AWS's refusal, or an answer that is not in its shape.
    pub async fn account_of(&self, session: &SessionId, from: &str, until: &str) -> Result<Account, Fault> {
        let unusable = |why: String| {
            Fault::from(Refusal::<ServiceError> {
                fault: fault::own(FaultClass::Transient, GET, "UnusableAnswer", why, None),
                error: None,
            })
        };
        let (mut sums, mut account) = (BTreeMap::<String, i128>::new(), Account::default());
        let mut next: Option<String> = None;
        loop {
            let mut body = json!({
                "TimePeriod": { "Start": from, "End": until },
                "Granularity": "DAILY",
                "Metrics": ["UnblendedCost"],
                "GroupBy": [{ "Type": "DIMENSION", "Key": "USAGE_TYPE" }],
                "Filter": { "And": [
                    { "Tags": { "Key": SESSION_TAG, "Values": [session], "MatchOptions": ["EQUALS"] } },
                    { "Not": { "Dimensions": { "Key": "RECORD_TYPE", "Values": ["Credit", "Refund"] } } },
                ] },
            });
            if let Some(token) = &next {
                body["NextPageToken"] = token.as_str().into();
            }
            let sent = self.inner.cost_explorer.get.invoke(body.to_string());
            let text: String = self.call(GET, sent).await.map_err(Fault::from)?;
            let page: Page = serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
            for day in page.results_by_time {
                account.estimated |= day.estimated;
                for Group { keys, metrics } in day.groups {
                    let amount = metrics.get("UnblendedCost").map_or("0", |cost| cost.amount.as_str());
                    let amount = picos(amount).ok_or_else(|| unusable(format!("{amount:?} is no amount")))?;
                    *sums.entry(keys.into_iter().next().unwrap_or_default()).or_default() += amount;
                }
            }
            let token = page.next_page_token.filter(|token| !token.is_empty());
            // The same page again would never end.
            if token.is_none() || token == next {
                break;
            }
            next = token;
        }
        let nanos = |picos: i128| i64::try_from((picos + 500).div_euclid(1000)).unwrap_or(i64::MAX);
        let lines = sums.into_iter().filter(|(_, amount)| *amount != 0);
        account.lines = lines.map(|(kind, amount)| (kind, Money::from_nanos(nanos(amount)))).collect();
        Ok(account)
    }
}

/// `0.0101200000` or `2.5E-8` in billionths of a milli-dollar; what is smaller is cut off.
fn picos(text: &str) -> Option<i128> {
    let (digits, exponent) = text.split_once(['E', 'e']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if whole.is_empty() || all.len() > 30 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: i128 = all.parse().ok()?;
    let shift = 12 + exponent - i32::try_from(fraction.len()).ok()?;
    let power = 10i128.checked_pow(shift.unsigned_abs())?;
    let value = if shift < 0 { value / power } else { value.checked_mul(power)? };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    #[test]
    fn amounts_are_read_as_cost_explorer_writes_them() {
        for (text, picos) in [
            ("0.01012", 10_120_000_000),
            ("0", 0),
            ("12", 12_000_000_000_000),
            ("2.5E-8", 25_000),
            ("-0.5", -500_000_000_000),
            ("0.0000000000004", 0),
        ] {
            assert_eq!(super::picos(text), Some(picos), "{text}");
        }
        for wrong in ["", ".5", "1,5", "USD 1", "1E", "9999999999999999999999999999999"] {
            assert_eq!(super::picos(wrong), None, "{wrong}");
        }
    }
}
