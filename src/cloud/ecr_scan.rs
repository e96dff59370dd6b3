//! ECR: what the scan of a pushed image found.

use std::collections::BTreeMap;

use aws_sdk_ecr::types::{ImageIdentifier, ImageScanStatus, ScanStatus as Word};

use super::{Cloud, absent_if_missing};
use crate::domain::model::{Fault, Observed, ScanReading, ScanStatus, Severity};

const FINDINGS: &str = "ecr:DescribeImageScanFindings";

/// Findings that are named; the counts are of all.
const NAMED: i32 = 100;

impl Cloud {
    /// One fresh read of a scan; absent when none has begun.
    ///
    /// # Errors
    /// AWS's refusal.
    pub async fn scan_of(&self, repository: &str, digest: &str) -> Result<Observed<ScanReading>, Fault> {
        let id = ImageIdentifier::builder().image_digest(digest).build();
        let asked = self.inner.ecr.describe_image_scan_findings().repository_name(repository).image_id(id);
        let answer = self.call(FINDINGS, asked.max_results(NAMED).send()).await.map_err(Fault::from);
        let Some(answer) = absent_if_missing(answer)? else { return Ok(Observed::Absent) };
        let found =
            answer.image_scan_findings.unwrap_or_else(|| aws_sdk_ecr::types::ImageScanFindings::builder().build());
        let severity = |word: &str| word.parse::<Severity>().unwrap_or(Severity::Undefined);
        let counts: BTreeMap<Severity, u32> = found
            .finding_severity_counts
            .unwrap_or_default()
            .iter()
            .map(|(word, count)| (severity(word.as_str()), u32::try_from(*count).unwrap_or(0)))
            .collect();
        let basic = found.findings.unwrap_or_default().into_iter().map(|finding| {
            let severity = finding.severity.as_ref().map_or(Severity::Undefined, |word| severity(word.as_str()));
            (severity, finding.name.unwrap_or_default())
        });
        let enhanced = found.enhanced_findings.unwrap_or_default().into_iter().map(|finding| {
            (severity(finding.severity.as_deref().unwrap_or_default()), finding.title.unwrap_or_default())
        });
        let mut worst: Vec<(Severity, String)> = basic.chain(enhanced).collect();
        worst.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        Ok(Observed::Present(ScanReading { status: status(answer.image_scan_status.as_ref()), counts, worst }))
    }
}

/// ECR's words for where a scan is (aws-facts §3.1). `ACTIVE` is enhanced scanning's word for a result that is kept up.
fn status(told: Option<&ImageScanStatus>) -> ScanStatus {
    let Some(word) = told.and_then(|told| told.status.as_ref()) else {
        return ScanStatus::Waiting("no status".to_owned());
    };
    match word {
        Word::Complete | Word::Active => ScanStatus::Complete,
        Word::InProgress | Word::Pending => ScanStatus::Waiting(word.as_str().to_owned()),
        _ => {
            let why = told.and_then(|told| told.description.as_deref()).unwrap_or_default();
            ScanStatus::Failed(format!("{} {why}", word.as_str()).trim_end().to_owned())
        }
    }
}
