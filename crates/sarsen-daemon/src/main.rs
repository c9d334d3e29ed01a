//! The one binary: daemon, command line and git hook.

use std::process::ExitCode;

use sarsen_daemon::command;

// The router allocates a dozen times per request; with the C library's allocator that is a twentieth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Nothing before this: scripts call us hundreds of times.
    ExitCode::from(command::run(
        std::env::args_os(),
        &std::env::vars_os().collect(),
    ))
}
