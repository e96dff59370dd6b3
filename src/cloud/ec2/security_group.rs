//! Security groups: made with tag and rules, never deleted without the tag (aws-facts §4).

use std::time::Duration;

use super::{
    answers::{CreatedGroup, Done, Group, Groups},
    client::Params,
};
use crate::{
    cloud::{Cloud, Ensured, Owner, fault, found_foreign, needs, sighting},
    domain::model::{
        Admission, Effect, Fault, FaultClass, Ingress, OWNER_TAG, Removal, ResourceKind, SESSION_TAG, Sighting,
    },
};

const DESCRIBE: &str = "ec2:DescribeSecurityGroups";
const CREATE: &str = "ec2:CreateSecurityGroup";
const AUTHORIZE: &str = "ec2:AuthorizeSecurityGroupIngress";
const REVOKE: &str = "ec2:RevokeSecurityGroupIngress";

/// A group just made may not be visible yet: asked again this often, a second apart.
const PROPAGATION_TRIES: u32 = 5;

impl Group {
    fn is_ours(&self, owner: Owner<'_>) -> bool {
        owner.is_on(self.tags.item.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())))
    }

    fn allows(&self, port: u16, source: &str) -> bool {
        self.permissions.item.iter().any(|rule| {
            let port = Some(i64::from(port));
            let v4 = rule.ranges.item.iter().map(|range| range.cidr_ip.as_str());
            let v6 = rule.ranges6.item.iter().map(|range| range.cidr.as_str());
            rule.ip_protocol == "tcp"
                && rule.from_port == port
                && rule.to_port == port
                && v4.chain(v6).any(|cidr| cidr == source)
        })
    }
}

/// One rule of a group: one port for one range.
fn rule(group: &str, port: u16, source: &str) -> Params {
    let range = if source.contains(':') { "Ipv6Ranges.1.CidrIpv6" } else { "IpRanges.1.CidrIp" };
    Params::new()
        .with("GroupId", group)
        .with("IpPermissions.1.IpProtocol", "tcp")
        .with("IpPermissions.1.FromPort", port.to_string())
        .with("IpPermissions.1.ToPort", port.to_string())
        .with(format!("IpPermissions.1.{range}"), source)
}

