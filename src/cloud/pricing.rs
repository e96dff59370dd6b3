//! The Price List: what AWS says it charges, product by product, as JSON in a text.
//!
//! One call of a service with four, on [`super::signed`] (no aws-sdk-pricing: see docs/decisions). Guarantee: all pages.
//! Must never read a price: that is the rates' work.

use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::json;

use super::{
    Cloud,
    calls::Note,
    fault::{self, Refusal},
    signed::{self, Call, Service, ServiceError},
};
use crate::domain::model::{Fault, FaultClass};

/// AWS serves the prices of all regions from here.
const HOME: &str = "us-east-1";

/// The most that AWS gives in one page.
const PAGE: u32 = 100;

const GET_PRODUCTS: &str = "pricing:GetProducts";

const PRICING: Service = Service {
    name: "pricing",
    id: "Pricing",
    version: "2017-10-15",
    content_type: "application/x-amz-json-1.1",
    target: Some("AWSPriceListService"),
    refusal: signed::json_refusal,
};

/// The Price List at one endpoint.
pub(crate) struct Pricing {
    get_products: Call,
}

impl Pricing {
    /// With everything from the shared configuration; `endpoint` overrides it.
    pub(crate) fn new(sdk: &SdkConfig, endpoint: Option<&str>, note: Note) -> Self {
        let endpoint = PRICING.endpoint(sdk, endpoint, format!("https://api.pricing.{HOME}.amazonaws.com"));
        Self { get_products: PRICING.operation(sdk, "GetProducts", HOME, &endpoint, note) }
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(rename = "PriceList", default)]
    products: Vec<String>,
    #[serde(rename = "NextToken", default)]
    next: Option<String>,
}

impl Cloud {
    /// Every product of a service in a region, each as AWS's own JSON. `field` is the attribute that holds the region.
    ///
    /// # Errors
    /// AWS's refusal, or an answer that is not in its shape.
    pub async fn products(&self, service: &str, field: &str, region: &str) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut body = json!({
                "ServiceCode": service,
                "Filters": [{ "Type": "TERM_MATCH", "Field": field, "Value": region }],
                "FormatVersion": "aws_v1",
                "MaxResults": PAGE,
            });
            if let Some(token) = &next {
                body["NextToken"] = token.as_str().into();
            }
            let sent = self.inner.pricing.get_products.invoke(body.to_string());
            let text: String = self.call(GET_PRODUCTS, sent).await.map_err(Fault::from)?;
            let page: Page = serde_json::from_str(&text).map_err(|error| {
                Fault::from(Refusal::<ServiceError> {
                    fault: fault::own(FaultClass::Transient, GET_PRODUCTS, "UnusableAnswer", error.to_string(), None),
                    error: None,
                })
            })?;
            found.extend(page.products);
            let token = page.next.filter(|token| !token.is_empty());
            // The same page again would never end.
            if token.is_none() || token == next {
                return Ok(found);
            }
            next = token;
        }
    }
}
