//! A run of one benchmark, and what it says of figures.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
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

/// Interrupts a run that measures already, and expects it to end with nothing left behind.
pub(crate) fn interrupt(mut bench: Command) {
    let mut bench = bench.arg("--quick").stderr(Stdio::piped()).spawn().unwrap();
    let process = Pid::from_raw(bench.id().try_into().unwrap());
    let mut log = BufReader::new(bench.stderr.take().unwrap()).lines();
    let mut until = |text: &str| log.by_ref().map(Result::unwrap).find(|line| line.contains(text));
    assert!(until("round 1 of").is_some());
    assert!(!namespaces(process).is_empty());
    kill(process, Signal::SIGINT).unwrap();
    assert!(until("interrupted").is_some());
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    assert_eq!(namespaces(process), [""; 0]);
}

fn namespaces(process: Pid) -> Vec<String> {
    let names = fs::read_dir("/run/netns").unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(&format!("kp-{process}-")))
        .collect()
}
