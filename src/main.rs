//! The `tollgate` binary: parse the call, run it, choose the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate::cli::main()
}
