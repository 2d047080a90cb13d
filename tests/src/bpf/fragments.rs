//! What the programs remember of fragments, and what time would do to it.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{HashMap, MapData},
};
use proxy_common::{Fragment, FragmentKey, FragmentedKey};

/// `FRAGMENTS` and `FRAGMENTED` of one family.
pub struct Fragments<A> {
    first: HashMap<MapData, FragmentKey<A>, Fragment<A>>,
    addresses: HashMap<MapData, FragmentedKey<A>, u32>,
}

impl<A: Copy> Fragments<A>
where
    FragmentKey<A>: Pod,
    Fragment<A>: Pod,
    FragmentedKey<A>: Pod,
{
    pub(crate) fn take(object: &mut Ebpf, [first, addresses]: [&str; 2]) -> Result<Self> {
        let mut map = |name: &str| {
            object
                .take_map(name)
                .with_context(|| format!("the object lacks map {name}"))
        };
        Ok(Self {
            first: HashMap::try_from(map(first)?)?,
            addresses: HashMap::try_from(map(addresses)?)?,
        })
    }

    pub(crate) fn clear(&mut self) -> Result<()> {
        for key in self.first.keys().collect::<Result<Vec<_>, _>>()? {
            self.first.remove(&key)?;
        }
        for key in self.addresses.keys().collect::<Result<Vec<_>, _>>()? {
            self.addresses.remove(&key)?;
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.first.keys().count()
    }

    /// Makes everything look as if it had been seen so many seconds before.
    pub(crate) fn age(&mut self, seconds: u32) -> Result<()> {
        for entry in self.first.iter().collect::<Result<Vec<_>, _>>()? {
            let (key, first) = entry;
            let seen = first.seen().wrapping_sub(seconds);
            self.first.insert(key, Fragment::put(*first.address(), seen), 0)?;
        }
        for entry in self.addresses.iter().collect::<Result<Vec<_>, _>>()? {
            let (key, since) = entry;
            self.addresses.insert(key, since.wrapping_sub(seconds), 0)?;
        }
        Ok(())
    }
}
