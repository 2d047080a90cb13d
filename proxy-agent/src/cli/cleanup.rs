//! `kube-portal cleanup`.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;

use super::Pins;
use crate::{
    dataplane::{
        bpf::{
            cleanup::cleanup,
            drain::{Drain, Left},
            object::PinDir,
        },
        iptables,
    },
    node::{self, NodeFacts},
};

/// Time between two looks at what is left to be drained, and between two lines about it.
const LOOK: Duration = Duration::from_secs(1);
const TELL: Duration = Duration::from_secs(10);

/// Flags of `cleanup`.
#[derive(Debug, Args)]
pub struct Cleanup {
    #[command(flatten)]
    pins: Pins,

    /// Cut nothing: the programs go on with the connections that they have and leave new ones to whoever serves this node now, such as
    /// kube-proxy, whose rules stay. When the last has ended, the programs are removed. Can be interrupted and repeated.
    #[arg(long)]
    drain: bool,
}

impl Cleanup {
    pub(super) fn execute(&self) -> Result<()> {
        let (pins, root) = (self.pins.dir(), self.pins.pin_root.display());
        if self.drain {
            drain(&pins)?;
            println!("removed: programs, links and maps of {root}");
        } else {
            cleanup(&pins, &facts()?)?;
            iptables::cleanup()?;
            println!("removed: programs, links and maps of {root}, and the rules of iptables");
        }
        Ok(())
    }
}

fn drain(pins: &PinDir) -> Result<()> {
    pins.remove_others()?;
    let Some(mut drain) = Drain::begin(pins)? else {
        return cleanup(pins, &facts()?);
    };
    let mut told: Option<(Left, Instant)> = None;
    loop {
        if !drain.goes_on()? {
            bail!("`kube-portal run` serves this node: end it first, then repeat");
        }
        let left = drain.look()?;
        if left.is_none() {
            return drain.finish(&facts()?);
        }
        if told.is_none_or(|(before, at)| before != left && at.elapsed() >= TELL) {
            let Left { tcp, udp } = left;
            eprintln!("draining: {tcp} TCP connections and {udp} UDP flows have not ended");
            told = Some((left, Instant::now()));
        }
        thread::sleep(LOOK);
    }
}

fn facts() -> Result<NodeFacts> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(node::dump())?)
}
