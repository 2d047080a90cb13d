//! What packets pay for Services. Without kube-proxy, which needs an API server that takes longer to start than all of this.

use std::{collections::BTreeSet, process::Command, sync::LazyLock};

use serde_json::Value;

use crate::run;

const PATHS: [&str; 6] = [
    "pod → local pod",
    "pod → remote pod",
    "pod → ClusterIP → local pod",
    "pod → ClusterIP → remote pod",
    "outside → NodePort → local pod",
    "outside → NodePort → remote pod",
];
const METRICS: [&str; 5] = ["CRR", "connect, median", "connect, p99", "RR", "throughput"];
const PROGRAMS: [&str; 2] = ["tc_ingress", "tc_egress"];

/// Of one run for all tests.
static FIGURES: LazyLock<Value> = LazyLock::new(|| run::quick(bench()));

#[test]
fn the_smallest_run_measures_every_path_with_and_without_us_and_says_what_it_left_out() {
    let expected: BTreeSet<String> = PATHS
        .iter()
        .flat_map(|path| {
            let metrics = METRICS.iter().flat_map(move |metric| {
                let what = format!("{path}: {metric}");
                [
                    format!("bare: {what}"),
                    format!("empty programs: {what}"),
                    format!("empty programs: {what} of bare"),
                    format!("kube-portal: {what}"),
                    format!("kube-portal: {what} of bare"),
                ]
            });
            let programs = PROGRAMS.iter().flat_map(move |program| {
                ["established packet", "packet of CRR"]
                    .map(|packet| format!("kube-portal: {program}: {path}, {packet}"))
            });
            metrics.chain(programs)
        })
        .chain(PROGRAMS.map(|program| format!("kube-portal: {program}: verified instructions")))
        .chain(["kube-portal: the kernel's measuring itself, taken off".to_owned()])
        .collect();
    let rows = FIGURES["rows"].as_array().unwrap();
    let measured: BTreeSet<String> = rows.iter().map(name).collect();
    assert_eq!(measured, expected);
    for row in rows {
        assert!(row["value"].as_f64() > Some(0.0), "{row}");
    }
    let skipped = FIGURES["skipped"].to_string();
    assert!(skipped.contains("beside kube-proxy"), "{skipped}");
    assert!(FIGURES["notes"].to_string().contains("--seed "), "{}", *FIGURES);
}

#[test]
fn each_missed_target_is_named_and_the_run_fails_by_it_and_by_nothing_else() {
    let mut figures = FIGURES.clone();
    run::meet_targets(&mut figures);
    let met = run::check(bench(), &figures);
    assert!(met.status.success(), "{met:?}");

    let rows = figures["rows"].as_array_mut().unwrap();
    let what = "outside → NodePort → remote pod: CRR of bare";
    let ours = |row: &&mut Value| row["what"] == what && row["proxy"] == "kube-portal";
    rows.iter_mut().find(ours).unwrap()["value"] = 0.9.into();
    let missed = run::check(bench(), &figures);
    assert_eq!(missed.status.code(), Some(1), "{missed:?}");
    assert_eq!(
        String::from_utf8(missed.stderr).unwrap(),
        format!("missed: kube-portal: {what}, 10 Services: 0.90, should be at least 0.95\n")
    );
}

#[test]
fn an_interrupted_run_takes_everything_down() {
    run::interrupt(bench());
}

fn name(row: &Value) -> String {
    let text = |field: &str| row[field].as_str().unwrap();
    format!("{}: {}", text("proxy"), text("what"))
}

fn bench() -> Command {
    let mut command = run::bench("datapath");
    command.env_remove("KUBE_PORTAL_APISERVER_DIR");
    command
}
