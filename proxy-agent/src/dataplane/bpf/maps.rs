//! BPF maps by the types of their keys and values.

use std::{borrow::Borrow, io};

use aya::{
    Pod,
    maps::{
        Array, HashMap, Map, MapData, MapError as AyaError,
        lpm_trie::{Key, LpmTrie},
    },
};
use ipnet::IpNet;
use proxy_common::{Address, SourceRange};

/// A map as the agent writes it.
pub trait TypedMap<K, V>: Send {
    /// Everything in it.
    ///
    /// # Errors
    /// When the kernel refuses to read it.
    fn entries(&self) -> Result<Vec<(K, V)>, MapError>;

    /// Inserts or replaces.
    ///
    /// # Errors
    /// When the kernel refuses, for example because the map is full.
    fn insert(&mut self, key: &K, value: &V) -> Result<(), MapError>;

    /// Removes, if it is there.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn remove(&mut self, key: &K) -> Result<(), MapError>;
}

/// An operation on a map that failed.
#[derive(Debug, thiserror::Error)]
#[error("BPF map {map}: {operation}: {source}{}", remedy(map, source))]
pub struct MapError {
    /// Name of the map.
    pub map: String,
    /// What was tried.
    pub operation: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

fn remedy(map: &str, error: &io::Error) -> &'static str {
    match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::E2BIG | nix::errno::Errno::ENOSPC) => full(map),
        Some(nix::errno::Errno::EPERM) => " (the agent needs root, or CAP_BPF and CAP_NET_ADMIN)",
        _ => "",
    }
}

fn full(map: &str) -> &'static str {
    match map.trim_end_matches(['4', '6']) {
        "FRONTENDS" => " (the map is full: restart the agent with a higher --max-frontends)",
        "ENDPOINTS" | "LIST_MEMBERS" => " (the map is full: restart the agent with a higher --max-endpoints)",
        "SOURCE_RANGES" => {
            " (the map is full: Services have more loadBalancerSourceRanges than this version serves)"
        }
        "SERVICES" => " (the map is full: restart the agent with a higher --max-services)",
        _ => " (the map is full: this node has more than this version serves)",
    }
}

fn io_error(error: AyaError) -> io::Error {
    match error {
        AyaError::SyscallError(error) => error.io_error,
        AyaError::KeyNotFound | AyaError::ElementNotFound => io::ErrorKind::NotFound.into(),
        other => io::Error::other(other),
    }
}

/// A hash map in the kernel.
pub struct KernelMap<K, V> {
    name: &'static str,
    map: HashMap<MapData, K, V>,
}

impl<K: Pod, V: Pod> KernelMap<K, V> {
    /// From a map of the loaded object.
    ///
    /// # Errors
    /// When it is not a hash map of these types.
    pub fn new(name: &'static str, map: Map) -> Result<Self, AyaError> {
        Ok(Self {
            name,
            map: HashMap::try_from(map)?,
        })
    }

    fn error(&self, operation: &'static str) -> impl Fn(AyaError) -> MapError + use<K, V> {
        let map = self.name.to_owned();
        move |error| MapError {
            map: map.clone(),
            operation,
            source: io_error(error),
        }
    }
}

impl<K: Pod + Send, V: Pod + Send> TypedMap<K, V> for KernelMap<K, V> {
    fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        self.map
            .iter()
            .collect::<Result<_, _>>()
            .map_err(self.error("read"))
    }

    fn insert(&mut self, key: &K, value: &V) -> Result<(), MapError> {
        self.map.insert(key, value, 0).map_err(self.error("write"))
    }

    fn remove(&mut self, key: &K) -> Result<(), MapError> {
        match self.map.remove(key.borrow()).map_err(self.error("delete")) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// A range of clients: the bits of a [`SourceRange`] that count, and the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeKey<A> {
    /// Service port and first address.
    pub range: SourceRange<A>,
    /// How many bits of it count.
    pub bits: u32,
}

