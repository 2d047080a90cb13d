//! The agent beside a changing cluster. The part through the API server is skipped without kube-apiserver and etcd.

use std::collections::BTreeSet;

use harness::apiserver;

use crate::run;

const IN_MEMORY: [&str; 9] = [
    "cold start",
    "peak memory after it",
    "one endpoint changed",
    "one Service added",
    "one Service added: ratio",
    "1 % of the endpoints replaced in one pass",
    "deleting their old lists",
    "a Service of 100 endpoints added",
    "a Service of 100 endpoints, one of them replaced",
];
const SYSTEM_CALLS: [&str; 2] = [
    "system calls per changed endpoint",
    "system calls per added Service",
];
const THROUGH_THE_API: [&str; 4] = [
    "agent: process start to maps complete",
    "agent: peak memory",
    "API: answer to the write until map written",
    "API: the same beside 10 changes a second, from the answer",
];

#[test]
fn the_smallest_run_measures_everything_and_writes_it_as_json() {
    let figures = run::quick(run::bench("control-plane"));
    let rows = figures["rows"].as_array().unwrap();
    let measured: BTreeSet<_> = rows.iter().map(|row| row["what"].as_str().unwrap()).collect();
    let skipped = figures["skipped"].to_string();
    let mut missing: Vec<_> = IN_MEMORY.to_vec();
    if !skipped.contains("system calls") {
        missing.extend(SYSTEM_CALLS);
    }
    if apiserver::find("the_smallest_run_measures_everything: the part through the API server").is_some() {
        missing.extend(THROUGH_THE_API);
        assert!(!skipped.contains("with the target"), "{skipped}");
    }
    missing.retain(|what| !measured.contains(what));
    assert_eq!(missing, [""; 0], "of {measured:?}; skipped: {skipped}");
    for row in rows {
        assert!(row["value"].as_f64().unwrap() >= 0.0, "{row}");
    }
    assert!(figures["cpus"].as_u64().unwrap() > 0, "{figures}");
    assert!(!figures["kernel"].as_str().unwrap().is_empty(), "{figures}");
}
