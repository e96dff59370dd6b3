//! The Price List: GetProducts with AWS's own prices, as far as they are known.
//!
//! Figures are those that were read of AWS (the project's AWS notes §2.2), written as AWS writes them: ten decimals,
//! tiers, and products beside them that are easily mistaken for one another. Guarantee: pages as AWS's are, of a hundred
//! at most. Never knows a price that nobody read.

use serde_json::{Map, Value, json};

use super::wire::{ApiError, required};

/// Service, region, usage type, unit, and the price of each tier.
type Product = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const ECS: &str = "AmazonECS";
const CLOUDWATCH: &str = "AmazonCloudWatch";
const HOME: &str = "us-east-1";

const PRODUCTS: [Product; 24] = [
    (ECS, HOME, "USE1-ECS-EC2-vCPU-Hours", "vCPU-Hours", &["0.0000000000"]),
    (ECS, HOME, "USE1-ECS-EC2-GB-Hours", "GB-Hours", &["0.0000000000"]),
    (ECS, HOME, "USE1-Fargate-ARM-vCPU-Hours:perCPU", "hours", &["0.0323800000"]),
    (ECS, HOME, "USE1-Fargate-ARM-GB-Hours", "hours", &["0.0035600000"]),
    (ECS, HOME, "USE1-Fargate-vCPU-Hours:perCPU", "hours", &["0.0404800000"]),
    (ECS, HOME, "USE1-Fargate-GB-Hours", "hours", &["0.0044450000"]),
    (ECS, HOME, "USE1-Fargate-EphemeralStorage-GB-Hours", "GB-Hours", &["0.0001110000"]),
    (ECS, "eu-central-1", "EUC1-Fargate-vCPU-Hours:perCPU", "hours", &["0.0465600000"]),
    (ECS, "eu-central-1", "EUC1-Fargate-GB-Hours", "hours", &["0.0051100000"]),
    (ECS, "ap-northeast-1", "APN1-Fargate-vCPU-Hours:perCPU", "hours", &["0.0505600000"]),
    (ECS, "ap-northeast-1", "APN1-Fargate-GB-Hours", "hours", &["0.0055300000"]),
    (ECS, "ap-northeast-1", "APN1-Fargate-EphemeralStorage-GB-Hours", "GB-Hours", &["0.0001330000"]),
    ("AmazonVPC", HOME, "USE1-PublicIPv4:InUseAddress", "Hrs", &["0.0050000000"]),
    ("AmazonVPC", HOME, "USE1-PublicIPv4:IdleAddress", "Hrs", &["0.0050000000"]),
    ("AmazonECR", HOME, "TimedStorage-ByteHrs", "GB-Mo", &["0.1000000000"]),
    (CLOUDWATCH, HOME, "CW:MetricMonitorUsage", "Metrics", &["0.3000000000", "0.1000000000", "0.0500000000"]),
    (CLOUDWATCH, HOME, "CW:Requests", "Requests", &["0.0000100000"]),
    (CLOUDWATCH, HOME, "CW:AlarmMonitorUsage", "Alarms", &["0.1000000000"]),
    (CLOUDWATCH, HOME, "CW:HighResAlarmMonitorUsage", "Alarms", &["0.3000000000"]),
    (CLOUDWATCH, HOME, "DataProcessing-Bytes", "GB", &["0.5000000000"]),
    (CLOUDWATCH, HOME, "TimedStorage-ByteHrs", "GB-Mo", &["0.0300000000"]),
    ("AWSELB", HOME, "LoadBalancerUsage", "Hrs", &["0.0225000000"]),
    ("AWSELB", HOME, "LCUUsage", "LCU-Hrs", &["0.0080000000"]),
    ("AWSDataTransfer", HOME, "DataTransfer-Out-Bytes", "GB", &["0.0900000000", "0.0850000000"]),
];

/// Services that AWS has prices of, as far as the sandbox knows them.
const SERVICES: [&str; 9] = [
    ECS,
    "AmazonVPC",
    "AmazonECR",
    CLOUDWATCH,
    "AWSELB",
    "AWSDataTransfer",
    "AWSSecretsManager",
    "awskms",
    "AmazonEC2",
];

/// One call.
///
/// # Errors
/// `InvalidParameterException` for an unknown service or a bad filter; `UnknownOperationException` for what the sandbox
/// does not have.
pub fn call(op: &str, input: &Value) -> Result<Value, ApiError> {
    match op {
        "GetProducts" => get_products(input),
        other => Err(ApiError::unknown_operation(other)),
    }
}

