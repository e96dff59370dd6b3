//! The command tree, as clap reads it. Nothing is done here.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use super::command;

const EXAMPLES: &str = "\
Examples:
  labguard demo                        the whole job on the sandbox, no account needed
  labguard run                         the daemon, in the foreground
  labguard plan admission              what it would make, and cost
  labguard up admission                deploy, wait, print the address
  labguard status                      what runs, what ends it next, and when
  labguard extend admission --lifetime 30m
  labguard down admission              remove everything, print the receipt

Exit codes: 0 done, 1 session failed, 2 usage, 3 configuration, 4 no daemon, 5 not found,
6 refused, 7 left behind or stuck, 8 AWS refused, 9 internal, 130 interrupted.";

/// Runs lab sessions on AWS Fargate: deploys, watches, counts the cost, and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "labguard", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(propagate_version = true, infer_long_args = false)]
pub struct Cli {
    /// For every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that add up, before the command and after it: of clap's own global ones only those of one place would count.
const ADDING: [&str; 2] = ["config", "set"];

impl Cli {
    /// The whole tree, as it is parsed, shown and completed.
    #[must_use]
    pub fn tree() -> clap::Command {
        let root = Cli::command();
        let adding: Vec<clap::Arg> =
            root.get_arguments().filter(|arg| ADDING.contains(&arg.get_id().as_str())).cloned().collect();
        below(root, &adding)
    }

    /// Reads a command line, with the program's own name first.
    ///
    /// # Errors
    /// What is wrong with it, or what it asked to be shown, for people.
    pub fn read<W: Into<std::ffi::OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Result<Cli, clap::Error> {
        let mut tree = Cli::tree();
        let matches = tree.try_get_matches_from_mut(words)?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut tree))?;
        cli.global.config = everywhere(&matches, "config");
        cli.global.set = everywhere(&matches, "set");
        Ok(cli)
    }
}

/// The same command, whose subcommands take these flags, too.
fn below(command: clap::Command, flags: &[clap::Arg]) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |sub| below(sub.args(flags.to_vec()), flags)))
}

