//! The one binary: daemon, command line and git hook.

use std::process::ExitCode;

use sarsen_daemon::command;

fn main() -> ExitCode {
    // Nothing before this: scripts call us hundreds of times.
    ExitCode::from(command::run(
        std::env::args_os(),
        &std::env::vars_os().collect(),
    ))
}