impl Cloud {
    /// By id where it is known, else by name in its VPC.
    async fn find_group(&self, id: Option<&str>, name: &str, vpc: Option<&str>) -> Result<Option<Group>, Fault> {
        let params = match (id, vpc) {
            (Some(id), _) => Params::new().list("GroupId", [id]),
            (None, Some(vpc)) => Params::new().filter("group-name", name).filter("vpc-id", vpc),
            (None, None) => return Err(needs(DESCRIBE, "security group's id or VPC")),
        };
        match self.ec2::<Groups>(DESCRIBE, params).await.map_err(Fault::from) {
            Ok(answer) => Ok(answer.groups.item.into_iter().next()),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    pub(crate) async fn ensure_security_group(
        &self,
        owner: Owner<'_>,
        name: &str,
        vpc: &str,
        ingress: &[Ingress],
        adopt: bool,
    ) -> Result<Ensured, Fault> {
        let mut there = self.find_group(None, name, Some(vpc)).await?;
        if there.is_none() {
            let params = Params::new()
                .with("GroupName", name)
                .with("GroupDescription", format!("labguard session {}", owner.session))
                .with("VpcId", vpc)
                .with("TagSpecification.1.ResourceType", "security-group")
                .with("TagSpecification.1.Tag.1.Key", SESSION_TAG)
                .with("TagSpecification.1.Tag.1.Value", owner.session.as_str())
                .with("TagSpecification.1.Tag.2.Key", OWNER_TAG)
                .with("TagSpecification.1.Tag.2.Value", owner.owner);
            match self.ec2::<CreatedGroup>(CREATE, params).await.map_err(Fault::from) {
                Ok(created) => {
                    self.open(&created.group_id, None, ingress).await?;
                    return Ok(Ensured::new(Effect::Created, created.group_id));
                }
                // Somebody, perhaps an earlier try of ours, was faster.
                Err(fault) if fault.class == FaultClass::Conflict => {
                    there = self.find_group(None, name, Some(vpc)).await?;
                    if there.is_none() {
                        return Err(Fault { class: FaultClass::Dependency, ..fault });
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        let Some(group) = there else { return Err(needs(CREATE, "security group")) };
        if !group.is_ours(owner) {
            return found_foreign(CREATE, ResourceKind::SecurityGroup, name, &group.group_id, adopt);
        }
        self.open(&group.group_id, Some(&group), ingress).await?;
        Ok(Ensured::new(Effect::AlreadyThere, group.group_id))
    }

    /// Opens what is not open yet.
    async fn open(&self, id: &str, known: Option<&Group>, ingress: &[Ingress]) -> Result<(), Fault> {
        for Ingress { port, sources } in ingress {
            for source in sources {
                if known.is_some_and(|group| group.allows(*port, source)) {
                    continue;
                }
                let mut tries = 0;
                loop {
                    tries += 1;
                    match self.ec2::<Done>(AUTHORIZE, rule(id, *port, source)).await.map_err(Fault::from) {
                        Ok(_) => break,
                        Err(fault) if fault.code == "InvalidPermission.Duplicate" => break,
                        Err(fault) if fault.class == FaultClass::NotFound && tries < PROPAGATION_TRIES => {
                            tokio::time::sleep(Duration::from_secs(1)).await;
                        }
                        Err(fault) if fault.class == FaultClass::NotFound => {
                            return Err(Fault { class: FaultClass::Dependency, ..fault });
                        }
                        Err(fault) => return Err(fault),
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens rules of a group of ours, then closes others.
    ///
    /// # Errors
    /// AWS's refusal; or that the group is not there, or not ours.
    pub async fn admit(&self, owner: Owner<'_>, admission: &Admission) -> Result<(), Fault> {
        let group = self.find_group(Some(&admission.group), "", None).await?;
        let Some(group) = group.filter(|group| group.is_ours(owner)) else {
            let text = format!("{} is not there, or not this session's", admission.group);
            let advice = "no rule was changed, and it is asked again; was it removed or re-tagged by hand, end this session (`labguard down`) and start another";
            return Err(fault::own(FaultClass::NotFound, DESCRIBE, "NotOurs", &text, Some(advice)));
        };
        self.open(&group.group_id, Some(&group), &admission.open).await?;
        for Ingress { port, sources } in &admission.close {
            for source in sources.iter().filter(|source| group.allows(*port, source)) {
                match self.ec2::<Done>(REVOKE, rule(&group.group_id, *port, source)).await.map_err(Fault::from) {
                    Ok(_) => {}
                    Err(fault) if fault.class == FaultClass::NotFound => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn look_security_group(
        &self,
        owner: Owner<'_>,
        removal: &Removal,
    ) -> Result<Option<Sighting>, Fault> {
        let group = self.find_group(removal.id.as_deref(), &removal.name, removal.vpc.as_deref()).await?;
        let Some(group) = group else { return Ok(None) };
        let mut seen = sighting(&group.group_id, group.is_ours(owner));
        if seen.ours {
            // Only a help to people: a refusal here must not hide that the group is there.
            seen.held_by = self.holders(&group.group_id).await.unwrap_or_default();
        }
        Ok(Some(seen))
    }

    pub(crate) async fn remove_security_group(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        const DELETE: &str = "ec2:DeleteSecurityGroup";
        let group = self.find_group(removal.id.as_deref(), &removal.name, removal.vpc.as_deref()).await?;
        let Some(group) = group else { return Ok(Effect::AlreadyGone) };
        if !group.is_ours(owner) {
            return Ok(Effect::NotOurs);
        }
        let params = Params::new().with("GroupId", &group.group_id);
        match self.ec2::<Done>(DELETE, params).await.map_err(Fault::from) {
            Ok(_) => Ok(Effect::Removed),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(Effect::AlreadyGone),
            Err(mut fault) if fault.class == FaultClass::Dependency => {
                let holders = self.holders(&group.group_id).await.unwrap_or_default();
                fault.advice = Some(if holders.is_empty() {
                    "AWS does not say what holds it; the interface of a stopped task goes within minutes".to_owned()
                } else {
                    format!("held by {}", holders.join(", "))
                });
                Err(fault)
            }
            Err(fault) => Err(fault),
        }
    }
}
