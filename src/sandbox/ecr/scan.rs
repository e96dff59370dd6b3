//! Scans of pushed images.
//!
//! Guarantees: only where the repository scans on push; a scan takes its time. It finds what the image's own
//! configuration says that it shall: `LABGUARD_SIM_FINDINGS=CRITICAL=1,HIGH=2` in its environment, else nothing;
//! `LABGUARD_SIM_FINDINGS=UNSUPPORTED_IMAGE` has no result.

use serde_json::{Map, Value, json};

use super::{Ecr, Image, Repository, seconds};
use crate::{
    domain::model::{Span, Timestamp},
    sandbox::wire::ApiError,
};

/// Which variable says what is found.
const FINDINGS: &str = "LABGUARD_SIM_FINDINGS=";

/// What the image's own configuration says shall be found.
fn scripted(repository: &Repository, image: &Image) -> Option<String> {
    let manifest: Value = serde_json::from_slice(&image.body).ok()?;
    let config = repository.blobs.get(manifest["config"]["digest"].as_str()?)?;
    let config: Value = serde_json::from_slice(config).ok()?;
    let environment = config["config"]["Env"].as_array()?;
    environment.iter().find_map(|it| it.as_str()?.strip_prefix(FINDINGS)).map(str::to_owned)
}

impl Ecr {
    pub(super) fn scan_findings(&self, input: &Value, now: Timestamp, takes: Span) -> Result<Value, ApiError> {
        let (repository, id) = (self.find(input)?, &input["imageId"]);
        let reference = id["imageTag"].as_str().or_else(|| id["imageDigest"].as_str()).unwrap_or_default();
        let image = repository.image(reference).ok_or_else(|| self.no_image(&repository.name, id))?;
        if !repository.scan_on_push {
            return Err(ApiError::bad(
                "ScanNotFoundException",
                format!(
                    "Image scan does not exist for the image with '{{imageDigest:'{}', imageTag:'{}'}}' in the repository with name '{}' in the registry with id '{}'",
                    image.digest,
                    id["imageTag"].as_str().unwrap_or("null"),
                    repository.name,
                    self.account
                ),
            ));
        }
        let answer = |status: &str, description: &str| {
            json!({
                "registryId": self.account, "repositoryName": repository.name,
                "imageId": { "imageDigest": image.digest },
                "imageScanStatus": { "status": status, "description": description },
            })
        };
        if now < image.pushed + takes {
            return Ok(answer("IN_PROGRESS", "The scan is in progress."));
        }
        let script = scripted(repository, image).unwrap_or_default();
        if script == "UNSUPPORTED_IMAGE" {
            return Ok(answer(&script, "UnsupportedImageError: The operating system is not supported."));
        }
        let (mut counts, mut findings) = (Map::new(), Vec::new());
        for (severity, count) in script.split(',').filter_map(|part| part.split_once('=')) {
            let count: u32 = count.parse().unwrap_or(0);
            counts.insert(severity.to_owned(), json!(count));
            findings.extend((1..=count).map(|number| {
                json!({
                    "name": format!("CVE-0000-{severity}-{number}"), "severity": severity,
                    "description": "made up by the sandbox", "attributes": [],
                })
            }));
        }
        let mut answer = answer("COMPLETE", "The scan was completed successfully.");
        let at = seconds(image.pushed + takes);
        answer["imageScanFindings"] = json!({
            "imageScanCompletedAt": at, "vulnerabilitySourceUpdatedAt": at,
            "findingSeverityCounts": counts, "findings": findings,
        });
        Ok(answer)
    }
}
