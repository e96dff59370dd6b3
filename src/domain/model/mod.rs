//! The words of ARCHITECTURE.md §2 as types. Layer 1: imports nothing of ours.
//!
//! Pure: no I/O, no async, no clock, no logging. Everything here is a value that can be journalled.

pub mod activity;
mod apart;
mod apply;
pub mod budget;
pub mod calendar;
pub mod cost;
pub mod event;
pub mod fault;
pub mod id;
pub mod image;
pub mod money;
pub mod net;
pub mod observation;
pub mod observed;
mod own_address;
pub mod phase;
pub mod plan;
pub mod price;
pub mod range;
pub mod receipt;
pub mod record;
mod renewal;
pub mod resource;
pub mod scan;
pub mod sentinel;
pub mod size;
pub mod spec;
pub mod task;
pub mod time;
mod wishes;

pub use activity::{Sign, Source, SourceReading, Trust};
pub use apart::Apart;
pub use budget::{BudgetReading, Measure, Period, Pool, Scope, Threshold};
pub use calendar::{Bucket, Stretch, TimeZone, UnknownZone};
pub use cost::{Charge, ChargeQuery, CostQuery, CostReport, Cut, Share, Slice};
pub use event::{Billed, Blocker, Entry, Event, Extension, LimitKind, Request};
pub use fault::{Fault, FaultClass, with_causes};
pub use id::{Identity, OWNER_TAG, SANDBOX_ACCOUNT, SESSION_TAG, SessionId};
pub use image::{
    BuildRecipe, ImageConfig, ImageProgress, ImageSource, ImageSpec, LayerProgress, LayerState, Platforms, SupplyStage,
    child_mark, mark_of, session_of_mark,
};
pub use money::Money;
pub use net::{
    Arming, FUSE_ROLE, NET_STOPPED, Net, NetState, SERVICE_DELETE, Scheduled, ScheduledCall, stops_of, twice,
};
pub use observation::{CredentialReading, HealthReading, Observation, SentinelMeans, Sighting, Unread, Want};
pub use observed::Observed;
pub use own_address::{OWN, OwnAddress};
pub use phase::{Cause, Phase, Stage};
pub use plan::{Forecast, Limit, Outlook, Plan, SentinelLease, Step, Watch};
pub use price::{Accounting, Basis, Item, Price, RateCard, UnknownItem};
pub use range::{Range, Whose};
pub use receipt::{CostLine, Estimate, Receipt, ReceiptResource, Units};
pub use record::{Desired, Ending, Extensions, LastActivity, Lease, Metered, Record, Scan};
pub use renewal::RenewalReading;
pub use resource::{Action, Askings, Effect, Life, Resource, ResourceKey, ResourceKind};
pub use scan::{ScanReading, ScanStatus, ScanVerdict, Severity};
pub use size::{Arch, IllegalSize, TaskSize};
pub use spec::{
    Admission, Encryption, Ingress, Network, Removal, RepositorySettings, SentinelContainer, SentinelOrders, Spec,
    Subnet, TaskDefinitionSpec, TaskSpec,
};
pub use task::{TaskFacts, TaskLoss, TaskStatus};
pub use time::{Span, Timestamp};