/// What a flag was given, from the program's name to the last subcommand.
fn everywhere<T: Clone + Send + Sync + 'static>(matches: &clap::ArgMatches, flag: &str) -> Vec<T> {
    let levels = std::iter::successors(Some(matches), |level| level.subcommand().map(|(_, deeper): (&str, _)| deeper));
    let given = levels.filter_map(|level| level.try_get_many::<T>(flag).ok().flatten());
    given.flatten().cloned().collect()
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file, or a folder for all *.toml in it, by name; may be given several times, later ones win. Commands that ask a running daemon read only
    /// `[daemon]` of it.
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Sets one configuration key, as KEY.PATH=VALUE; may be given several times. Commands that ask a running daemon take
    /// `daemon.*` only.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Data as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// Less talk: warnings and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More talk; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Address of the daemon; by default as the configuration says.
    #[arg(long, global = true, value_name = "URL", env = "LABGUARD_DAEMON")]
    pub daemon: Option<String>,
    /// Folder of the daemon's journal and token; by default as the configuration says.
    #[arg(long, global = true, value_name = "DIR", env = "LABGUARD_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On terminals, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole job on the embedded sandbox: no AWS account, no Docker, no network.
    Demo(command::demo::Demo),
    /// Run the daemon in the foreground.
    Run(command::run::Run),
    /// Open a session: deploy, wait until it is healthy, print its address.
    Up(command::up::Up),
    /// End a session: remove everything, prove it, print the receipt.
    Down(command::down::Down),
    /// What runs, why, what ends it next and exactly when.
    Status(command::status::Status),
    /// What a session would make, and what it would cost.
    Plan(command::plan::Plan),
    /// Budgets that sessions share: how far each is spent, and what happens next.
    Budgets(command::budgets::Budgets),
    /// Move a soft limit, inside its hard one.
    Extend(command::extend::Extend),
    /// Say that a session is in use.
    Touch(command::touch::Touch),
    /// Run a command; the session is in use while it runs.
    WithLease(command::with_lease::WithLease),
    /// Stop a session's tasks and keep the rest.
    Stop(command::stop::Stop),
    /// Run a stopped session's task again.
    Resume(command::resume::Resume),
    /// Receipts of closed sessions, newest first.
    History(command::history::History),
    /// The closing account of one session.
    Receipt(command::receipt::Receipt),
    /// What sessions cost: by session, owner, group or item, and over time.
    Cost(command::cost::Cost),
    /// What was meant, done, seen and asked of one session.
    Journal(command::journal::Journal),
    /// Look at an image, or push one, by hand.
    Image(command::image::ImageArgs),
    /// Prices: what each item costs, since when and who says so; take AWS's own.
    Rates(command::rates::RatesArgs),
    /// Find what bears labguard's tag and belongs to no live session; remove it with --yes.
    Sweep(command::sweep::Sweep),
    /// Serve the sandbox alone, for the AWS CLI and boto3.
    Sandbox(command::sandbox::SandboxArgs),
    /// Check, show or describe the configuration.
    Config(command::config::ConfigArgs),
    /// Print shell completions.
    Completions(command::completions::Completions),
    /// Run a sandbox container's process (started by labguard itself).
    #[command(name = "__contain", hide = true)]
    Contain(command::contain::Contain),
    /// The reference prediction service (started by labguard itself).
    #[command(hide = true)]
    Predictor(command::predictor::PredictorArgs),
    /// The guard inside a task (started by the task definition that labguard writes).
    #[command(hide = true)]
    Sentinel(command::sentinel::Sentinel),
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' '))
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::tree().debug_assert();
    }

    #[test]
    fn global_flags_stand_anywhere() {
        for line in ["labguard --json status", "labguard status --json"] {
            assert!(parse(line).unwrap().global.json, "{line}");
        }
        let cli = parse("labguard up admission --config a.toml --config b.toml --set x=1 -vv").unwrap();
        assert_eq!(cli.global.config.len(), 2);
        assert_eq!((cli.global.verbose, cli.global.set.as_slice()), (2, ["x=1".to_owned()].as_slice()));
        assert!(parse("labguard -q -v status").is_err());
    }

    #[test]
    fn what_is_set_before_the_command_and_after_it_counts_together_in_order() {
        for (line, set) in [
            ("labguard --set a=1 up x --set b=2", vec!["a=1", "b=2"]),
            ("labguard --set a=1 --set b=2 up x", vec!["a=1", "b=2"]),
            ("labguard --set a=1 rates --set b=2 refresh --set a=3", vec!["a=1", "b=2", "a=3"]),
            ("labguard --set a=1 with-lease --set b=2 -- env --set c=3", vec!["a=1", "b=2"]),
            ("labguard up x", vec![]),
        ] {
            assert_eq!(parse(line).unwrap().global.set, set, "{line}");
        }
        let cli = parse("labguard --config a.toml up x --config b.toml").unwrap();
        assert_eq!(cli.global.config, [PathBuf::from("a.toml"), PathBuf::from("b.toml")]);
        let help = parse("labguard rates refresh --help").unwrap_err().to_string();
        assert!(help.contains("--set <KEY=VALUE>") && help.contains("--config <FILE>"), "{help}");
        let wrong = parse("labguard up x --set").unwrap_err();
        assert_eq!((wrong.kind(), wrong.exit_code()), (ErrorKind::InvalidValue, 2));
    }

    #[test]
    fn extend_takes_exactly_one_limit_and_reads_it_strictly() {
        for good in ["--lifetime 30m", "--idle 1h", "--budget=0.50USD", "--budget $2"] {
            let line = format!("labguard extend admission {good}");
            assert_eq!(parse(&line).is_ok(), good != "--budget=0.50USD", "{line}");
        }
        assert!(Cli::read(["labguard", "extend", "admission", "--budget", "0.50 USD"]).is_ok());
        for bad in ["", " --lifetime 30m --idle 1h", " --lifetime soon", " --lifetime 0s", " --budget $0"] {
            let error = parse(&format!("labguard extend admission{bad}")).unwrap_err();
            assert_ne!(error.kind(), ErrorKind::DisplayHelp, "{bad}");
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn waiting_and_not_waiting_exclude_each_other() {
        assert!(parse("labguard up admission --detach").is_ok());
        assert!(parse("labguard down admission --wait").is_ok());
        assert!(parse("labguard up admission --wait --detach").is_err());
    }

    #[test]
    fn hidden_commands_are_there_and_not_shown() {
        assert!(parse("labguard predictor serve").is_ok());
        assert!(parse("labguard sentinel").is_ok() && parse("labguard sentinel healthy").is_ok());
        let help = Cli::tree().render_long_help().to_string();
        assert!(!help.contains("__contain") && !help.contains("predictor"), "{help}");
    }

    #[test]
    fn the_help_names_every_command_in_one_line() {
        let help = Cli::tree().render_help().to_string();
        let names: Vec<&str> = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(
            names,
            [
                "demo",
                "run",
                "up",
                "down",
                "status",
                "plan",
                "budgets",
                "extend",
                "touch",
                "with-lease",
                "stop",
                "resume",
                "history",
                "receipt",
                "cost",
                "journal",
                "image",
                "rates",
                "sweep",
                "sandbox",
                "config",
                "completions",
                "help",
            ]
        );
        assert!(help.contains("Global options:") && help.contains("Exit codes: 0 done"), "{help}");
    }
}