fn get_products(input: &Value) -> Result<Value, ApiError> {
    let service = required(input, "ServiceCode")?;
    if !SERVICES.contains(&service) {
        return Err(ApiError::bad(
            "InvalidParameterException",
            format!("Input Parameters are invalid. ServiceCode {service}"),
        ));
    }
    let mut wanted = Vec::new();
    for filter in input["Filters"].as_array().into_iter().flatten() {
        let (Some("TERM_MATCH"), Some(field), Some(value)) =
            (filter["Type"].as_str(), filter["Field"].as_str(), filter["Value"].as_str())
        else {
            return Err(ApiError::bad("InvalidParameterException", "Input Parameters are invalid. Filters"));
        };
        wanted.push((field, value));
    }
    let size = match &input["MaxResults"] {
        Value::Null => 100,
        given => given
            .as_u64()
            .filter(|size| (1..=100).contains(size))
            .ok_or_else(|| ApiError::bad("InvalidParameterException", "MaxResults must be between 1 and 100."))?,
    };
    let first: usize = match input["NextToken"].as_str() {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|at| at.parse().ok())
            .ok_or_else(|| ApiError::bad("InvalidNextTokenException", "The pagination token is invalid."))?,
    };
    let found: Vec<Value> = PRODUCTS
        .iter()
        .enumerate()
        .filter(|(_, product)| product.0 == service)
        .map(|(number, product)| listed(number, *product))
        .filter(|listed| wanted.iter().all(|(field, value)| listed["product"]["attributes"][*field] == **value))
        .collect();
    let size = usize::try_from(size).unwrap_or(100);
    let page: Vec<String> = found.iter().skip(first).take(size).map(Value::to_string).collect();
    let next = first + page.len();
    let mut answer = json!({ "FormatVersion": "aws_v1", "PriceList": page });
    if next < found.len() {
        answer["NextToken"] = format!("page-{next}").into();
    }
    Ok(answer)
}

/// A product with its terms.
fn listed(number: usize, (service, region, usage, unit, tiers): Product) -> Value {
    let sku = format!("LABGUARDSKU{number:05}");
    let mut attributes = json!({
        "servicecode": service, "usagetype": usage, "operation": "", "servicename": service,
    });
    if service == "AWSDataTransfer" {
        attributes["fromRegionCode"] = region.into();
        attributes["fromLocationType"] = "AWS Region".into();
        attributes["toLocation"] = "External".into();
        attributes["transferType"] = "AWS Outbound".into();
    } else {
        attributes["regionCode"] = region.into();
        attributes["locationType"] = "AWS Region".into();
    }
    if service == "AWSELB" {
        attributes["operation"] = "LoadBalancing:Application".into();
    }
    let last = tiers.len().saturating_sub(1);
    let dimensions: Map<String, Value> = tiers
        .iter()
        .enumerate()
        .map(|(tier, price)| {
            let rate = format!("{sku}.JRTCKXETXF.{tier}");
            let end = if tier == last { "Inf".to_owned() } else { ((tier + 1) * 10_000).to_string() };
            let dimension = json!({
                "rateCode": rate, "unit": unit, "beginRange": (tier * 10_000).to_string(), "endRange": end,
                "description": format!("${price} per {unit}"), "appliesTo": [], "pricePerUnit": { "USD": price },
            });
            (rate, dimension)
        })
        .collect();
    let term = json!({
        "offerTermCode": "JRTCKXETXF", "sku": sku, "effectiveDate": "2026-09-01T00:00:00Z",
        "priceDimensions": dimensions, "termAttributes": {},
    });
    json!({
        "product": { "productFamily": "Compute", "sku": sku, "attributes": attributes },
        "serviceCode": service,
        "terms": { "OnDemand": { (format!("{sku}.JRTCKXETXF")): term } },
        "version": "20261009120000",
        "publicationDate": "2026-10-09T12:00:00Z",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(input: Value) -> Result<Value, ApiError> {
        call("GetProducts", &input)
    }

    #[test]
    fn pages_follow_one_another_until_all_products_of_the_region_came() {
        let filters = json!([{ "Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1" }]);
        let mut input = json!({ "ServiceCode": "AmazonECS", "Filters": filters, "MaxResults": 3 });
        let mut seen = Vec::new();
        loop {
            let page = ask(input.clone()).unwrap();
            seen.extend(page["PriceList"].as_array().unwrap().clone());
            match page["NextToken"].as_str() {
                Some(token) => input["NextToken"] = token.into(),
                None => break,
            }
        }
        assert_eq!(seen.len(), 7);
        // Each is a text, as AWS has it.
        let first: Value = serde_json::from_str(seen[0].as_str().unwrap()).unwrap();
        assert_eq!(first["product"]["attributes"]["usagetype"], "USE1-ECS-EC2-vCPU-Hours");
    }

    #[test]
    fn what_aws_refuses_is_refused() {
        for input in [
            json!({}),
            json!({ "ServiceCode": "AmazonNothing" }),
            json!({ "ServiceCode": "AmazonECS", "Filters": [{ "Field": "regionCode" }] }),
            json!({ "ServiceCode": "AmazonECS", "MaxResults": 101 }),
        ] {
            assert_eq!(ask(input).unwrap_err().code, "InvalidParameterException");
        }
        let token = ask(json!({ "ServiceCode": "AmazonECS", "NextToken": "x" })).unwrap_err();
        assert_eq!(token.code, "InvalidNextTokenException");
        assert_eq!(call("GetPriceListFileUrl", &json!({})).unwrap_err().code, "UnknownOperationException");
    }
}
