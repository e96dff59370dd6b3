//! Network interfaces: a task's public address, and what holds a security group (aws-facts §1.8, §4).

use std::collections::BTreeMap;

use super::{answers::Interfaces, client::Params};
use crate::{
    cloud::Cloud,
    domain::model::{Fault, FaultClass, TaskFacts},
};

const DESCRIBE: &str = "ec2:DescribeNetworkInterfaces";

impl Cloud {
    /// Fills in the public address of every task that has an interface and is not over, in one call; or says why that
    /// cannot be had. What ECS says of the tasks is worth knowing all the same.
    pub(crate) async fn resolve_addresses(&self, tasks: &mut [TaskFacts]) -> Option<Fault> {
        let mut wanted: Vec<String> =
            tasks.iter().filter(|task| !task.is_stopped()).filter_map(|task| task.eni.clone()).collect();
        wanted.sort();
        wanted.dedup();
        let addresses = match self.addresses(wanted).await {
            Ok(addresses) => addresses,
            Err(fault) => return Some(fault),
        };
        for task in tasks {
            if let Some(address) = task.eni.as_ref().and_then(|eni| addresses.get(eni)) {
                task.public_ip = Some(address.clone());
            }
        }
        None
    }

    /// By id, since a filter query may hide managed interfaces. One id that is gone fails the whole call,
    /// so those that AWS names are left out and the rest is asked for again.
    async fn addresses(&self, mut wanted: Vec<String>) -> Result<BTreeMap<String, String>, Fault> {
        let mut found = BTreeMap::new();
        while !wanted.is_empty() {
            let batch: Vec<String> = wanted.iter().take(200).cloned().collect();
            let params = Params::new().list("NetworkInterfaceId", batch.iter().map(String::as_str));
            match self.ec2::<Interfaces>(DESCRIBE, params).await.map_err(Fault::from) {
                Ok(answer) => {
                    for interface in answer.interfaces.item {
                        if let Some(ip) = interface.association.and_then(|association| association.public_ip) {
                            found.insert(interface.network_interface_id, ip);
                        }
                    }
                    wanted.retain(|id| !batch.contains(id));
                }
                Err(fault) if fault.class == FaultClass::NotFound => {
                    let before = wanted.len();
                    wanted.retain(|id| !fault.message.contains(id.as_str()));
                    if wanted.len() == before {
                        // AWS did not say which: none of this batch can be told now.
                        wanted.retain(|id| !batch.contains(id));
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    /// The interfaces that hold a security group, by name. An empty list proves nothing (aws-facts §1.8).
    pub(crate) async fn holders(&self, group: &str) -> Result<Vec<String>, Fault> {
        let mut holders = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut params = Params::new().filter("group-id", group).with("IncludeManagedResources", "true");
            if let Some(token) = &next {
                params = params.with("NextToken", token);
            }
            let answer: Interfaces = self.ec2(DESCRIBE, params).await?;
            for interface in answer.interfaces.item {
                let state = interface.status.unwrap_or_else(|| "unknown".to_owned());
                let about = interface.description.filter(|text| !text.is_empty());
                let about = about.map(|text| format!(", {text}")).unwrap_or_default();
                holders.push(format!("network interface {} ({state}{about})", interface.network_interface_id));
            }
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(holders);
            }
        }
    }
}
