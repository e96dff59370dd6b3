//! The validated configuration, as the rest of the program takes it.
//!
//! Guarantees: everything in here has passed every check. Must never hold credentials.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::domain::{
    meter::{self, RateBook},
    model::{Item, Span, Timestamp},
    policy::{Policy, SharedBudget},
};

use super::folders;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// `[aws]`.
    pub aws: AwsSettings,
    /// The prices in force: what ships with labguard, corrected by `[rates]`. Whoever bills by them takes in first what
    /// was imported ([`RateBook::correct`]).
    pub rates: RateBook,
    /// `region` of `[defaults]`.
    pub default_region: String,
    /// `[sessions.NAME]`, over `[defaults]`.
    pub sessions: BTreeMap<String, Policy>,
    /// `[budgets.NAME]`, over `[budget_defaults]`, by name.
    pub budgets: Vec<SharedBudget>,
    /// Where it came from, lowest layer first.
    pub sources: Vec<String>,
    /// Key path → place, for every value that is not the built-in default.
    pub origins: BTreeMap<String, String>,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Folder of journal and token; absent: the platform's. See [`DaemonSettings::state_folder`].
    pub state_dir: Option<PathBuf>,
    /// Address of the HTTP API; loopback unless `token_file` and `allowed_hosts` are set.
    pub listen: SocketAddr,
    /// The API's token file; absent: in the state folder. See [`DaemonSettings::token_path`].
    pub token_file: Option<PathBuf>,
    /// Host names, besides loopback, that requests may be addressed to.
    pub allowed_hosts: Vec<String>,
    /// How long a shutdown may take.
    pub shutdown_grace: Span,
    /// Sessions alive at once.
    pub max_sessions: u32,
    /// `tracing` filter.
    pub log_level: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Whether files are watched for changes.
    pub watch_files: bool,
    /// Prices older than this are warned of; absent: never.
    pub rates_max_age: Option<Span>,
}

impl DaemonSettings {
    /// The folder of journal and token.
    #[must_use]
    pub fn state_folder(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(folders::state)
    }

    /// Where somebody on this machine calls the API: a daemon that listens on every address is called by loopback, whose
    /// name it always answers to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.listen.port())
    }

    /// The API's token file.
    #[must_use]
    pub fn token_path(&self) -> PathBuf {
        self.token_file.clone().unwrap_or_else(|| self.state_folder().join(Path::new("token")))
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// As the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LogFormat::Auto => "auto",
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        }
    }
}

/// `[aws]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSettings {
    /// Profile of the shared configuration.
    pub profile: Option<String>,
    /// One endpoint for all services.
    pub endpoint_url: Option<String>,
    /// Address of the container registry, where it is not the one that ECR names.
    pub registry_endpoint: Option<String>,
    /// Who is asked which public address we call from.
    pub own_address_url: Option<String>,
    /// Endpoints of single services: `ecs`, `ecr`, `ec2`, `iam`, `sts`, `logs`, `cloudwatch`, `tagging`,
    /// `pricing`.
    pub endpoints: BTreeMap<String, String>,
    /// Attempts of one call, the first included.
    pub max_attempts: u32,
    /// Time to open a connection.
    pub connect_timeout: Span,
    /// Time to the first byte of an answer.
    pub read_timeout: Span,
    /// Time for one call with all attempts.
    pub operation_timeout: Span,
    /// The sandbox.
    pub sandbox: SandboxSettings,
}

/// `[aws.sandbox]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Whether sessions run in the sandbox and not on AWS.
    pub enabled: bool,
    /// Loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `zero`, `fast` or `aws`.
    pub latency: String,
    /// Faults by name, in the sandbox's own words.
    pub faults: Vec<String>,
    /// Seed of chance events.
    pub seed: u64,
}

impl Settings {
    /// The one region of all sessions: a daemon talks to one. Without a session, that of `[defaults]`.
    #[must_use]
    pub fn region(&self) -> &str {
        self.sessions.values().next().map_or(&self.default_region, |policy| &policy.region)
    }

    /// What is legal and yet worth a word: one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = super::budgets::warnings(&self.budgets, &self.sessions);
        for (name, policy) in &self.sessions {
            let open = |sources: &[String]| sources.iter().any(|source| source.ends_with("/0"));
            let ports: Vec<String> = policy
                .network
                .ingress
                .iter()
                .filter(|rule| open(&rule.sources))
                .map(|rule| rule.port.to_string())
                .collect();
            if policy.network.public_ip && !ports.is_empty() && !self.aws.sandbox.enabled {
                warnings.push(format!(
                    "session {name}: port {} open to anybody on the internet; your own address with /32 is safer",
                    ports.join(" and ")
                ));
            }
            let limits = &policy.limits;
            // The default is nobody's wish, and holds no session off that its budget covers.
            let wished = self.origins.contains_key(&format!("sessions.{name}.limits.min_lifetime"));
            if wished && limits.min_lifetime > limits.max_lifetime {
                warnings.push(format!(
                    "session {name}: limits.min_lifetime, {}, is above limits.max_lifetime, {}: its budget is asked to cover \
                     a time that it cannot live",
                    limits.min_lifetime, limits.max_lifetime
                ));
            }
            let prices = meter::price_warnings(policy, &self.rates.card(&policy.region));
            warnings.extend(prices.into_iter().map(|warning| format!("session {name}: {warning}")));
        }
        let known = RateBook::embedded().regions();
        let unused = self.rates.given().keys().filter(|region| !known.contains(region) && *region != self.region());
        warnings.extend(unused.map(|region| {
            format!("[rates.{region}] is of no region that labguard or a session knows; its prices are not used")
        }));
        warnings
    }

    /// The same, and what is so by now: a fixed end that has passed, prices that have grown old.
    #[must_use]
    pub fn warnings_at(&self, now: Timestamp) -> Vec<String> {
        let mut warnings = self.warnings();
        for (name, policy) in &self.sessions {
            if let Some(end) = policy.limits.ends_at.filter(|end| *end <= now) {
                warnings.push(format!(
                    "session {name}: limits.ends_at, {end}, has passed: what is opened of it ends at once; set a later one, \
                     or \"\""
                ));
            }
        }
        warnings.extend(self.age_warning(now));
        warnings
    }

    /// One sentence, where prices that the sessions need are older than `daemon.rates_max_age`.
    #[must_use]
    pub fn age_warning(&self, now: Timestamp) -> Option<String> {
        let mut needs: Vec<Item> = self.sessions.values().flat_map(meter::needs).collect();
        needs.sort_unstable();
        needs.dedup();
        meter::age_warning(&self.rates.card(self.region()), &needs, self.daemon.rates_max_age, now)
    }
}
