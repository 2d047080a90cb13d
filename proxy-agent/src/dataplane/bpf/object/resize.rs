//! Maps that are to have another size: a new one takes over what the old one holds.
//!
//! The programs that are attached go on with the old map, which is complete, until those that know the new one replace them.

use std::{fs, io, path::PathBuf};

use anyhow::{Context, Result};
use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapInfo},
};

use super::{super::tracked_map::TrackedMap, PinDir};

/// Moves the map's pin away if its size is another one, so that a new map is made in its place.
///
/// What an interrupted run has set aside already is what counts: its new map may lack entries.
pub(super) fn set_aside(pins: &PinDir, name: &str, size: u32) -> Result<()> {
    let (pin, old) = (pins.map(name), old_pin(pins, name));
    if name.contains("FLOWS") || !pin.exists() {
        return Ok(());
    }
    let action = if old.exists() {
        fs::remove_file(&pin)
    } else if max_entries(&pin)? == size {
        Ok(())
    } else {
        fs::rename(&pin, &old)
    };
    action.with_context(|| format!("cannot set aside BPF map {}", pin.display()))
}

/// Copies into `map` what the map that was set aside for it holds.
pub(super) fn take_over<K, V>(pins: &PinDir, name: &str, map: &mut TrackedMap<K, V>) -> Result<()>
where
    K: Pod + Ord + Send,
    V: Pod + PartialEq + Send,
{
    let pin = old_pin(pins, name);
    if !pin.exists() {
        return Ok(());
    }
    let read = || format!("cannot read BPF map {}", pin.display());
    let old = Map::HashMap(MapData::from_pin(&pin).with_context(read)?);
    let old: HashMap<_, K, V> = old.try_into().with_context(read)?;
    for entry in old.iter() {
        let (key, value) = entry.with_context(read)?;
        map.set(key, value)?;
    }
    map.take_writes();
    fs::remove_file(&pin).with_context(|| format!("cannot remove {}", pin.display()))
}

fn old_pin(pins: &PinDir, name: &str) -> PathBuf {
    pins.map(&format!("{name}_old"))
}

fn max_entries(pin: &PathBuf) -> Result<u32> {
    let info = MapInfo::from_pin(pin).map_err(io::Error::other);
    Ok(info
        .with_context(|| format!("cannot open BPF map {}", pin.display()))?
        .max_entries())
}
