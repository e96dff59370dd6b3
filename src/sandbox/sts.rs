//! STS: who am I.
//!
//! Guarantees: the account is twelve zeros, which AWS gives to nobody. Never hands out credentials.

use super::{params::Params, state::World, wire::ApiError, xml::XmlBody};

/// One call.
///
/// # Errors
/// `InvalidAction` for anything but GetCallerIdentity.
pub fn call(world: &mut World, op: &str, _params: &Params) -> Result<XmlBody, ApiError> {
    match op {
        "GetCallerIdentity" => {
            let mut body = XmlBody::new();
            body.text("Arn", format!("arn:aws:iam::{}:user/labguard-sandbox", world.account))
                .text("UserId", "AIDALABGUARDSANDBOX00")
                .text("Account", &world.account);
            Ok(body)
        }
        _ => Err(ApiError::invalid_action(op)),
    }
}
