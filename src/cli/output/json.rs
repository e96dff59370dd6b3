//! JSON as data: pretty for documents, one line for streams.

use serde::Serialize;

use crate::cli::error::CliError;

/// A document for people and programs alike.
///
/// # Errors
/// When the value cannot be written as JSON (a bug).
pub fn document<T: Serialize + ?Sized>(value: &T) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(failed)
}

/// One line of a stream.
///
/// # Errors
/// When the value cannot be written as JSON (a bug).
pub fn line<T: Serialize + ?Sized>(value: &T) -> Result<String, CliError> {
    serde_json::to_string(value).map_err(failed)
}

fn failed(error: serde_json::Error) -> CliError {
    CliError::Local { what: "write the answer as JSON".into(), source: error.into() }
}
