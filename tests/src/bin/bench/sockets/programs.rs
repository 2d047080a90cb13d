//! What the kernel says about our programs of sockets: the time of a run, without what the kernel's measuring adds.

use std::{collections::BTreeMap, fs, io, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::{
    programs::{
        ProgramInfo,
        links::{FdLink, PinnedLink},
        loaded_programs,
    },
    sys::{Stats, enable_stats},
};
use proxy_agent::{dataplane::bpf::object::PinDir, model::Family};

use super::{probes::Asked, stage::Stage, way::Client};
use crate::{
    empty_program,
    figures::{Bound, Figure},
    load,
};

/// What the names of all of them begin with.
const PREFIX: &str = "socket_";
/// How much of its time in the smallest cluster, whose frontends the processor's cache holds, a run may take more in the largest.
const FLAT: f64 = 0.5;
/// Nanoseconds that it may take more whatever that is of it: less than a look-up in cold memory.
const FLAT_AT_LEAST: f64 = 100.0;

/// Which programs are measured how.
struct Probe {
    client: Client,
    is_tcp: bool,
    /// Without the digit of the family.
    programs: [&'static str; 2],
}

/// Each of its own two programs runs once an exchange.
const PROBES: [Probe; 2] = [
    Probe {
        client: Client::Pod,
        is_tcp: true,
        programs: ["connect", "release"],
    },
    Probe {
        client: Client::Host,
        is_tcp: false,
        programs: ["sendmsg", "recvmsg"],
    },
];

/// The rows.
pub(super) fn measure(stage: &Stage, services: u32, slice: Duration) -> Result<Vec<Figure>> {
    // Counting goes on until this is dropped.
    let _counting = enable_stats(Stats::RunTime).context("the kernel does not count the programs' time")?;
    let size = services.to_string();
    let measuring = empty_program::nanoseconds()?;
    let mut rows = vec![Figure::new(empty_program::MEASURING, &size, measuring, "ns")];
    for probe in &PROBES {
        for family in Family::ALL {
            for asked in [Asked::Hit, Asked::Miss] {
                let times = probe.times(stage, family, asked, slice)?;
                rows.extend(times.into_iter().map(|(program, time)| {
                    Figure::new(
                        &what(&program, family, asked),
                        &size,
                        (time - measuring).max(0.0),
                        "ns",
                    )
                }));
            }
        }
    }
    Ok(rows)
}

/// By how many nanoseconds a run may take longer in the largest cluster, of those that it takes in the smallest.
pub(super) fn flat(smallest: f64) -> Bound {
    Bound::AtMost((smallest * FLAT).max(FLAT_AT_LEAST).round())
}

/// Whether a row is the time of a program.
pub(super) fn is_time(row: &Figure) -> bool {
    row.what.starts_with(PREFIX)
}

fn what(program: &str, family: Family, asked: Asked) -> String {
    let asked = match asked {
        Asked::Hit => "Service",
        Asked::Miss => "no Service",
    };
    format!("{program}: {family}, {asked}")
}

impl Probe {
    /// Nanoseconds of a run of each of its programs.
    fn times(
        &self,
        stage: &Stage,
        family: Family,
        asked: Asked,
        slice: Duration,
    ) -> Result<Vec<(String, f64)>> {
        let names = self.programs.map(|name| full_name(name, family));
        let before = programs(&stage.pins())?;
        let exchanges = self.run(stage, family, asked, slice)?;
        let after = programs(&stage.pins())?;
        let time = |name: &String| {
            let find = |all: &BTreeMap<String, ProgramInfo>| {
                let program = all.get(name).with_context(|| format!("no program {name}"))?;
                anyhow::Ok((program.run_count(), program.run_time()))
            };
            let (first, last) = (find(&before)?, find(&after)?);
            let (runs, time) = (last.0 - first.0, last.1.saturating_sub(first.1));
            ensure!(
                runs >= exchanges,
                "{name} ran {runs} times in {exchanges} exchanges"
            );
            Ok((name.clone(), time.as_secs_f64() * 1e9 / runs as f64))
        };
        names.iter().map(time).collect()
    }

    /// How often the programs have to run.
    fn run(&self, stage: &Stage, family: Family, asked: Asked, slice: Duration) -> Result<u64> {
        let target = stage.probes.target(family, asked).context("no target")?;
        let exchange = || {
            if self.is_tcp {
                load::connections(&[target], slice).map(|all| all.connects.len() as u64)
            } else {
                load::exchanges(target, slice)
            }
        };
        stage
            .run(self.client, exchange)?
            .with_context(|| format!("no answer from {target}"))
    }
}

fn full_name(name: &str, family: Family) -> String {
    let digit = match family {
        _ if name == "release" => "",
        Family::V4 => "4",
        Family::V6 => "6",
    };
    format!("{PREFIX}{name}{digit}")
}

/// The programs whose links are pinned there, by name.
fn programs(pins: &PinDir) -> Result<BTreeMap<String, ProgramInfo>> {
    let directory = pins.sockets();
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let number = |entry: io::Result<fs::DirEntry>| {
        let path = entry?.path();
        let link = FdLink::from(PinnedLink::from_pin(&path)?);
        anyhow::Ok(link.info()?.program_id())
    };
    let numbers: Vec<u32> = entries.map(number).collect::<Result<_>>()?;
    Ok(loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| numbers.contains(&program.id()))
        .map(|program| (program.name_as_str().unwrap_or("?").to_owned(), program))
        .collect())
}
