//! The rules of iptables mode. The part beside kube-proxy is skipped without kube-apiserver, etcd and kube-proxy.

use std::{collections::BTreeSet, process::Command, sync::LazyLock};

use harness::{apiserver, kube_proxy};
use serde_json::Value;

use crate::run;

const OF_A_FAMILY: [&str; 7] = [
    "all rules, as a full restore text",
    "its length",
    "peak memory, with the objects",
    "one endpoint changed, as a partial restore text",
    "one endpoint changed, its length",
    "one Service added, as a partial restore text",
    "one Service added, its length",
];
const BESIDE: [&str; 4] = [
    "first full sync",
    "partial sync, one endpoint changed",
    "answer to the write until that sync is over",
    "peak memory of the process",
];

/// Of one run for all tests.
static FIGURES: LazyLock<Value> = LazyLock::new(|| run::quick(bench()));

#[test]
fn the_smallest_run_renders_both_families_and_says_what_it_left_out() {
    let skipped = FIGURES["skipped"].to_string();
    let of_families = ["IPv4", "IPv6"]
        .into_iter()
        .flat_map(|family| OF_A_FAMILY.map(|what| format!("{family}: {what}")));
    let mut expected: BTreeSet<String> = of_families.collect();
    let has_programs =
        apiserver::find("the_smallest_run: beside kube-proxy").is_some() && kube_proxy::find().is_some();
    if has_programs {
        let sides = ["kube-portal", "kube-proxy", "ratio"];
        expected.extend(
            BESIDE
                .iter()
                .flat_map(|what| sides.map(|side| format!("{what}: {side}"))),
        );
    }
    assert_eq!(skipped.contains("beside kube-proxy"), !has_programs, "{skipped}");
    let rows = FIGURES["rows"].as_array().unwrap();
    let measured: BTreeSet<String> = rows
        .iter()
        .map(|row| row["what"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(measured, expected);
    for row in rows {
        assert!(row["value"].as_f64() > Some(0.0), "{row}");
    }
}

#[test]
fn a_change_that_takes_a_millisecond_is_named_and_fails_the_run_and_a_shorter_one_does_not() {
    let mut figures = FIGURES.clone();
    for row in figures["rows"].as_array_mut().unwrap() {
        let Some(limit) = row["target"]["below"].as_f64() else {
            continue;
        };
        assert!(
            row["what"]
                .as_str()
                .unwrap()
                .ends_with(" as a partial restore text")
        );
        assert!((limit - 1.0).abs() < f64::EPSILON, "{row}");
        row["value"] = 0.99.into();
    }
    let met = run::check(bench(), &figures);
    assert!(met.status.success(), "{met:?}");

    let what = "IPv6: one Service added, as a partial restore text";
    let rows = figures["rows"].as_array_mut().unwrap();
    let row = rows
        .iter_mut()
        .find(|row| row["what"] == what && row["size"] == "20");
    row.unwrap()["value"] = 1.0.into();
    let missed = run::check(bench(), &figures);
    assert_eq!(missed.status.code(), Some(1), "{missed:?}");
    assert_eq!(
        String::from_utf8(missed.stderr).unwrap(),
        format!("missed: {what}, 20 Services: 1.00 ms, should be below 1 ms\n")
    );
}

fn bench() -> Command {
    run::bench("iptables")
}
