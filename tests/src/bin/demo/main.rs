//! `cargo xtask demo`: kube-portal on two nodes made of network namespaces, with real HTTP through it.
//!
//! ```text
//! main ─▶ stage      topology, HTTP servers, agents; taken down on return, Ctrl-C and panic
//!      ─▶ picture    what stands
//!      ─▶ shares     who answers whom, and whom it sees
//!      ─▶ kernel     what the maps hold
//!      ─▶ scale      an endpoint leaves while requests run
//!      ─▶ explore    `--keep`: how to look around
//! ```

mod explore;
mod kernel;
mod paint;
mod picture;
mod scale;
mod shares;
mod stage;

use std::{env, process::ExitCode, time::Instant};

use anyhow::{Result, bail};
use harness::signals;

use stage::Stage;

const USAGE: &str = "usage: demo [--keep]

  --keep   leave everything standing until Ctrl-C and say how to look around";

fn main() -> ExitCode {
    match arguments().and_then(demo) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<signals::Interrupted>() => {
            eprintln!("\ndemo: {error}; everything is taken down");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("{} {error:#}", paint::stderr_red("demo:"));
            ExitCode::FAILURE
        }
    }
}

/// Whether to keep everything standing.
fn arguments() -> Result<bool> {
    let mut keep = false;
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--keep" => keep = true,
            _ => bail!("unknown argument {argument:?}\n{USAGE}"),
        }
    }
    Ok(keep)
}

fn demo(keep: bool) -> Result<()> {
    signals::catch()?;
    let began = Instant::now();
    let mut stage = Stage::set()?;
    picture::print(&stage, began.elapsed());
    shares::print(&stage)?;
    kernel::print(&stage)?;
    scale::print(&mut stage)?;
    if keep {
        explore::print_and_wait(&stage)?;
    }
    drop(stage);
    println!(
        "\nEverything is taken down after {:.1} s.",
        began.elapsed().as_secs_f32()
    );
    if !keep {
        println!("{}", paint::dim("`--keep` leaves it standing to look around."));
    }
    Ok(())
}