impl<A: Address> RangeKey<A> {
    /// The clients of `network` at Service port `service`; `None` if they are of the other family.
    #[must_use]
    pub fn new(service: u32, network: IpNet) -> Option<Self> {
        Some(Self {
            range: SourceRange::new(service, A::from_ip(network.network())?),
            bits: SourceRange::<A>::SERVICE_BITS + u32::from(network.prefix_len()),
        })
    }

    /// Not above any of Service port `service`, in the order of keys.
    #[must_use]
    pub const fn first_of(service: u32) -> Self {
        Self {
            range: SourceRange::new(service, A::ANY),
            bits: 0,
        }
    }
}

/// `SOURCE_RANGES` in the kernel.
pub struct KernelRanges<A> {
    name: &'static str,
    map: LpmTrie<MapData, SourceRange<A>, u32>,
}

impl<A> KernelRanges<A>
where
    SourceRange<A>: Pod,
{
    /// From a map of the loaded object.
    ///
    /// # Errors
    /// When it is no trie of these types.
    pub fn new(name: &'static str, map: Map) -> Result<Self, AyaError> {
        Ok(Self {
            name,
            map: LpmTrie::try_from(map)?,
        })
    }

    fn error(&self, operation: &'static str, error: AyaError) -> MapError {
        MapError {
            map: self.name.to_owned(),
            operation,
            source: io_error(error),
        }
    }
}

impl<A: Send> TypedMap<RangeKey<A>, u32> for KernelRanges<A>
where
    SourceRange<A>: Pod,
{
    fn entries(&self) -> Result<Vec<(RangeKey<A>, u32)>, MapError> {
        let entry = |(key, value): (Key<SourceRange<A>>, u32)| {
            let (range, bits) = (key.data(), key.prefix_len());
            (RangeKey { range, bits }, value)
        };
        let entries = self.map.iter().map(|found| found.map(entry));
        entries
            .collect::<Result<_, _>>()
            .map_err(|error| self.error("read", error))
    }

    fn insert(&mut self, key: &RangeKey<A>, value: &u32) -> Result<(), MapError> {
        let key = Key::new(key.bits, key.range);
        self.map
            .insert(&key, value, 0)
            .map_err(|error| self.error("write", error))
    }

    fn remove(&mut self, key: &RangeKey<A>) -> Result<(), MapError> {
        let key = Key::new(key.bits, key.range);
        match self.map.remove(&key).map_err(|error| self.error("delete", error)) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// An array of one element in the kernel.
pub struct KernelCell<V: Pod> {
    name: &'static str,
    map: Array<MapData, V>,
}

impl<V: Pod> KernelCell<V> {
    /// From a map of the loaded object.
    ///
    /// # Errors
    /// When it is not an array of this type.
    pub fn new(name: &'static str, map: Map) -> Result<Self, AyaError> {
        Ok(Self {
            name,
            map: Array::try_from(map)?,
        })
    }

    fn error(&self, operation: &'static str, error: AyaError) -> MapError {
        MapError {
            map: self.name.to_owned(),
            operation,
            source: io_error(error),
        }
    }
}

impl<V: Pod + Send> TypedMap<u32, V> for KernelCell<V> {
    fn entries(&self) -> Result<Vec<(u32, V)>, MapError> {
        self.map
            .get(&0, 0)
            .map(|value| vec![(0, value)])
            .map_err(|error| self.error("read", error))
    }

    fn insert(&mut self, key: &u32, value: &V) -> Result<(), MapError> {
        self.map
            .set(*key, value, 0)
            .map_err(|error| self.error("write", error))
    }

    fn remove(&mut self, _key: &u32) -> Result<(), MapError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_map_names_the_flag_to_raise() {
        for (map, flag) in [
            ("FRONTENDS6", "--max-frontends"),
            ("ENDPOINTS4", "--max-endpoints"),
            ("LIST_MEMBERS6", "--max-endpoints"),
            ("SERVICES", "--max-services"),
        ] {
            for errno in [nix::errno::Errno::E2BIG, nix::errno::Errno::ENOSPC] {
                let error = MapError {
                    map: map.to_owned(),
                    operation: "write",
                    source: errno.into(),
                };
                let text = error.to_string();
                assert!(text.contains("is full") && text.contains(flag), "{text}");
            }
        }
    }
}
