//! A price file from an address, into a file without a name: nothing is left of it, however its reading ends.
//!
//! Guarantees: streamed, so that memory stays flat; whole, or an error. Must never follow a redirection: it says where to.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    path::Path,
    time::Duration,
};

use super::error::RatesError;
use crate::domain::model::with_causes;

/// Longest wait for an answer's beginning, or the next piece of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// No offer's file is larger.
const LARGEST: u64 = 16 * 1024 * 1024 * 1024;

/// AWS's present price file of an offer in a region.
#[must_use]
pub fn index_url(offer: &str, region: &str) -> String {
    format!("https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/{offer}/current/{region}/index.json")
}

/// Fetches `url` into a file in `folder`.
///
/// # Errors
/// When it cannot be fetched whole, or not be written.
pub async fn download(url: &str, folder: &Path) -> Result<File, RatesError> {
    let failed = |why: String| RatesError::Unreachable { url: url.to_owned(), why };
    let unwritable = |source| RatesError::Unwritable { path: folder.to_path_buf(), source };
    // reqwest is built without a provider of its own; a second installation is refused and fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| failed(with_causes(&error)))?;
    let request = client.get(url).header(http::header::ACCEPT_ENCODING, "gzip");
    let mut answer = request.send().await.map_err(|error| failed(with_causes(&error)))?;
    let status = answer.status();
    if !status.is_success() {
        let moved = answer.headers().get(http::header::LOCATION).and_then(|to| to.to_str().ok());
        let to = moved.map(|to| format!(", and names {to}")).unwrap_or_default();
        return Err(failed(format!("it answers {status}{to}")));
    }
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    let mut file = tempfile::tempfile_in(folder).map_err(unwritable)?;
    let mut length = 0;
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(with_causes(&error)))? {
        length += chunk.len() as u64;
        if length > LARGEST {
            return Err(failed("it is larger than 16 GiB".to_owned()));
        }
        file.write_all(&chunk).map_err(unwritable)?;
    }
    file.rewind().map_err(unwritable)?;
    Ok(file)
}
