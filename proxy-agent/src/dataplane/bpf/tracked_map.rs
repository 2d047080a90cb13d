//! A map whose content is known, so that only what differs is written.

use std::{collections::BTreeMap, ops::RangeBounds};

use super::maps::{MapError, TypedMap};

/// A map and what is in it. An entry counts as written only after its own write has succeeded.
pub struct TrackedMap<K, V> {
    map: Box<dyn TypedMap<K, V>>,
    known: BTreeMap<K, V>,
    /// A call has failed: what it did to the map is unknown.
    in_doubt: bool,
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
            in_doubt: false,
            writes: Writes::default(),
        })
    }

    /// What is in the map.
    pub const fn known(&self) -> &BTreeMap<K, V> {
        &self.known
    }

    /// Reads the map again if a call has failed since the last time.
    ///
    /// # Errors
    /// When the map can't be read.
    pub fn settle(&mut self) -> Result<(), MapError> {
        if self.in_doubt {
            self.known = self.map.entries()?.into_iter().collect();
            self.in_doubt = false;
        }
        Ok(())
    }

    /// Reads the map again and tells how many entries are not as they were written.
    ///
    /// # Errors
    /// When the map can't be read.
    pub fn count_drift(&mut self) -> Result<usize, MapError> {
        let found: BTreeMap<K, V> = self.map.entries()?.into_iter().collect();
        let written = std::mem::replace(&mut self.known, found);
        self.in_doubt = false;
        let gone = written.keys().filter(|key| !self.known.contains_key(key));
        let other = self
            .known
            .iter()
            .filter(|(key, value)| written.get(key) != Some(value));
        Ok(gone.count() + other.count())
    }

    /// Makes `key` have `value`.
    ///
    /// # Errors
    /// When the write fails.
    pub fn set(&mut self, key: K, value: V) -> Result<(), MapError> {
        if self.known.get(&key) == Some(&value) {
            return Ok(());
        }
        self.map
            .insert(&key, &value)
            .inspect_err(|_| self.in_doubt = true)?;
        self.known.insert(key, value);
        self.writes.updates += 1;
        Ok(())
    }

    /// Deletes each entry that `keep` does not want.
    ///
    /// # Errors
    /// The first failure; the other entries are deleted all the same.
    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) -> Result<(), MapError> {
        let stale: Vec<K> = self.known.keys().filter(|key| !keep(key)).copied().collect();
        self.remove_all(stale)
    }

    /// Deletes each entry of a range of keys.
    ///
    /// # Errors
    /// The first failure; the other entries are deleted all the same.
    pub fn remove_range(&mut self, keys: impl RangeBounds<K>) -> Result<(), MapError> {
        let stale: Vec<K> = self.known.range(keys).map(|(key, _)| *key).collect();
        self.remove_all(stale)
    }

    /// Deletes the entries of these keys, if they are there.
    ///
    /// # Errors
    /// The first failure; the other entries are deleted all the same.
    pub fn remove_all(&mut self, keys: impl IntoIterator<Item = K>) -> Result<(), MapError> {
        let mut result = Ok(());
        for key in keys {
            result = result.and(self.remove(key));
        }
        result
    }

    fn remove(&mut self, key: K) -> Result<(), MapError> {
        if !self.known.contains_key(&key) {
            return Ok(());
        }
        self.map.remove(&key).inspect_err(|_| self.in_doubt = true)?;
        self.known.remove(&key);
        self.writes.deletes += 1;
        Ok(())
    }

    /// Makes the map's content `wanted`: writes first, deletions after.
    ///
    /// # Errors
    /// The first failure; everything else is written and deleted all the same.
    pub fn replace(&mut self, wanted: &BTreeMap<K, V>) -> Result<(), MapError> {
        self.settle()?;
        self.set_all(wanted)
            .and(self.retain(|key| wanted.contains_key(key)))
    }

    /// Makes each key of `wanted` have its value.
    ///
    /// # Errors
    /// The first failure; the other entries are written all the same.
    pub fn set_all(&mut self, wanted: &BTreeMap<K, V>) -> Result<(), MapError> {
        let mut result = Ok(());
        for (key, value) in wanted {
            result = result.and(self.set(*key, *value));
        }
        result
    }

    /// What was written since the last call.
    pub fn take_writes(&mut self) -> Writes {
        std::mem::take(&mut self.writes)
    }
}

#[cfg(test)]
mod tests {
    use super::{TrackedMap, Writes};
    use crate::dataplane::bpf::{
        maps::TypedMap,
        memory::{Faults, FaultyMap, FullMap, MemoryMap},
    };

    fn memory(entries: &[(u32, u32)]) -> MemoryMap<u32, u32> {
        let mut map = MemoryMap::default();
        for (key, value) in entries {
            map.insert(key, value).unwrap();
        }
        map
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let mut map = TrackedMap::load(memory(&[(1, 10), (2, 20)])).unwrap();
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

    #[test]
    fn whatever_failed_calls_did_the_map_ends_up_as_wanted() {
        let memory = memory(&[]);
        let faults = Faults::from_seed(7);
        faults.set_percent(0);
        let mut map = TrackedMap::load(FaultyMap::new(memory.clone(), &faults)).unwrap();
        for round in 0..200 {
            // The wanted content goes back and forth, so that a write that is wrongly believed undone shows.
            let wanted = (0..4)
                .filter(|key| (round >> key) & 1 == 0)
                .map(|key| (key, round % 2))
                .collect();
            faults.set_percent(50);
            let _ = map.replace(&[(round % 5, 9)].into());
            let _ = map.replace(&wanted);
            faults.set_percent(0);
            map.replace(&wanted).unwrap();
            assert_eq!(memory.content(), wanted, "round {round}");
        }
    }

    #[test]
    fn an_entry_that_does_not_fit_keeps_no_other_from_being_written_and_fits_once_stale_ones_are_gone() {
        let memory = memory(&[(8, 1), (9, 1)]);
        let full = FullMap {
            map: memory.clone(),
            capacity: 2,
        };
        let mut map = TrackedMap::load(full).unwrap();
        let wanted = [(1, 1), (9, 2)].into();
        map.replace(&wanted).unwrap_err();
        assert_eq!(memory.content(), [(9, 2)].into());
        map.replace(&wanted).unwrap();
        assert_eq!(memory.content(), wanted);
    }
}
