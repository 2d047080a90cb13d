//! What the kernel says about our programs on the first node: their time per packet, and how long the verifier needed.
//!
//! What the kernel's measuring itself takes is a row of its own, and taken off the others.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    programs::{ProgramInfo, SchedClassifier, TcAttachType},
    sys::{Stats, enable_stats},
};
use harness::netns::NetNs;
use nix::net::if_::if_nameindex;

use super::{
    path::Path,
    rounds::{self, Load},
    twin::Twin,
};
use crate::{
    empty_program,
    figures::{Bound, Figure},
};

/// What a packet of a connection that is open may cost at one hook.
const ESTABLISHED: Bound = Bound::AtMost(150.0);

/// The rows.
pub(super) fn measure(twin: &Twin, services: u32, slice: Duration) -> Result<Vec<Figure>> {
    let [node, _] = twin.nodes();
    // Counting goes on until this is dropped.
    let _counting = enable_stats(Stats::RunTime).context("the kernel does not count the programs' time")?;
    let size = services.to_string();
    let measuring = empty_program::nanoseconds()?;
    let mut rows: Vec<Figure> = programs(&node.ns)?
        .values()
        .filter_map(|program| {
            let what = format!("{}: verified instructions", name(program));
            let instructions = program.verified_instruction_count()?;
            Some(Figure::new(&what, &size, f64::from(instructions), ""))
        })
        .collect();
    rows.push(Figure::new(empty_program::MEASURING, &size, measuring, "ns"));
    for path in Path::ALL {
        for load in [Load::Requests, Load::Connections] {
            let times = of_path(twin, &node.ns, path, load, slice)?;
            rows.extend(times.into_iter().map(|(name, time)| {
                let what = format!("{name}: {}, {}", path.label(), packets(load));
                let target = matches!(load, Load::Requests).then_some(ESTABLISHED);
                Figure {
                    target,
                    ..Figure::new(&what, &size, (time - measuring).max(0.0), "ns")
                }
            }));
        }
    }
    Ok(rows.into_iter().map(|row| row.of(twin.proxy.label())).collect())
}

/// Nanoseconds that each program took for a packet.
fn of_path(twin: &Twin, node: &NetNs, path: Path, load: Load, slice: Duration) -> Result<Vec<(String, f64)>> {
    let before = programs(node)?;
    rounds::run(twin, path, load, slice)?;
    let after = programs(node)?;
    let time = |(id, program): (&u32, &ProgramInfo)| {
        let first = before.get(id)?;
        let runs = program.run_count() - first.run_count();
        let time = program.run_time().saturating_sub(first.run_time());
        let nanoseconds = time.as_secs_f64() * 1e9 / runs as f64;
        (runs > 0).then(|| (name(program).to_owned(), nanoseconds))
    };
    Ok(after.iter().filter_map(time).collect())
}

const fn packets(load: Load) -> &'static str {
    match load {
        Load::Connections => "packet of CRR",
        Load::Requests | Load::Stream => "established packet",
    }
}

/// The TCX programs on the devices of `node`, by their number in the kernel.
fn programs(node: &NetNs) -> Result<BTreeMap<u32, ProgramInfo>> {
    let query = || {
        let mut programs = BTreeMap::new();
        for interface in &if_nameindex()? {
            let device = interface.name().to_string_lossy();
            for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
                let (_, attached) = SchedClassifier::query_tcx(&device, direction)
                    .with_context(|| format!("cannot ask the kernel for the programs of {device}"))?;
                programs.extend(attached.into_iter().map(|program| (program.id(), program)));
            }
        }
        Ok(programs)
    };
    node.run(query)
}

fn name(program: &ProgramInfo) -> &str {
    program.name_as_str().unwrap_or("?")
}
