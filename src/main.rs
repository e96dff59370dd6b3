//! The binary: parse, run, exit code.

fn main() -> std::process::ExitCode {
    labguard::cli::main().into()
}
