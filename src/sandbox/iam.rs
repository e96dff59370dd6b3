//! IAM roles: as much as an execution role's life takes.
//!
//! Guarantees: a new role cannot be assumed until it has propagated; DeleteRole refuses while policies are attached.
//! Never evaluates a policy.

use std::collections::BTreeMap;

use super::{ids::Ids, params::Params, state::World, wire::ApiError, xml::XmlBody};
use crate::domain::model::Timestamp;

const MANAGED: &[&str] = &[
    "service-role/AmazonECSTaskExecutionRolePolicy",
    "CloudWatchLogsFullAccess",
    "AmazonEC2ContainerRegistryReadOnly",
];

#[derive(Debug)]
struct Role {
    name: String,
    path: String,
    arn: String,
    id: String,
    trust: String,
    description: Option<String>,
    created_at: Timestamp,
    assumable_at: Timestamp,
    attached: Vec<String>,
    inline: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
}

/// All roles.
#[derive(Debug)]
pub struct Iam {
    account: String,
    roles: BTreeMap<String, Role>,
}

impl Iam {
    /// No roles.
    #[must_use]
    pub fn new(account: &str) -> Self {
        Self { account: account.to_owned(), roles: BTreeMap::new() }
    }

    /// Whether `by_service` (such as `ecs-tasks.amazonaws.com`) can assume the role by now.
    #[must_use]
    pub fn can_be_assumed(&self, now: Timestamp, role_arn: &str, by_service: &str) -> bool {
        let name = role_arn.rsplit('/').next().unwrap_or_default();
        self.roles
            .get(name)
            .is_some_and(|role| role.arn == role_arn && role.assumable_at <= now && role.trust.contains(by_service))
    }

    /// Whether the scheduler can assume the role by now, for schedules of that group.
    #[must_use]
    pub fn lets_schedules(&self, now: Timestamp, role_arn: &str, group_arn: &str) -> bool {
        let name = role_arn.rsplit('/').next().unwrap_or_default();
        let trust = self.roles.get(name).map(|role| role.trust.as_str()).unwrap_or_default();
        let bound = trust.contains("aws:SourceArn");
        self.can_be_assumed(now, role_arn, "scheduler.amazonaws.com") && (!bound || trust.contains(group_arn))
    }

    /// Whether an inline policy of the role names the action. Resources and conditions are not looked at.
    #[must_use]
    pub fn allows(&self, role_arn: &str, action: &str) -> bool {
        let name = role_arn.rsplit('/').next().unwrap_or_default();
        let action = format!("\"{action}\"");
        self.roles.get(name).is_some_and(|role| role.inline.values().any(|policy| policy.contains(&action)))
    }

    /// Makes the service-linked role of a service if it is not there.
    pub fn ensure_service_linked_role(&mut self, now: Timestamp, ids: &mut Ids, service: &str) -> bool {
        let name = match service {
            "ecs.amazonaws.com" => "AWSServiceRoleForECS".to_owned(),
            other => format!("AWSServiceRoleFor{}", other.split('.').next().unwrap_or_default()),
        };
        if self.roles.contains_key(&name) {
            return false;
        }
        let path = format!("/aws-service-role/{service}/");
        let trust = format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":{{\"Service\":\"{service}\"}},\"Action\":\"sts:AssumeRole\"}}]}}"
        );
        self.add(ids, now, now, &name, &path, &trust);
        true
    }

    fn add(&mut self, ids: &mut Ids, now: Timestamp, assumable_at: Timestamp, name: &str, path: &str, trust: &str) {
        let role = Role {
            name: name.to_owned(),
            path: path.to_owned(),
            arn: format!("arn:aws:iam::{}:role{path}{name}", self.account),
            id: ids.iam("AROA"),
            trust: trust.to_owned(),
            description: None,
            created_at: now,
            assumable_at,
            attached: Vec::new(),
            inline: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        self.roles.insert(name.to_owned(), role);
    }

    /// Roles that a user made; service-linked ones belong to the account.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let own = self.roles.values().filter(|role| !role.path.starts_with("/aws-service-role/"));
        own.map(|role| format!("iam role {}", role.name)).collect()
    }

    /// Arn and tags of the roles that bear tags.
    #[must_use]
    pub fn tagged(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let tagged = self.roles.values().filter(|role| !role.tags.is_empty());
        tagged.map(|role| (role.arn.clone(), role.tags.clone())).collect()
    }

    fn role(&mut self, params: &Params) -> Result<&mut Role, ApiError> {
        let name = params.require("RoleName")?;
        self.roles.get_mut(name).ok_or_else(|| no_such(format!("The role with name {name} cannot be found.")))
    }
}

