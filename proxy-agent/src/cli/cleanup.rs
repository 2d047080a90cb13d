//! `kube-portal cleanup`.

use anyhow::Result;
use clap::Args;

use super::Pins;
use crate::{
    dataplane::{bpf::cleanup::cleanup, iptables},
    node,
};

/// Flags of `cleanup`.
#[derive(Debug, Args)]
pub struct Cleanup {
    #[command(flatten)]
    pins: Pins,
}

impl Cleanup {
    pub(super) fn execute(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        cleanup(&self.pins.dir(), &runtime.block_on(node::dump())?)?;
        iptables::cleanup()?;
        println!(
            "removed: programs, links and maps of {}, and the rules of iptables",
            self.pins.pin_root.display()
        );
        Ok(())
    }
}
