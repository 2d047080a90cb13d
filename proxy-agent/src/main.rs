//! The binary `kube-portal`: see `kube-portal --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match proxy_agent::cli::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kube-portal: {error:#}");
            ExitCode::FAILURE
        }
    }
}