fn no_such(message: String) -> ApiError {
    ApiError::new(404, "NoSuchEntity", message)
}

fn write_role(body: &mut XmlBody, role: &Role) {
    body.text("Path", &role.path)
        .text("RoleName", &role.name)
        .text("RoleId", &role.id)
        .text("Arn", &role.arn)
        .text("CreateDate", role.created_at)
        .text("AssumeRolePolicyDocument", percent(&role.trust))
        .maybe("Description", role.description.as_ref())
        .text("MaxSessionDuration", 3600);
    write_tags(body, &role.tags);
}

fn write_tags(body: &mut XmlBody, tags: &BTreeMap<String, String>) {
    body.list("Tags", "member", tags, |item, (key, value)| {
        item.text("Key", key).text("Value", value);
    });
}

/// Policy documents are URL-encoded in IAM's answers.
fn percent(text: &str) -> String {
    let encoded = serde_urlencoded::to_string([("d", text)]).unwrap_or_default();
    encoded.strip_prefix("d=").unwrap_or_default().replace('+', "%20")
}

fn read_tags(params: &Params) -> BTreeMap<String, String> {
    let pair = |tag: Params| Some((tag.get("Key")?.to_owned(), tag.get("Value").unwrap_or_default().to_owned()));
    params.groups("Tags").into_iter().filter_map(pair).collect()
}

fn managed(arn: &str) -> bool {
    arn.strip_prefix("arn:aws:iam::aws:policy/").is_some_and(|name| MANAGED.contains(&name))
}

