//! The endpoints that clients keep, and what time would do to them.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{HashMap, MapData},
};
use proxy_common::{Address, Affinity, AffinityKey};

/// `AFFINITY` of one family.
pub struct Affinities<A>(HashMap<MapData, AffinityKey<A>, Affinity<A>>);

impl<A: Address> Affinities<A>
where
    AffinityKey<A>: Pod,
    Affinity<A>: Pod,
{
    pub(crate) fn take(object: &mut Ebpf, name: &str) -> Result<Self> {
        let map = object
            .take_map(name)
            .with_context(|| format!("the object lacks map {name}"))?;
        Ok(Self(HashMap::try_from(map)?))
    }

    pub(crate) fn clear(&mut self) -> Result<()> {
        for key in self.0.keys().collect::<Result<Vec<_>, _>>()? {
            self.0.remove(&key)?;
        }
        Ok(())
    }

    /// Makes every one look as if it had been chosen so many seconds before.
    pub(crate) fn age(&mut self, seconds: u32) -> Result<()> {
        for entry in self.0.iter().collect::<Result<Vec<_>, _>>()? {
            let (key, known) = entry;
            let last_used = known.last_used().wrapping_sub(seconds);
            self.0
                .insert(key, Affinity::new(known.endpoint(), last_used), 0)?;
        }
        Ok(())
    }
}
