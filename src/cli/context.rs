//! What every command is given: the global flags, the streams, and the way to the daemon.

use super::{client::Client, error::CliError, output::Output, tree::Global};
use crate::{
    clock::Clock,
    config::{self, Settings},
    domain::model::Timestamp,
    telemetry::catalogue,
};

/// What every command is given.
#[derive(Clone, Debug)]
pub struct Context {
    /// The flags of every command.
    pub global: Global,
    /// The streams.
    pub output: Output,
}

impl Context {
    /// From the global flags.
    #[must_use]
    pub fn new(global: Global) -> Self {
        let output = Output::new(global.json, global.quiet, global.color);
        Self { global, output }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Clock::System.now()
    }

    /// The settings of all layers: built-in, files, environment, flags.
    ///
    /// # Errors
    /// With every mistake there is.
    pub fn settings(&self) -> Result<Settings, CliError> {
        config::load(&self.request()).map_err(|mistakes| CliError::Configuration(mistakes.to_string()))
    }

    /// What to load, as the flags and the environment say.
    #[must_use]
    pub fn request(&self) -> config::Request {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("LABGUARD__"))
            .collect();
        let mut set = self.global.set.clone();
        if let Some(given) = &self.global.state_dir {
            set.push(format!("daemon.state_dir={}", given.display()));
        }
        config::Request {
            embedded: Vec::new(),
            files: self.global.config.clone(),
            env,
            set,
            search: true,
            metrics: catalogue::publishable(),
        }
    }

    /// The running daemon, at the address and with the token file that the flags or the configuration say.
    ///
    /// # Errors
    /// When there is none, or no token for it; and for a configuration that would have said where it is.
    pub async fn client(&self) -> Result<Client, CliError> {
        let daemon = self.settings()?.daemon;
        let url = self.global.daemon.clone().unwrap_or_else(|| format!("http://{}", daemon.listen));
        Client::new(&url, &daemon.token_path()).await
    }
}
