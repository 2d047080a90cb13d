//! A run of one benchmark, and what it says of figures.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// The program, to measure this.
pub(crate) fn bench(what: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.arg(what);
    command
}

/// The figures of the smallest run.
pub(crate) fn quick(mut bench: Command) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("figures.json");
    let output = bench.args(["--quick", "--json"]).arg(&json).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap()
}

/// What it says of these figures.
pub(crate) fn check(mut bench: Command, figures: &Value) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let json: &Path = &directory.path().join("figures.json");
    fs::write(json, figures.to_string()).unwrap();
    bench.args(["--check", "--from"]).arg(json).output().unwrap()
}

/// Gives each row that has a target a value that just meets it.
pub(crate) fn meet_targets(figures: &mut Value) {
    for row in figures["rows"].as_array_mut().unwrap() {
        // `{"at_least": 0.95}`: a value at the bound is met.
        if let Some(bound) = row["target"]
            .as_object()
            .and_then(|target| target.values().next().cloned())
        {
            row["value"] = bound;
        }
    }
}
