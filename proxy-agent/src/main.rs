//! The binary `kube-portal`: see `kube-portal --help`.

use std::process::ExitCode;

use proxy_agent::explain::explain;

fn main() -> ExitCode {
    match proxy_agent::cli::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kube-portal: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}
