//! What every command is given: the global flags, the streams, and the way to the daemon.

use super::{
    client::Client,
    error::CliError,
    output::{Icon, Output},
    tree::Global,
};
use crate::{
    clock::Clock,
    config::{self, DaemonSettings, Mistake, Mistakes, Settings},
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
        config::load(&self.request()).map_err(CliError::Mistakes)
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
    /// When there is none, or no token for it; for a configuration that would have said where it is; and for `--set` of
    /// what only the daemon's own configuration decides.
    pub async fn client(&self) -> Result<Client, CliError> {
        let daemon = self.daemon(false)?;
        Client::new(&self.url(&daemon), &daemon.token_path()).await
    }

    /// The same, for what a session would be and cost: there, variables of the environment that would change nothing are
    /// refused, too. Elsewhere they are only warned of, since a container's are the daemon's own.
    ///
    /// # Errors
    /// See [`Context::client`].
    pub async fn client_for_policy(&self) -> Result<Client, CliError> {
        let daemon = self.daemon(true)?;
        Client::new(&self.url(&daemon), &daemon.token_path()).await
    }

    /// Where the daemon's API is.
    ///
    /// # Errors
    /// For a configuration that would have said so.
    pub fn daemon_url(&self) -> Result<String, CliError> {
        self.daemon(false).map(|daemon| self.url(&daemon))
    }

    fn url(&self, daemon: &DaemonSettings) -> String {
        match &self.global.daemon {
            Some(given) if given.contains("://") => given.clone(),
            Some(given) => format!("http://{given}"),
            None => format!("http://{}", daemon.address()),
        }
    }

    /// `[daemon]`. What is wrong elsewhere is no matter of who only asks: a daemon that runs keeps what it had.
    fn daemon(&self, policy: bool) -> Result<DaemonSettings, CliError> {
        let mut found = config::whereabouts(&self.request());
        let mut refused = std::mem::take(&mut found.flags);
        let variables = std::mem::take(&mut found.variables);
        if policy {
            refused.extend(variables);
        } else if let Some(first) = variables.first() {
            let text = format!("{} and {} more like it set nothing here", first.source, variables.len() - 1);
            let text = if variables.len() == 1 { format!("{} sets nothing here", first.source) } else { text };
            self.output.say(Icon::Warn, &format!("{text}: the daemon's configuration decides"));
        }
        let known = self.global.daemon.is_some() && self.global.state_dir.is_some();
        if known {
            found.elsewhere.append(&mut found.mistakes);
        }
        refused.append(&mut found.mistakes);
        if !refused.is_empty() {
            return Err(CliError::Mistakes(Mistakes(refused)));
        }
        if let Some(first) = found.elsewhere.first() {
            self.output.say(Icon::Warn, &not_needed(first, found.elsewhere.len()));
        }
        Ok(found.daemon)
    }
}

fn not_needed(first: &Mistake, count: usize) -> String {
    let key = if first.key.is_empty() { String::new() } else { format!(": {}", first.key) };
    let many = if count == 1 { "a mistake at".to_owned() } else { format!("{count} mistakes, the first at") };
    format!(
        "the configuration has {many} {}{key}; a daemon that runs keeps what it had until that is mended: \
         `labguard config check`",
        first.source
    )
}