/// One call.
///
/// # Errors
/// As IAM words them.
pub fn call(world: &mut World, op: &str, params: &Params) -> Result<XmlBody, ApiError> {
    let (now, assumable_at) = (world.now, world.now + world.latency.role_propagation);
    let iam = &mut world.iam;
    let mut body = XmlBody::new();
    match op {
        "CreateRole" => {
            let name = params.require("RoleName")?;
            let trust = params.require("AssumeRolePolicyDocument")?;
            if name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)) {
                return Err(ApiError::bad(
                    "ValidationError",
                    format!("The specified value for roleName is invalid: {name}"),
                ));
            }
            if serde_json::from_str::<serde_json::Value>(trust).is_err() {
                return Err(ApiError::bad("MalformedPolicyDocument", "This policy contains invalid Json"));
            }
            if iam.roles.contains_key(name) {
                return Err(ApiError::new(
                    409,
                    "EntityAlreadyExists",
                    format!("Role with name {name} already exists."),
                ));
            }
            iam.add(&mut world.rng, now, assumable_at, name, params.get("Path").unwrap_or("/"), trust);
            let role = iam.role(params)?;
            role.tags = read_tags(params);
            role.description = params.get("Description").map(str::to_owned);
            body.element("Role", |body| write_role(body, role));
        }
        "GetRole" => {
            let role = iam.role(params)?;
            body.element("Role", |body| write_role(body, role));
        }
        "ListRoles" => {
            let prefix = params.get("PathPrefix").unwrap_or("/");
            let roles = iam.roles.values().filter(|role| role.path.starts_with(prefix));
            body.list("Roles", "member", roles, write_role).text("IsTruncated", false);
        }
        "DeleteRole" => {
            let role = iam.role(params)?;
            if !role.attached.is_empty() {
                return Err(ApiError::new(
                    409,
                    "DeleteConflict",
                    "Cannot delete entity, must detach all policies first.",
                ));
            }
            if !role.inline.is_empty() {
                return Err(ApiError::new(409, "DeleteConflict", "Cannot delete entity, must delete policies first."));
            }
            let name = role.name.clone();
            iam.roles.remove(&name);
        }
        "UpdateAssumeRolePolicy" => {
            let trust = params.require("PolicyDocument")?.to_owned();
            iam.role(params)?.trust = trust;
        }
        "AttachRolePolicy" => {
            let arn = params.require("PolicyArn")?.to_owned();
            let role = iam.role(params)?;
            if !managed(&arn) {
                return Err(no_such(format!("Policy {arn} does not exist or is not attachable.")));
            }
            if !role.attached.contains(&arn) {
                role.attached.push(arn);
            }
        }
        "DetachRolePolicy" => {
            let arn = params.require("PolicyArn")?.to_owned();
            let role = iam.role(params)?;
            if !role.attached.contains(&arn) {
                return Err(no_such(format!("Policy {arn} was not found.")));
            }
            role.attached.retain(|known| *known != arn);
        }
        "ListAttachedRolePolicies" => {
            let role = iam.role(params)?;
            body.list("AttachedPolicies", "member", &role.attached, |item, arn| {
                item.text("PolicyName", arn.rsplit('/').next().unwrap_or_default()).text("PolicyArn", arn);
            })
            .text("IsTruncated", false);
        }
        "PutRolePolicy" => {
            let (name, document) =
                (params.require("PolicyName")?.to_owned(), params.require("PolicyDocument")?.to_owned());
            iam.role(params)?.inline.insert(name, document);
        }
        "GetRolePolicy" => {
            let name = params.require("PolicyName")?;
            let role = iam.role(params)?;
            let missing = || no_such(format!("The role policy with name {name} cannot be found."));
            let document = role.inline.get(name).ok_or_else(missing)?;
            body.text("RoleName", &role.name).text("PolicyName", name).text("PolicyDocument", percent(document));
        }
        "DeleteRolePolicy" => {
            let name = params.require("PolicyName")?;
            if iam.role(params)?.inline.remove(name).is_none() {
                return Err(no_such(format!("The role policy with name {name} cannot be found.")));
            }
        }
        "ListRolePolicies" => {
            let role = iam.role(params)?;
            body.element("PolicyNames", |list| {
                for name in role.inline.keys() {
                    list.text("member", name);
                }
            })
            .text("IsTruncated", false);
        }
        "TagRole" => iam.role(params)?.tags.extend(read_tags(params)),
        "UntagRole" => {
            let keys = params.list("TagKeys");
            iam.role(params)?.tags.retain(|key, _| !keys.contains(key));
        }
        "ListRoleTags" => {
            write_tags(&mut body, &iam.role(params)?.tags);
            body.text("IsTruncated", false);
        }
        "ListInstanceProfilesForRole" => {
            iam.role(params)?;
            body.element("InstanceProfiles", |_| {}).text("IsTruncated", false);
        }
        "GetPolicy" => {
            let arn = params.require("PolicyArn")?;
            if !managed(arn) {
                return Err(no_such(format!("Policy {arn} was not found.")));
            }
            body.element("Policy", |policy| {
                policy
                    .text("PolicyName", arn.rsplit('/').next().unwrap_or_default())
                    .text("Arn", arn)
                    .text("IsAttachable", true);
            });
        }
        "CreateServiceLinkedRole" => {
            let service = params.require("AWSServiceName")?;
            if !iam.ensure_service_linked_role(now, &mut world.rng, service) {
                return Err(ApiError::bad(
                    "InvalidInput",
                    format!(
                        "Service role name AWSServiceRoleForECS has been taken in this account, please try a different suffix. ({service})"
                    ),
                ));
            }
            let path = format!("/aws-service-role/{service}/");
            if let Some(role) = iam.roles.values().find(|role| role.path == path) {
                body.element("Role", |body| write_role(body, role));
            }
        }
        _ => return Err(ApiError::invalid_action(op)),
    }
    Ok(body)
}
