//! All clusters in turn, so that a noisy minute of the machine concerns all of them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::signals;

use super::{
    Plan,
    metric::Metric,
    path::Path,
    twin::{Proxy, Twin},
};
use crate::{
    load::{self, Connections},
    progress::progress,
    random::Random,
    stats::{median, p99},
};

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) path: Path,
    pub(super) proxy: Proxy,
    pub(super) metric: Metric,
    pub(super) round: u32,
    pub(super) value: f64,
}

/// How traffic is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    Connections,
    Requests,
    Stream,
}

/// Every path of every cluster, so many rounds.
pub(super) fn measure(
    twins: &[&Twin],
    plan: &Plan,
    services: u32,
    random: &mut Random,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut order = twins.to_vec();
    for round in 0..plan.rounds {
        progress(&format!(
            "{services} Services: round {} of {}",
            round + 1,
            plan.rounds
        ));
        for path in Path::ALL {
            for load in [Load::Connections, Load::Requests, Load::Stream] {
                random.shuffle(&mut order);
                for twin in &order {
                    signals::check()?;
                    let slice = plan.slice(load);
                    let values = run(twin, path, load, slice)?;
                    samples.extend(values.into_iter().map(|(metric, value)| Sample {
                        path,
                        proxy: twin.proxy,
                        metric,
                        round,
                        value,
                    }));
                }
            }
        }
    }
    Ok(samples)
}

/// One slice of one kind of traffic; straight to the pod where there is no proxy.
pub(super) fn run(twin: &Twin, path: Path, load: Load, slice: Duration) -> Result<Vec<(Metric, f64)>> {
    let (ns, targets) = twin.ends(twin.way(path));
    let first = *targets.first().context("no target")?;
    let context = || format!("{}: {}: {load:?}", twin.proxy.label(), path.label());
    Ok(match load {
        Load::Connections => {
            let Connections { per_second, connects } = ns
                .run(|| load::connections(&targets, slice))
                .with_context(context)?;
            vec![
                (Metric::Connections, per_second),
                (Metric::Connect, median(&connects).context("no connect")?),
                (Metric::SlowConnect, p99(&connects).context("no connect")?),
            ]
        }
        Load::Requests => vec![(
            Metric::Requests,
            ns.run(|| load::requests(first, slice)).with_context(context)?,
        )],
        Load::Stream => vec![(
            Metric::Throughput,
            ns.run(|| load::stream(first, slice)).with_context(context)?,
        )],
    })
}
