//! What is sent to the API: the bodies of requests, and the few answers that are not a model value.
//!
//! Guarantees: unknown members are refused, so that a misspelt one is not silently ignored. Answers that are
//! model values are those values' own JSON; [`super::schema`] describes them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::model::{self, Bucket, ChargeQuery, Cut, Span, TimeZone, Timestamp};

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

/// Body of `PUT /v1/sessions/{id}/leases/{lease}`. May be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpenLease {
    /// Who or what holds it.
    pub by: Option<String>,
    /// For how long it is good from now, unless it is renewed before: 1s to 1h.
    #[schema(value_type = String, default = "5m")]
    pub ttl: Span,
}

impl Default for OpenLease {
    fn default() -> Self {
        Self { by: None, ttl: Span::from_mins(5) }
    }
}

/// Body of `POST /v1/sessions/{id}/reconcile`. May be left out: then the price is told and nothing is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// That AWS takes money for the answer is agreed to.
    #[serde(default)]
    pub yes: bool,
}

/// Body of `POST /v1/sweep`. May be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Remove what is found; without it, it is only listed.
    #[serde(default)]
    pub remove: bool,
    /// Only these sessions, whoever may guard them. None: all; those that another labguard may guard are kept.
    #[serde(default)]
    pub sessions: Vec<String>,
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

/// Query of `GET /v1/cost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct CostQuery {
    /// From when on, RFC 3339; left out: from the first session.
    #[param(value_type = Option<String>, example = "2026-11-01T00:00:00Z")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when, that instant not included; left out: until now.
    #[param(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// `session`, `owner`, `group` or `item`.
    #[param(value_type = Option<String>, default = "session")]
    pub by: Cut,
    /// `hour`, `day` or `month`.
    #[param(value_type = Option<String>, default = "day")]
    pub bucket: Bucket,
    /// Whose midnight counts: an IANA zone.
    #[param(value_type = Option<String>, default = "UTC")]
    pub zone: TimeZone,
}

impl From<CostQuery> for model::CostQuery {
    fn from(CostQuery { since, until, by, bucket, zone }: CostQuery) -> Self {
        Self { since, until, by, bucket, zone }
    }
}

/// As what lines of cost are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// JSON, every member.
    #[default]
    Json,
    /// CSV, one row a line of cost.
    Csv,
    /// CSV with the columns of FOCUS 1.2.
    Focus,
}

/// Query of `GET /v1/cost/charges`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ChargesQuery {
    /// Of one session only: its id, or its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// From when on, RFC 3339; left out: from the first session.
    #[param(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when, that instant not included; left out: until now.
    #[param(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// `json`, `csv` or `focus`.
    #[param(value_type = Option<String>, default = "json")]
    pub format: ExportFormat,
}

impl From<ChargesQuery> for ChargeQuery {
    fn from(ChargesQuery { session, since, until, format: _ }: ChargesQuery) -> Self {
        Self { session, since, until }
    }
}

/// Answer of `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// Whether the engine runs and its loop goes round.
    pub ready: bool,
    /// Sessions it holds, closed ones of this run included.
    pub sessions: usize,
    /// What a person must know, by session.
    pub alarms: Vec<String>,
}
