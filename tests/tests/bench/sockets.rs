//! What connections pay that get their endpoint at connect.

use std::{collections::BTreeSet, process::Command, sync::LazyLock};

use serde_json::Value;

use crate::run;

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
/// Of each family. What is behind the colon, and what should come of it.
const COMPARISONS: [[&str; 3]; 9] = [
    ["pod → ClusterIP", "CRR of direct", r#"{"at_least":0.97}"#],
    ["pod → ClusterIP", "RR of direct", r#"{"at_least":0.99}"#],
    ["pod of --socket-lb host → ClusterIP", "CRR of direct", "null"],
    ["pod of --socket-lb host → ClusterIP", "RR of direct", "null"],
    ["host → ClusterIP", "CRR of direct", r#"{"at_least":0.97}"#],
    ["host → ClusterIP", "RR of direct", r#"{"at_least":0.99}"#],
    [
        "pod → no Service",
        "CRR of that without programs",
        r#"{"at_least":0.98}"#,
    ],
    [
        "pod → no Service",
        "UDP connect more than without programs",
        r#"{"at_most":1000.0}"#,
    ],
    [
        "host → no Service",
        "UDP connect more than without programs",
        r#"{"at_most":1000.0}"#,
    ],
];
const WAYS: [[&str; 2]; 18] = [
    ["pod → ClusterIP", "CRR"],
    ["pod → endpoint", "CRR"],
    ["pod → ClusterIP", "RR"],
    ["pod → endpoint", "RR"],
    ["pod of --socket-lb host → ClusterIP", "CRR"],
    ["pod of --socket-lb host → endpoint", "CRR"],
    ["pod of --socket-lb host → ClusterIP", "RR"],
    ["pod of --socket-lb host → endpoint", "RR"],
    ["host → ClusterIP", "CRR"],
    ["host → endpoint", "CRR"],
    ["host → ClusterIP", "RR"],
    ["host → endpoint", "RR"],
    ["pod → no Service", "CRR"],
    ["pod without programs → no Service", "CRR"],
    ["pod → no Service", "UDP connect"],
    ["pod without programs → no Service", "UDP connect"],
    ["host → no Service", "UDP connect"],
    ["host without programs → no Service", "UDP connect"],
];
/// With the family whose sockets they see.
const PROGRAMS: [[&str; 2]; 8] = [
    ["socket_connect4", "IPv4"],
    ["socket_connect6", "IPv6"],
    ["socket_sendmsg4", "IPv4"],
    ["socket_sendmsg6", "IPv6"],
    ["socket_recvmsg4", "IPv4"],
    ["socket_recvmsg6", "IPv6"],
    ["socket_release", "IPv4"],
    ["socket_release", "IPv6"],
];

/// Of one run for all tests.
static FIGURES: LazyLock<Value> = LazyLock::new(|| run::quick(bench()));

#[test]
fn the_smallest_run_measures_every_way_and_every_program_in_both_sizes_and_compares_them() {
    let programs = || {
        PROGRAMS.iter().flat_map(|[program, family]| {
            ["Service", "no Service"].map(|asked| format!("{program}: {family}, {asked}"))
        })
    };
    let others = [
        "connections translated at connect",
        "the kernel's measuring itself, taken off",
    ];
    let of_a_size = || {
        let ways = WAYS.iter().flat_map(|[way, load]| of_families(way, load));
        let others = others.iter().map(ToString::to_string);
        comparisons()
            .map(|(what, _)| what)
            .chain(ways)
            .chain(others)
            .chain(programs())
    };
    let of_both = comparisons().map(|(what, _)| {
        let relation = if what.contains("more than") {
            "more than"
        } else {
            "of that"
        };
        format!("{what}: {relation} at 10")
    });
    let of_both = of_both.chain(programs().map(|what| format!("{what}: more than at 10")));
    let expected: BTreeSet<(String, String)> = of_a_size()
        .map(|what| ("10".to_owned(), what))
        .chain(of_a_size().chain(of_both).map(|what| ("20".to_owned(), what)))
        .collect();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let rows = FIGURES["rows"].as_array().unwrap();
    let measured: BTreeSet<(String, String)> = rows
        .iter()
        .map(|row| (text(row, "size"), text(row, "what")))
        .collect();
    assert_eq!(measured, expected);
    for row in rows {
        let what = text(row, "what");
        // A run of a program can be too short to be told from the measuring.
        let may_be_none = what.contains("more than") || what.starts_with("socket_");
        assert!(may_be_none || row["value"].as_f64() > Some(0.0), "{row}");
    }
    assert!(FIGURES["notes"].to_string().contains("--seed "), "{}", *FIGURES);
}

#[test]
fn each_missed_target_of_sockets_is_named_and_the_run_fails_by_it_and_by_nothing_else() {
    let mut figures = FIGURES.clone();
    run::meet_targets(&mut figures);
    let met = run::check(bench(), &figures);
    assert!(met.status.success(), "{met:?}");

    let missed = [
        (
            "10",
            "pod → no Service, IPv6: UDP connect more than without programs",
            1000.0,
            1100.0,
        ),
        (
            "20",
            "socket_connect4: IPv4, Service: more than at 10",
            100.0,
            150.0,
        ),
    ];
    let rows = figures["rows"].as_array_mut().unwrap();
    for (size, what, most, value) in missed {
        let is_it = |row: &&mut Value| row["what"] == what && row["size"] == size;
        let row = rows.iter_mut().find(is_it).unwrap();
        row["target"]["at_most"] = most.into();
        row["value"] = value.into();
    }
    let missed = run::check(bench(), &figures);
    assert_eq!(missed.status.code(), Some(1), "{missed:?}");
    assert_eq!(
        String::from_utf8(missed.stderr).unwrap(),
        "missed: pod → no Service, IPv6: UDP connect more than without programs, 10 Services: 1100 ns, should be at most \
         1000 ns\n\
         missed: socket_connect4: IPv4, Service: more than at 10, 20 Services: 150 ns, should be at most 100 ns\n"
    );
}

#[test]
fn an_interrupted_run_takes_its_nodes_and_agents_down() {
    run::interrupt(bench());
}

#[test]
fn every_target_of_connections_translated_at_connect_is_one_of_the_check() {
    let rows = FIGURES["rows"].as_array().unwrap();
    for (what, target) in comparisons() {
        let row = rows.iter().find(|row| row["what"] == what).unwrap();
        assert_eq!(row["target"].to_string(), target, "{what}");
    }
}

fn comparisons() -> impl Iterator<Item = (String, &'static str)> {
    let of = |[way, load, target]: &[&'static str; 3]| of_families(way, load).map(|what| (what, *target));
    COMPARISONS.iter().flat_map(of)
}

fn of_families(way: &str, load: &str) -> [String; 2] {
    FAMILIES.map(|family| format!("{way}, {family}: {load}"))
}

fn bench() -> Command {
    run::bench("sockets")
}
