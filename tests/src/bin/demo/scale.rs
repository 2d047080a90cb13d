//! The Service loses an endpoint while requests run, and no request notices.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use harness::{
    manifests::Endpoint,
    topology::Host,
    traffic::{Answer, Client, get},
    wait,
};
use proxy_agent::model::Family;

use crate::{
    paint,
    shares::{count, percent},
    signals,
    stage::Stage,
};

/// Requests that each client must get answered after the change.
const AFTERWARDS: u32 = 200;

/// One client that never pauses.
struct Load<'s> {
    client: &'s Host,
    target: SocketAddr,
    ended: &'s AtomicBool,
    changed: &'s AtomicBool,
    afterwards: AtomicU32,
}

/// What a client got.
#[derive(Default)]
struct Outcome {
    before: Vec<Answer>,
    after: Vec<Answer>,
    failures: Vec<String>,
}

/// Edits the manifest under load and prints what came of it.
pub(crate) fn print(stage: &mut Stage) -> Result<()> {
    println!(
        "\n{}",
        paint::heading("nginx-c leaves the Service while four clients send requests")
    );
    let endpoints = Endpoint::of(&stage.endpoints()[..2], &Family::ALL);
    let mut smaller = stage.service.clone();
    smaller.endpoints = endpoints;
    std::mem::swap(&mut smaller, &mut stage.service);
    let (outcomes, took) = under_load(stage)?;
    report(stage, &outcomes, took)
}

fn under_load(stage: &Stage) -> Result<(Vec<Outcome>, Duration)> {
    let (ended, changed) = (AtomicBool::new(false), AtomicBool::new(false));
    let topology = &stage.world.topology;
    let load = |client, target| Load {
        client,
        target,
        ended: &ended,
        changed: &changed,
        afterwards: AtomicU32::new(0),
    };
    let loads = Family::ALL.map(|family| {
        let inside = load(&topology.nodes[1].pods[1], stage.cluster_ip(family));
        [inside, load(&topology.client, stage.node_port(family))]
    });
    let loads: Vec<Load<'_>> = loads.into_iter().flatten().collect();
    thread::scope(|scope| {
        let running: Vec<_> = loads.iter().map(|load| scope.spawn(|| load.run())).collect();
        let took = change(stage, &changed, &loads);
        ended.store(true, Ordering::Relaxed);
        let outcomes = running
            .into_iter()
            .map(|thread| thread.join().expect("a client does not panic"))
            .collect();
        Ok((outcomes, took?))
    })
}

fn change(stage: &Stage, changed: &AtomicBool, loads: &[Load<'_>]) -> Result<Duration> {
    let began = Instant::now();
    stage.publish()?;
    let took = began.elapsed();
    changed.store(true, Ordering::Relaxed);
    wait::until("requests after the change", Duration::from_secs(10), || {
        let slowest = loads
            .iter()
            .map(|load| load.afterwards.load(Ordering::Relaxed))
            .min();
        // A signal ends the wait as success does; the next step notices it.
        ensure!(
            signals::check().is_err() || slowest >= Some(AFTERWARDS),
            "the slowest client got {slowest:?}"
        );
        Ok(())
    })?;
    signals::check()?;
    Ok(took)
}

impl Load<'_> {
    fn run(&self) -> Outcome {
        let mut outcome = Outcome::default();
        while !self.ended.load(Ordering::Relaxed) {
            let changed = self.changed.load(Ordering::Relaxed);
            match get(Client::new(&self.client.ns), self.target) {
                Ok(page) if changed => outcome.after.push(page.answer),
                Ok(page) => outcome.before.push(page.answer),
                Err(error) => outcome
                    .failures
                    .push(format!("{} → {}: {error}", self.client.name, self.target)),
            }
            self.afterwards.fetch_add(u32::from(changed), Ordering::Relaxed);
        }
        outcome
    }
}

fn report(stage: &Stage, outcomes: &[Outcome], took: Duration) -> Result<()> {
    let all =
        |pick: fn(&Outcome) -> &Vec<Answer>| outcomes.iter().flat_map(pick).cloned().collect::<Vec<_>>();
    println!(
        "\n  edited {}",
        stage.world.manifests.path(&stage.service.name).display()
    );
    println!("  both agents had it in their maps after {} ms", took.as_millis());
    let names = stage.endpoints().map(|pod| format!("{:>9}", pod.name)).concat();
    println!(
        "\n  {}",
        paint::dim(&format!("{:15} {:>9}{names}", "", "requests"))
    );
    for (label, answers) in [
        ("until then", all(|o| &o.before)),
        ("from then on", all(|o| &o.after)),
    ] {
        let counts = count(stage, &answers);
        let whole = counts.iter().sum();
        let shares: String = counts
            .iter()
            .map(|part| format!("{:>9}", percent(*part, whole)))
            .collect();
        println!("  {label:15} {whole:>9}{shares}");
    }
    let failures: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.failures).collect();
    ensure!(
        failures.is_empty(),
        "{} requests failed, the first: {}",
        failures.len(),
        failures[0]
    );
    println!("  {}", paint::green("no request failed"));
    let late = count(stage, &all(|outcome| &outcome.after))[2];
    ensure!(late == 0, "nginx-c was chosen {late} times after it had left");
    Ok(())
}
