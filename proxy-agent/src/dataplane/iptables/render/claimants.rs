//! Which Service ports have a rule for a frontend, so that a change of the one can be followed to the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use thin_vec::ThinVec;

use crate::model::{Desired, FrontendKey, ServicePortId};

/// Service ports by frontend, and back.
#[derive(Debug, Default)]
pub(super) struct Claimants {
    ports: BTreeMap<FrontendKey, ThinVec<Arc<ServicePortId>>>,
    keys: BTreeMap<Arc<ServicePortId>, Vec<FrontendKey>>,
}

impl Claimants {
    /// Follows what `desired` says of a frontend, and adds those who claim it or have claimed it to `touched`.
    pub(super) fn update(
        &mut self,
        desired: &Desired,
        key: &FrontendKey,
        touched: &mut BTreeSet<Arc<ServicePortId>>,
    ) {
        let before = self.ports.remove(key).unwrap_or_default();
        for port in &before {
            self.keys
                .entry(Arc::clone(port))
                .or_default()
                .retain(|claimed| claimed != key);
        }
        let claims = desired.frontends.get(key).into_iter();
        let claims = claims.chain(desired.refused.get(key).into_iter().flatten());
        let after: ThinVec<_> = claims.map(|claim| self.claim(&claim.service_port, key)).collect();
        for port in &before {
            if self.keys(port).is_empty() {
                self.keys.remove(port);
            }
        }
        touched.extend(before.into_iter().chain(after.iter().cloned()));
        if !after.is_empty() {
            self.ports.insert(key.clone(), after);
        }
    }

    /// The one copy of its name that is kept, if it has a claim.
    pub(super) fn shared(&self, port: &ServicePortId) -> Option<&Arc<ServicePortId>> {
        self.keys.get_key_value(port).map(|(shared, _)| shared)
    }

    /// What it claims.
    pub(super) fn keys(&self, port: &ServicePortId) -> &[FrontendKey] {
        self.keys.get(port).map_or(&[], Vec::as_slice)
    }

    fn claim(&mut self, port: &ServicePortId, key: &FrontendKey) -> Arc<ServicePortId> {
        let shared = self.shared(port).cloned();
        let shared = shared.unwrap_or_else(|| Arc::new(port.clone()));
        let keys = self.keys.entry(Arc::clone(&shared)).or_default();
        keys.push(key.clone());
        shared
    }
}
