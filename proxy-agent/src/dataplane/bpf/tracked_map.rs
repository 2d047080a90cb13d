//! A map whose content is known, so that only what differs is written.

use std::collections::BTreeMap;

use super::maps::{MapError, TypedMap};

/// A map and what is in it. An entry counts as written only after its own write has succeeded.
pub struct TrackedMap<K, V> {
    map: Box<dyn TypedMap<K, V>>,
    known: BTreeMap<K, V>,
    writes: Writes,
}

/// How much a pass has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Entries inserted or replaced.
    pub updates: usize,
    /// Entries deleted.
    pub deletes: usize,
}

impl<K: Ord + Copy, V: Copy + PartialEq> TrackedMap<K, V> {
    /// Reads what an earlier run left in the map.
    ///
    /// # Errors
    /// When the map can't be read.
    pub fn load(map: impl TypedMap<K, V> + 'static) -> Result<Self, MapError> {
        let known = map.entries()?.into_iter().collect();
        Ok(Self {
            map: Box::new(map),
            known,
            writes: Writes::default(),
        })
    }

    /// What is in the map.
    pub const fn known(&self) -> &BTreeMap<K, V> {
        &self.known
    }

    /// Makes `key` have `value`.
    ///
    /// # Errors
    /// When the write fails.
    pub fn set(&mut self, key: K, value: V) -> Result<(), MapError> {
        if self.known.get(&key) == Some(&value) {
            return Ok(());
        }
        self.map.insert(&key, &value)?;
        self.known.insert(key, value);
        self.writes.updates += 1;
        Ok(())
    }

    /// Deletes each entry that `keep` does not want.
    ///
    /// # Errors
    /// When a deletion fails.
    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) -> Result<(), MapError> {
        let stale: Vec<K> = self.known.keys().filter(|key| !keep(key)).copied().collect();
        for key in stale {
            self.map.remove(&key)?;
            self.known.remove(&key);
            self.writes.deletes += 1;
        }
        Ok(())
    }

    /// Makes the map's content `wanted`: writes first, deletions after.
    ///
    /// # Errors
    /// When a write or deletion fails.
    pub fn replace(&mut self, wanted: &BTreeMap<K, V>) -> Result<(), MapError> {
        for (key, value) in wanted {
            self.set(*key, *value)?;
        }
        self.retain(|key| wanted.contains_key(key))
    }

    /// What was written since the last call.
    pub fn take_writes(&mut self) -> Writes {
        std::mem::take(&mut self.writes)
    }
}

#[cfg(test)]
mod tests {
    use super::{TrackedMap, Writes};
    use crate::dataplane::bpf::maps::MemoryMap;

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let mut map = TrackedMap::load(MemoryMap([(1, 10), (2, 20)].into())).unwrap();
        map.replace(&[(1, 10), (3, 30)].into()).unwrap();
        assert_eq!(
            map.take_writes(),
            Writes {
                updates: 1,
                deletes: 1
            }
        );
        map.replace(&[(1, 10), (3, 30)].into()).unwrap();
        assert_eq!(map.take_writes(), Writes::default());
    }
}
