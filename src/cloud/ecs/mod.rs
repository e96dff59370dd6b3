//! ECS: clusters, task definitions, tasks, services (aws-facts §1).
//!
//! HTTP 200 is not success here: `failures[]` is always read. The cluster is always named.

mod cluster;
mod facts;
mod listing;
mod service;
mod task;
mod task_definition;

use aws_sdk_ecs::types::Tag;

use super::Owner;
use crate::domain::model::{OWNER_TAG, SESSION_TAG};

/// Our tags, for a create call.
fn our_tags(owner: Owner<'_>) -> Vec<Tag> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    vec![tag(SESSION_TAG, owner.session.as_str()), tag(OWNER_TAG, owner.owner)]
}

/// Whether our tag is among these.
fn is_ours(owner: Owner<'_>, tags: &[Tag]) -> bool {
    owner.is_on(tags.iter().filter_map(|tag| Some((tag.key()?, tag.value()?))))
}
