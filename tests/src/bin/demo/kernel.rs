//! What the kernel holds: by our own tool, and by one that knows nothing of us.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use harness::{agent::pins, exec};
use serde_json::Value;

use crate::{paint, signals, stage::Stage};

/// Lines of a table that are shown.
const LINES: usize = 14;

/// Entries of a map that are shown.
const ENTRIES: usize = 2;

/// Columns of the screen.
const WIDTH: usize = 96;

/// Prints tables and maps of node1.
pub(crate) fn print(stage: &Stage) -> Result<()> {
    println!("\n{}", paint::heading("What node1's kernel holds"));
    for what in ["services", "endpoints", "flows", "counters"] {
        signals::check()?;
        print_table(stage, what)?;
    }
    for map in ["FRONTENDS4", "ENDPOINTS4"] {
        print_map(stage, map)?;
    }
    Ok(())
}

fn print_table(stage: &Stage, what: &str) -> Result<()> {
    println!("\n  {}", paint::dim(&format!("$ kube-portal inspect {what}")));
    let table = exec::output(&mut stage.agent().command(&["inspect", what]))?;
    let lines: Vec<&str> = table.lines().collect();
    for line in lines.iter().take(LINES) {
        println!("  {}", cut(line));
    }
    if lines.len() > LINES {
        println!(
            "  {}",
            paint::dim(&format!("… {} more lines", lines.len() - LINES))
        );
    }
    Ok(())
}

fn print_map(stage: &Stage, name: &str) -> Result<()> {
    let path = pinned(stage, name)?;
    println!(
        "\n  {}",
        paint::dim(&format!("$ bpftool map dump pinned {}", path.display()))
    );
    let entries = dump(&path)?;
    for entry in entries.iter().take(ENTRIES) {
        for line in wrap(&entry.to_string()) {
            println!("  {line}");
        }
    }
    if entries.len() > ENTRIES {
        println!(
            "  {}",
            paint::dim(&format!("… {} more entries", entries.len() - ENTRIES))
        );
    }
    Ok(())
}

/// Where the agent of node1 has pinned the map.
pub(crate) fn pinned(stage: &Stage, name: &str) -> Result<PathBuf> {
    let root = stage.agent().pin_root();
    let found = pins(root)?.into_iter().find(|path| path.ends_with(name));
    found.with_context(|| format!("no map {name} is pinned below {}", root.display()))
}

/// The entries with the names of their fields, which `bpftool` has from BTF.
fn dump(path: &Path) -> Result<Vec<Value>> {
    let json = exec::output(
        std::process::Command::new("bpftool")
            .args(["-j", "map", "dump", "pinned"])
            .arg(path),
    )?;
    let entries: Vec<Value> = serde_json::from_str(&json).context("bpftool printed no JSON list")?;
    Ok(entries
        .into_iter()
        .map(|mut entry| entry.get_mut("formatted").map_or(Value::Null, Value::take))
        .collect())
}

fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}

fn wrap(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(WIDTH)
        .map(|line| line.iter().collect())
        .collect()
}
