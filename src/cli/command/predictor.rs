//! `labguard predictor serve`: the reference prediction service, as the sandbox's containers run it.

use clap::{Args, Subcommand};

use super::super::{CliError, ExitCode};
use crate::predictor;

/// Arguments of `predictor`.
#[derive(Debug, Args)]
pub struct PredictorArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: PredictorCommand,
}

/// What the predictor can do.
#[derive(Debug, Subcommand)]
pub enum PredictorCommand {
    /// Serve on HOST (0.0.0.0) and PORT (5000) until a signal.
    Serve,
}

impl PredictorArgs {
    /// Serves it.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn run(&self) -> Result<ExitCode, CliError> {
        let PredictorCommand::Serve = self.what;
        predictor::run_from_env().await.map_err(CliError::Predictor)?;
        Ok(ExitCode::Ok)
    }
}
