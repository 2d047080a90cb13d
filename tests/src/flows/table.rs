//! The files.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use proxy_agent::model::{Family, Protocol};

use super::{Flow, parse};
use crate::world::Variant;

/// What every flow is tried with.
pub const VARIANTS: [Variant; 4] = [
    variant(Family::V4, Protocol::Tcp),
    variant(Family::V4, Protocol::Udp),
    variant(Family::V6, Protocol::Tcp),
    variant(Family::V6, Protocol::Udp),
];

const fn variant(family: Family, protocol: Protocol) -> Variant {
    Variant { family, protocol }
}

/// All flows, in the order of the files' names.
///
/// # Errors
///
/// There is no file, or one of them cannot be read or is not understood.
pub fn table() -> Result<Vec<Flow>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/flows"));
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    ensure!(!paths.is_empty(), "no table in {}", folder.display());
    let mut flows: Vec<Flow> = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let first = flows.last().map_or(0, |flow| flow.block.number) + 1;
        flows.extend(parse::file(&name, &text, first)?);
    }
    Ok(flows)
}
