//! The rules of one family: what is rendered, and when it is written.

use std::net::IpAddr;

use super::{
    backend,
    render::{Extent, Renderer, names::CANARY},
    tables::TABLES,
};
use crate::{
    dataplane::Applied,
    model::{Delta, Desired, Family},
    netfilter::iptables::{Backend, IptablesError},
};

/// One family's rules in the kernel.
#[derive(Debug)]
pub(super) struct Rules {
    family: Family,
    backend: Backend,
    renderer: Renderer,
    /// Whether everything rendered so far was written.
    is_whole: bool,
}

impl Rules {
    pub(super) const fn new(family: Family, backend: Backend, renderer: Renderer) -> Self {
        Self {
            family,
            backend,
            renderer,
            is_whole: false,
        }
    }

    pub(super) fn apply_all(
        &mut self,
        desired: &Desired,
        addresses: &[IpAddr],
    ) -> Result<Applied, IptablesError> {
        self.renderer.render_all(desired, addresses);
        self.write_all()
    }

    /// Everything is written anew if the canary is gone: somebody has flushed the rules.
    pub(super) fn apply_delta(
        &mut self,
        desired: &Desired,
        addresses: &[IpAddr],
        delta: &Delta,
    ) -> Result<Applied, IptablesError> {
        if self.touches(delta) {
            self.renderer.render(desired, addresses, delta);
            return if delta.node {
                self.write_all()
            } else {
                self.write(&[])
            };
        }
        if self.backend.has_chain(TABLES[0], CANARY) {
            return Ok(Applied::default());
        }
        tracing::warn!(family = ?self.family, "the iptables rules were flushed: writing them again");
        self.write_all()
    }

    pub(super) fn set_node_addresses(&mut self, addresses: &[IpAddr]) -> Result<(), IptablesError> {
        let before = self.renderer.text(Extent::Partial, &[]);
        self.renderer.set_node_addresses(addresses);
        if self.is_whole && self.renderer.text(Extent::Partial, &[]) != before {
            self.write(&[])?;
        }
        Ok(())
    }

    /// How many chains and jumps are not there.
    pub(super) fn count_drift(&self) -> Result<usize, IptablesError> {
        if !self.is_whole {
            return Ok(0);
        }
        let tables = backend::tables(&self.backend)?;
        Ok(tables.count_missing(self.renderer.active()))
    }

    fn touches(&self, delta: &Delta) -> bool {
        delta.node
            || !delta.service_ports.is_empty()
            || delta.lists.iter().any(|list| list.family == self.family)
            || delta
                .frontends
                .iter()
                .any(|key| key.address.family() == self.family)
    }

    fn write_all(&mut self) -> Result<Applied, IptablesError> {
        self.is_whole = false;
        let tables = backend::tables(&self.backend)?;
        let stale = tables.stale(&self.renderer);
        let mut text = self.renderer.text(Extent::Full, &stale);
        text += &tables.missing(&text);
        self.backend.restore(&text)?;
        Ok(self.written(Extent::Full, stale.len()))
    }

    fn write(&mut self, stale: &[String]) -> Result<Applied, IptablesError> {
        let left = self.renderer.left();
        let stale = [stale, &left].concat();
        let text = self.renderer.text(Extent::Partial, &stale);
        let result = self.backend.restore(&text);
        self.is_whole = result.is_ok();
        result.map(|()| self.written(Extent::Partial, stale.len()))
    }

    fn written(&mut self, extent: Extent, deletes: usize) -> Applied {
        let rules = self.renderer.rule_counts(extent);
        self.renderer.written();
        self.is_whole = true;
        Applied {
            updates: rules.filter + rules.nat,
            deletes,
            again_in: None,
        }
    }
}
