//! ECR: images that bear a session's mark, in whosever repository. ECR's images have no resource tags, so the tagging
//! service does not know them (decision 0018); for finding orphans, never as proof.

use aws_sdk_ecr::types::{ListImagesFilter, TagStatus};

use super::{
    Cloud, absent_if_missing,
    tagged::{Found, NotSearched, Tagged},
};
use crate::domain::model::{Fault, ResourceKind, session_of_mark};

impl Cloud {
    /// Every mark in every repository of the account and region, all pages. `id` is `REPOSITORY:MARK`.
    pub(super) async fn marked(&self, found: &mut Found) {
        if let Err(fault) = self.marked_anywhere(found).await {
            found.not_searched.push(NotSearched::new("images in repositories of others", fault));
        }
    }

    async fn marked_anywhere(&self, found: &mut Found) -> Result<(), Fault> {
        let mut next = None;
        loop {
            let list = self.inner.ecr.describe_repositories().set_next_token(next);
            let answer = self.call("ecr:DescribeRepositories", list.send()).await?;
            for name in answer.repositories.unwrap_or_default().into_iter().filter_map(|it| it.repository_name) {
                if let Err(fault) = self.marked_in(&name, &mut found.things).await {
                    found.not_searched.push(NotSearched::new(format!("images in the repository {name}"), fault));
                }
            }
            next = answer.next_token;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    async fn marked_in(&self, repository: &str, found: &mut Vec<Tagged>) -> Result<(), Fault> {
        let filter = ListImagesFilter::builder().tag_status(TagStatus::Tagged).build();
        let mut next = None;
        loop {
            let list = self.inner.ecr.list_images().repository_name(repository).filter(filter.clone());
            let sent = list.set_next_token(next).send();
            // It may be gone since it was listed.
            let Some(answer) = absent_if_missing(self.call("ecr:ListImages", sent).await.map_err(Fault::from))? else {
                return Ok(());
            };
            for tag in answer.image_ids.unwrap_or_default().into_iter().filter_map(|image| image.image_tag) {
                if let Some(session) = session_of_mark(&tag) {
                    found.push(Tagged {
                        session: session.to_owned(),
                        owner: None,
                        kind: Some(ResourceKind::Image),
                        name: repository.to_owned(),
                        id: format!("{repository}:{tag}"),
                    });
                }
            }
            next = answer.next_token;
            if next.is_none() {
                return Ok(());
            }
        }
    }
}
