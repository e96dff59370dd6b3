//! What is sent to the API: the bodies of requests, and the few answers that are not a model value.
//!
//! Guarantees: unknown members are refused, so that a misspelt one is not silently ignored. Answers that are
//! model values are those values' own JSON; [`super::schema`] describes them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /v1/sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The policy's name: `[sessions.NAME]` in the configuration.
    #[schema(example = "admission")]
    pub policy: String,
}

/// Answer to every command: which session took it. What it leads to is seen in the session's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The session's id.
    #[schema(example = "admission-7k2m9q")]
    pub session: String,
}

/// Body of `DELETE /v1/sessions/{id}` and `POST /v1/sessions/{id}/stop`. May be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why, in the asker's words; journalled and shown on the receipt.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Body of `POST /v1/sessions/{id}/touch`. May be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Touch {
    /// Who or what uses the session.
    #[serde(default)]
    pub by: Option<String>,
}

/// Body of `POST /v1/sweep`. May be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Remove what is found; without it, orphans are only listed.
    #[serde(default)]
    pub remove: bool,
}

/// Query of `GET /v1/history`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// At most that many receipts, newest first.
    #[serde(default = "HistoryQuery::usual_limit")]
    #[param(default = 20, maximum = 1000)]
    pub limit: usize,
}

impl HistoryQuery {
    /// The most that one answer holds.
    pub const LARGEST: usize = 1000;

    const fn usual_limit() -> usize {
        20
    }
}

/// Answer of `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// Whether the engine runs.
    pub ready: bool,
    /// Sessions it holds, closed ones of this run included.
    pub sessions: usize,
    /// What a person must know, by session.
    pub alarms: Vec<String>,
}
