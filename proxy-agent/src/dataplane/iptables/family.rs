//! The rules of one family: what is rendered, and when it is written.

use std::net::IpAddr;

use super::{
    backend, counters,
    figures::Figures,
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
    figures: Figures,
}

impl Rules {
    pub(super) fn new(family: Family, backend: Backend, renderer: Renderer) -> Self {
        Self {
            family,
            backend,
            renderer,
            is_whole: false,
            figures: Figures::default(),
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
                self.write()
            };
        }
        if self.backend.has_chain(TABLES[0], CANARY) {
            return Ok(Applied::default());
        }
        tracing::warn!(family = ?self.family, "the iptables rules were flushed: writing them again");
        self.write_all()
    }

    pub(super) fn set_node_addresses(&mut self, addresses: &[IpAddr]) -> Result<(), IptablesError> {
        if self.renderer.set_node_addresses(addresses) && self.is_whole {
            self.write()?;
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

    pub(super) const fn figures(&self) -> Figures {
        self.figures
    }

    /// A claim that is made in vain has rules, too.
    fn touches(&self, delta: &Delta) -> bool {
        let mut frontends = delta.frontends.iter().chain(&delta.conflicts);
        delta.node
            || !delta.service_ports.is_empty()
            || delta.lists.iter().any(|list| list.family == self.family)
            || frontends.any(|key| key.address.family() == self.family)
    }

    fn write_all(&mut self) -> Result<Applied, IptablesError> {
        // Rules count nothing where none can be made, and where they can, a rule without its counter is refused.
        drop(counters::again());
        let tables = backend::tables(&self.backend)?;
        let stale = tables.stale(&self.renderer);
        let mut text = self.renderer.text(Extent::Full, &stale);
        text += &tables.missing(&text);
        self.restore(&text, Extent::Full)?;
        Ok(self.written(Extent::Full, stale.len()))
    }

    fn write(&mut self) -> Result<Applied, IptablesError> {
        let stale = self.renderer.left();
        let text = self.renderer.text(Extent::Partial, &stale);
        self.restore(&text, Extent::Partial)?;
        Ok(self.written(Extent::Partial, stale.len()))
    }

    fn restore(&mut self, text: &str, extent: Extent) -> Result<(), IptablesError> {
        self.is_whole = false;
        let restored = self.backend.restore(text);
        if restored.is_err() {
            self.figures.failed(extent);
        }
        restored
    }

    fn written(&mut self, extent: Extent, deletes: usize) -> Applied {
        let rules = self.renderer.rule_counts(extent);
        self.figures.rules = self.renderer.rule_counts(Extent::Full);
        self.figures.last = rules;
        self.renderer.written();
        self.is_whole = true;
        Applied {
            updates: rules.filter + rules.nat,
            deletes,
            again_in: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataplane::iptables::render::Settings,
        model::{FrontendAddress, FrontendKey, Protocol},
        netfilter::iptables::BACKENDS,
    };

    #[test]
    fn a_family_has_something_to_write_for_claims_in_vain_and_nothing_for_the_other_family() {
        let key = FrontendKey {
            address: FrontendAddress::AnyNode(Family::V4),
            port: 80,
            protocol: Protocol::Tcp,
        };
        let in_vain = Delta {
            conflicts: [key].into(),
            ..Delta::default()
        };
        for (family, is_touched) in [(Family::V4, true), (Family::V6, false)] {
            let rules = Rules::new(family, BACKENDS[0], Renderer::new(Settings::of(family)));
            assert_eq!(rules.touches(&in_vain), is_touched, "{family:?}");
            assert!(!rules.touches(&Delta::default()));
        }
    }
}
