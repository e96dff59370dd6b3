//! Layers through ECR's own API (the registry does the same over `/v2/`).
//!
//! Guarantees: a layer is kept only under the digest its bytes have.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::sandbox::{
    ids::Ids,
    wire::{ApiError, required, strings},
};

use super::{Ecr, Upload, digest_of};

impl Ecr {
    pub(super) fn check_layers(&self, input: &Value) -> Result<Value, ApiError> {
        let repository = self.find(input)?;
        let (mut layers, mut failures) = (Vec::new(), Vec::new());
        for digest in strings(&input["layerDigests"]) {
            if !digest.starts_with("sha256:") {
                failures.push(json!({ "layerDigest": digest, "failureCode": "InvalidLayerDigest", "failureReason": "Invalid layer digest" }));
                continue;
            }
            layers.push(match repository.blobs.get(&digest) {
                Some(blob) => {
                    json!({ "layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": blob.len() })
                }
                None => json!({ "layerDigest": digest, "layerAvailability": "UNAVAILABLE" }),
            });
        }
        Ok(json!({ "layers": layers, "failures": failures }))
    }

    pub(super) fn download_url(&self, input: &Value) -> Result<Value, ApiError> {
        let (repository, digest) = (self.find(input)?, required(input, "layerDigest")?);
        if !repository.blobs.contains_key(digest) {
            return Err(ApiError::bad(
                "LayersNotFoundException",
                format!(
                    "Layers '[{digest}]' not found in the repository with name '{}' in registry with id '{}'",
                    repository.name, self.account
                ),
            ));
        }
        let url = format!("{}/v2/{}/blobs/{digest}", self.endpoint, repository.name);
        Ok(json!({ "downloadUrl": url, "layerDigest": digest }))
    }

    pub(super) fn initiate_upload(&mut self, ids: &mut Ids, input: &Value) -> Result<Value, ApiError> {
        let repository = self.find(input)?.name.clone();
        let id = ids.uuid();
        self.uploads.insert(id.clone(), Upload { repository, data: Vec::new() });
        Ok(json!({ "uploadId": id, "partSize": 10_485_760 }))
    }

    fn upload(&mut self, input: &Value) -> Result<(String, &mut Upload), ApiError> {
        let repository = self.find(input)?.name.clone();
        let id = required(input, "uploadId")?;
        let upload = self.uploads.get_mut(id).filter(|upload| upload.repository == repository).ok_or_else(|| {
            ApiError::bad(
                "UploadNotFoundException",
                format!("The upload with id '{id}' does not exist in the repository with name '{repository}'"),
            )
        })?;
        Ok((id.to_owned(), upload))
    }

    pub(super) fn upload_part(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (account, name) = (self.account.clone(), self.asked(input)?.to_owned());
        let part = STANDARD.decode(required(input, "layerPartBlob")?).map_err(|_| {
            ApiError::invalid("Invalid parameter at 'layerPartBlob' failed to satisfy constraint: 'base64'")
        })?;
        let (id, upload) = self.upload(input)?;
        if input["partFirstByte"].as_u64() != Some(upload.data.len() as u64) {
            let message = format!("The part does not begin at byte {}, where the upload stands", upload.data.len());
            return Err(ApiError::bad("InvalidLayerPartException", message));
        }
        upload.data.extend_from_slice(&part);
        Ok(
            json!({ "registryId": account, "repositoryName": name, "uploadId": id, "lastByteReceived": upload.data.len().saturating_sub(1) }),
        )
    }

    pub(super) fn complete_upload(&mut self, input: &Value) -> Result<Value, ApiError> {
        let account = self.account.clone();
        let (id, upload) = self.upload(input)?;
        let found = digest_of(&upload.data);
        if upload.data.is_empty() {
            return Err(ApiError::bad("EmptyUploadException", format!("The upload with id '{id}' has no parts")));
        }
        if !strings(&input["layerDigests"]).contains(&found) {
            return Err(ApiError::bad(
                "InvalidLayerException",
                format!("The layer's digest is {found}, not the one given"),
            ));
        }
        let data = Bytes::from(std::mem::take(&mut upload.data));
        self.uploads.remove(&id);
        let repository = self.find_mut(input)?;
        repository.blobs.insert(found.clone(), Arc::new(data));
        Ok(json!({ "registryId": account, "repositoryName": repository.name, "uploadId": id, "layerDigest": found }))
    }
}
