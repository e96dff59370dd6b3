//! The command line: one tree, one file a command, data on stdout, talk on stderr, documented exit codes.
//!
//! It decides nothing about sessions: commands ask the daemon's API, `run` and `demo` host one.

mod client;
pub mod command;
mod context;
pub mod error;
pub mod exit_code;
pub mod output;
mod signals;
pub mod tree;
mod wiring;

pub use context::Context;
pub use error::CliError;
pub use exit_code::ExitCode;
pub use tree::Cli;

use self::tree::Command;

/// Parses the command line, does what it says, and answers the exit code: one of [`ExitCode`]'s, or that of the command
/// which `with-lease` ran. Wrong usage leaves here with 2.
#[must_use]
pub fn main() -> u8 {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let Command::Contain(args) = cli.command {
        // Becomes the container's process: no runtime, no other thread.
        return args.run().number();
    }
    if let Command::Sentinel(args) = &cli.command {
        // Its own threads and exit codes.
        args.run();
    }
    let context = Context::new(cli.global);
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(dispatch(cli.command, &context));
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            outcome
        }
        Err(source) => Err(CliError::Local { what: "start the runtime".into(), source }),
    };
    outcome.unwrap_or_else(|error| {
        context.output.fail(&error);
        error.exit_code().number()
    })
}

async fn dispatch(command: Command, context: &Context) -> Result<u8, CliError> {
    let ended = match command {
        Command::WithLease(args) => return args.run(context).await,
        Command::Demo(args) => args.run(context).await,
        Command::Run(args) => args.run(context).await,
        Command::Up(args) => args.run(context).await,
        Command::Down(args) => args.run(context).await,
        Command::Status(args) => args.run(context).await,
        Command::Plan(args) => args.run(context).await,
        Command::Budgets(args) => args.run(context).await,
        Command::Extend(args) => args.run(context).await,
        Command::Touch(args) => args.run(context).await,
        Command::Stop(args) => args.run(context).await,
        Command::Resume(args) => args.run(context).await,
        Command::History(args) => args.run(context).await,
        Command::Receipt(args) => args.run(context).await,
        Command::Cost(args) => args.run(context).await,
        Command::Journal(args) => args.run(context).await,
        Command::Image(args) => args.run(context).await,
        Command::Rates(args) => args.run(context).await,
        Command::Sweep(args) => args.run(context).await,
        Command::Sandbox(args) => args.run(context).await,
        Command::Config(args) => args.run(context),
        Command::Completions(args) => args.run(context),
        Command::Contain(args) => Ok(args.run()),
        Command::Predictor(args) => args.run().await,
        Command::Sentinel(args) => args.run(),
    };
    ended.map(ExitCode::number)
}
