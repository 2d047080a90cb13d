//! Maps in memory for tests: looked at from outside while the agent writes them, and failing when told to.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::maps::{MapError, TypedMap};

/// A map in memory. Its clones are the same map, so a test can look at it while the agent writes it.
#[derive(Debug)]
pub(super) struct MemoryMap<K, V>(Arc<Mutex<BTreeMap<K, V>>>);

/// Fails some calls, before or after doing what they ask for.
pub(super) struct FaultyMap<M> {
    map: M,
    faults: Faults,
}

/// Which calls fail: drawn from a seed, and the same draws for all maps that share it.
#[derive(Clone, Debug)]
pub(super) struct Faults(Arc<Mutex<Draws>>);

#[derive(Debug)]
struct Draws {
    percent: u64,
    random: u64,
}

/// A map that holds no more than so many entries, as those in the kernel.
pub(super) struct FullMap<M> {
    /// The map.
    pub(super) map: M,
    /// So many.
    pub(super) capacity: usize,
}

/// Calls `after` with every change that got through.
pub(super) struct WatchedMap<M> {
    /// The map.
    pub(super) map: M,
    /// What looks at it.
    pub(super) after: Arc<dyn Fn() + Send + Sync>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> Default for MemoryMap<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> Clone for MemoryMap<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Ord + Copy, V: Copy> MemoryMap<K, V> {
    /// What is in it now.
    pub(super) fn content(&self) -> BTreeMap<K, V> {
        lock(&self.0).clone()
    }
}

impl<K: Ord + Copy + Send, V: Copy + Send> TypedMap<K, V> for MemoryMap<K, V> {
    fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        Ok(self.content().into_iter().collect())
    }

    fn insert(&mut self, key: &K, value: &V) -> Result<(), MapError> {
        lock(&self.0).insert(*key, *value);
        Ok(())
    }

    fn remove(&mut self, key: &K) -> Result<(), MapError> {
        lock(&self.0).remove(key);
        Ok(())
    }
}

impl Faults {
    /// One call in ten fails. Tells the seed: a failed test shows it.
    pub(super) fn from_seed(seed: u64) -> Self {
        println!("faults from seed {seed}");
        Self(Arc::new(Mutex::new(Draws {
            percent: 10,
            random: seed,
        })))
    }

    /// No call fails until told otherwise.
    pub(super) fn none() -> Self {
        let faults = Self::from_seed(0);
        faults.set_percent(0);
        faults
    }

    /// No call fails until the answer's [`Paused::resume`].
    pub(super) fn pause(&self) -> Paused<'_> {
        let percent = lock(&self.0).percent;
        self.set_percent(0);
        Paused(self, percent)
    }

    /// From now on, so many calls in a hundred fail.
    pub(super) fn set_percent(&self, percent: u64) {
        lock(&self.0).percent = percent;
    }

    fn around<T>(&self, call: impl FnOnce() -> Result<T, MapError>) -> Result<T, MapError> {
        let (fails, after) = lock(&self.0).draw();
        if fails && !after {
            return Err(injected());
        }
        let result = call();
        if fails { Err(injected()) } else { result }
    }
}

/// Faults that don't happen for a while.
#[must_use]
pub(super) struct Paused<'a>(&'a Faults, u64);

impl Paused<'_> {
    /// From now on they happen again.
    pub(super) fn resume(self) {
        self.0.set_percent(self.1);
    }
}

impl Draws {
    /// Whether the call fails, and whether after doing what it asks for. SplitMix64.
    fn draw(&mut self) -> (bool, bool) {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        ((mixed >> 1) % 100 < self.percent, mixed & 1 == 1)
    }
}

fn injected() -> MapError {
    error(io::Error::other("injected"))
}

fn error(source: io::Error) -> MapError {
    MapError {
        map: "memory".to_owned(),
        operation: "any",
        source,
    }
}

impl<M> FaultyMap<M> {
    /// Fails when `faults` says so.
    pub(super) fn new(map: M, faults: &Faults) -> Self {
        Self {
            map,
            faults: faults.clone(),
        }
    }
}

impl<K, V, M: TypedMap<K, V>> TypedMap<K, V> for FaultyMap<M> {
    fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        self.faults.around(|| self.map.entries())
    }

    fn insert(&mut self, key: &K, value: &V) -> Result<(), MapError> {
        self.faults.around(|| self.map.insert(key, value))
    }

    fn remove(&mut self, key: &K) -> Result<(), MapError> {
        self.faults.around(|| self.map.remove(key))
    }
}

impl<K: PartialEq, V, M: TypedMap<K, V>> TypedMap<K, V> for FullMap<M> {
    fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        self.map.entries()
    }

    fn insert(&mut self, key: &K, value: &V) -> Result<(), MapError> {
        let entries = self.map.entries()?;
        if entries.len() >= self.capacity && entries.iter().all(|(known, _)| known != key) {
            return Err(error(io::Error::from(nix::errno::Errno::E2BIG)));
        }
        self.map.insert(key, value)
    }

    fn remove(&mut self, key: &K) -> Result<(), MapError> {
        self.map.remove(key)
    }
}

impl<K, V, M: TypedMap<K, V>> TypedMap<K, V> for WatchedMap<M> {
    fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        self.map.entries()
    }

    fn insert(&mut self, key: &K, value: &V) -> Result<(), MapError> {
        self.map.insert(key, value)?;
        (self.after)();
        Ok(())
    }

    fn remove(&mut self, key: &K) -> Result<(), MapError> {
        self.map.remove(key)?;
        (self.after)();
        Ok(())
    }
}
