//! `labguard sandbox`: AWS's protocol on loopback, for the AWS CLI and boto3.

use std::net::SocketAddr;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::super::{CliError, Context, ExitCode, output::Icon, signals::Signals, wiring};
use crate::sandbox::{
    faults::{self, FaultRule},
    latency::Latency,
};

fn latency(name: &str) -> Result<Latency, String> {
    Latency::named(name).ok_or_else(|| "expected zero, fast or aws".to_owned())
}

fn fault_help() -> String {
    let mut text =
        "Fault to switch on, as OPERATION=KIND[:WHEN], such as ecs:RunTask=capacity:2 (the first two calls), \
                    ecs:*=throttle:30% or *=lost-answer:@3 (the third call only); may be given several times.\n\nKinds:"
            .to_owned();
    for (name, meaning) in faults::catalogue() {
        text.push_str(&format!("\n  {name}: {meaning}"));
    }
    text
}

/// Arguments of `sandbox`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labguard sandbox
  export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=labguard-sandbox AWS_SECRET_ACCESS_KEY=sandbox
  aws ecs create-cluster --cluster-name lab")]
pub struct SandboxArgs {
    /// Where to listen; loopback only.
    #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// How long AWS's waits take: zero, fast or aws.
    #[arg(long, default_value = "fast", value_parser = latency, value_name = "PROFILE")]
    pub latency: Latency,
    /// Seed of ids and of faults that come by chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Fault to switch on, as OPERATION=KIND[:WHEN]; may be given several times.
    #[arg(long, value_name = "FAULT", long_help = fault_help())]
    pub fault: Vec<String>,
}

impl SandboxArgs {
    /// The faults, where everything that was given is sound: all that is not is said at once, before anything listens.
    fn checked(&self) -> Result<Vec<FaultRule>, CliError> {
        let mut wrong = Vec::new();
        if !self.listen.ip().is_loopback() {
            wrong.push(format!(
                "refusing to listen on {}: other machines could reach it, and the sandbox asks nobody who they are; give a \
                 loopback address such as --listen 127.0.0.1:{}, and forward its port (`ssh -L`) where another machine \
                 needs it",
                self.listen,
                self.listen.port()
            ));
        }
        let faults = faults::read_all(&self.fault).unwrap_or_else(|errors| {
            wrong.extend(errors.iter().map(|error| format!("--fault {error}")));
            Vec::new()
        });
        if wrong.is_empty() { Ok(faults) } else { Err(CliError::Configuration(wrong.join("\n"))) }
    }

    /// Serves it until a signal.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on, or a fault is none.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let faults = self.checked()?;
        let failed = |source| CliError::Local { what: format!("listen on {}", self.listen), source };
        let listener = tokio::net::TcpListener::bind(self.listen).await.map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        context.output.say(Icon::Warn, "sandbox: not AWS, account 000000000000; everything here is gone when it stops");
        if context.output.json {
            context.output.print_json_line(&serde_json::json!({ "endpoint_url": url }))?;
        } else {
            context.output.print(&url)?;
        }
        let stop = CancellationToken::new();
        let mut signals = Signals::listen();
        let signalled = stop.clone();
        tokio::spawn(async move {
            signals.nth(1).await;
            signalled.cancel();
        });
        wiring::serve_sandbox(listener, self.seed, faults, self.latency.clone(), stop).await?;
        Ok(ExitCode::Ok)
    }
}
