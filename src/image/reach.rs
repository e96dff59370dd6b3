//! Which registry a reference means, and with whose login it is reached.
//!
//! AWS's token goes to ECR hosts and to the account's configured registry only; every other host gets Docker's stored
//! login for it, or none.

use std::sync::Arc;

use super::{
    login::{Keys, Login},
    reference::Reference,
    registry::{Registry, broken},
    wire::Wire,
};
use crate::{
    cloud::{Cloud, RegistryLogin},
    domain::model::Fault,
};

fn wire(cloud: Option<&Cloud>) -> Result<Wire, Fault> {
    match cloud.and_then(Cloud::registry_transport) {
        Some(transport) => Ok(Wire::Memory(transport)),
        None => Wire::tcp().map_err(|error| broken("registry:Connect", "Connection", error)),
    }
}

/// With AWS's token, and the one that is known already.
fn with_token(cloud: &Cloud, endpoint: String, login: RegistryLogin) -> Result<Registry, Fault> {
    Ok(Registry::new(wire(Some(cloud))?, endpoint, Login::with(Keys::ecr(cloud), login.authorization)))
}

/// The account's own registry.
///
/// # Errors
/// AWS's refusal of a login.
pub(super) async fn account(cloud: &Cloud) -> Result<Registry, Fault> {
    let login = cloud.registry_login().await?;
    let endpoint = login.endpoint.clone();
    with_token(cloud, endpoint, login)
}

/// The registry that a reference names.
///
/// # Errors
/// AWS's refusal of a login.
pub(super) async fn reference(cloud: Option<&Cloud>, reference: &Reference) -> Result<Arc<Registry>, Fault> {
    let ecr = reference.host.contains(".dkr.ecr.") || reference.host.contains(".dkr-ecr.");
    if let Some(cloud) = cloud
        && (ecr || cloud.has_own_registry())
    {
        let login = cloud.registry_login().await?;
        let host = login.endpoint.split_once("://").map_or(login.endpoint.as_str(), |(_, host)| host);
        let same = host == reference.host;
        // An override stands for the account's own registry, whatever that is called.
        if ecr || same {
            cloud.note_actions(&["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
            let own = same || cloud.has_own_registry();
            let endpoint = if own { login.endpoint.clone() } else { reference.endpoint() };
            return with_token(cloud, endpoint, login).map(Arc::new);
        }
    }
    let login = Login::new(Keys::stored(&reference.host));
    Ok(Arc::new(Registry::new(wire(cloud)?, reference.endpoint(), login)))
}
