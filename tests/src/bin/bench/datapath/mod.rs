//! What packets pay for Services.
//!
//! ```text
//! twin ─▶ twin::proxies, twin::reference     clusters that differ in their proxy only
//! rounds ─▶ load                             connections, requests, a stream: on each path, of each twin in turn
//! summary ─▶ metric                          medians, ratios to the twin without proxy, targets
//! programs ─▶ empty_program                  the kernel's own count of our programs' time
//! table                                      all of it, side by side
//! ```

mod metric;
mod path;
mod programs;
mod rounds;
mod summary;
mod table;
mod twin;

use std::time::Duration;

use anyhow::Result;

use crate::{
    figures::{Figure, Figures},
    progress::progress,
    random::{self, Random},
};
use rounds::Load;
pub(crate) use table::print;
use twin::{Proxies, Proxy, Reference, Twin};

/// kube-proxy is not asked for more: its iptables rules would take minutes to write.
const MOST_OF_KUBE_PROXY: u32 = 10_000;

/// How much is measured.
struct Plan {
    /// Services, ascending.
    sizes: &'static [u32],
    rounds: u32,
    /// How long connections are opened and requests are sent.
    slice: Duration,
    stream: Duration,
}

impl Plan {
    const FULL: Self = Self {
        sizes: &[10, 10_000, 50_000],
        rounds: 9,
        slice: Duration::from_millis(250),
        stream: Duration::from_millis(200),
    };
    const QUICK: Self = Self {
        sizes: &[10],
        rounds: 2,
        slice: Duration::from_millis(40),
        stream: Duration::from_millis(40),
    };

    const fn slice(&self, load: Load) -> Duration {
        match load {
            Load::Connections | Load::Requests => self.slice,
            Load::Stream => self.stream,
        }
    }
}

/// Measures everything.
pub(crate) fn run(quick: bool, seed: Option<u64>) -> Result<Figures> {
    let plan = if quick { Plan::QUICK } else { Plan::FULL };
    let seed = random::seed_or_now(seed)?;
    let mut bench = Bench::set_up()?;
    bench.notes.push(random::note(seed));
    let mut random = Random(seed);
    let mut rows = Vec::new();
    for services in plan.sizes {
        rows.extend(bench.measure(&plan, *services, &mut random)?);
    }
    progress("");
    let Bench { notes, skipped, .. } = bench;
    Ok(Figures {
        notes,
        ..Figures::of_this_machine(rows, skipped)?
    })
}

/// Everything that stands.
struct Bench {
    // Before what its kube-proxies watch.
    twins: Vec<Twin>,
    reference: Option<Reference>,
    notes: Vec<String>,
    skipped: Vec<String>,
}

impl Bench {
    fn set_up() -> Result<Self> {
        progress("building the clusters");
        let proxies = [
            Proxy::Bare,
            Proxy::Empty,
            Proxy::KubePortal,
            Proxy::Iptables,
            Proxy::Nftables,
        ];
        let mut twins = proxies.into_iter().map(Twin::build).collect::<Result<Vec<_>>>()?;
        progress("starting the API server for kube-proxy");
        let reference = Reference::start(&twins)?;
        let mut skipped = Vec::new();
        if reference.is_none() {
            twins.retain(|twin| !twin.proxy.is_kube_proxy());
            skipped.push(
                "beside kube-proxy: there is no kube-proxy, etcd or kube-apiserver, which Go builds"
                    .to_owned(),
            );
        }
        Ok(Self {
            twins,
            reference,
            notes: Vec::new(),
            skipped,
        })
    }

    fn measure(&mut self, plan: &Plan, services: u32, random: &mut Random) -> Result<Vec<Figure>> {
        self.grow(services)?;
        let twins: Vec<&Twin> = self.twins.iter().collect();
        let samples = rounds::measure(&twins, plan, services, random)?;
        let proxies: Vec<Proxy> = twins.iter().map(|twin| twin.proxy).collect();
        let mut rows = summary::figures(&samples, &proxies, services);
        for twin in twins.iter().filter(|twin| twin.proxy == Proxy::KubePortal) {
            progress(&format!("{services} Services: the programs"));
            rows.extend(programs::measure(twin, services, plan.slice)?);
        }
        Ok(rows)
    }

    /// Gets every proxy to serve so many Services; without those for which they are too many.
    fn grow(&mut self, services: u32) -> Result<()> {
        if services > MOST_OF_KUBE_PROXY && self.reference.is_some() {
            self.twins.retain(|twin| !twin.proxy.is_kube_proxy());
            self.reference = None;
        }
        if let Some(reference) = &mut self.reference {
            // They would follow each of the new Services.
            for twin in self.twins.iter_mut().filter(|twin| twin.proxy.is_kube_proxy()) {
                twin.proxies = Proxies::None;
            }
            reference.grow(services)?;
        }
        for twin in &mut self.twins {
            progress(&format!("{services} Services: {}", twin.proxy.label()));
            twin.serve(services, self.reference.as_ref())?;
        }
        // All of them work until then.
        for twin in &mut self.twins {
            twin.proxies.wait_for(services)?;
            twin.wait_until_served()?;
            let backend = twin.proxies.backend()?;
            let note = backend.map(|backend| format!("{}: {backend}", twin.proxy.label()));
            self.notes.extend(note.filter(|note| !self.notes.contains(note)));
        }
        Ok(())
    }
}
