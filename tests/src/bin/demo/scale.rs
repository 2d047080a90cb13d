//! The Service loses an endpoint while requests run, and no request notices.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
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

/// Requests that each client gets answered before the change, and as many after it.
const REQUESTS: usize = 200;

/// What a request may have met, in the order of time.
const PHASES: [&str; 3] = ["before", "meanwhile", "afterwards"];

/// One client that never pauses.
struct Load<'s> {
    client: &'s Host,
    target: SocketAddr,
    progress: &'s Progress,
    answered: [AtomicUsize; 3],
}

/// What all clients know of each other.
#[derive(Default)]
struct Progress {
    ended: AtomicBool,
    phase: AtomicUsize,
}

/// What a client got.
#[derive(Default)]
struct Outcome {
    answers: [Vec<Answer>; 3],
    failures: Vec<String>,
}

/// Edits the manifest under load and prints what came of it.
pub(crate) fn print(stage: &mut Stage) -> Result<()> {
    println!(
        "\n{}",
        paint::heading("nginx-c leaves the Service while four clients send requests")
    );
    let remaining = Endpoint::of(&stage.endpoints()[..2], &Family::ALL);
    let progress = Progress::default();
    let (outcomes, took) = under_load(stage, remaining, &progress)?;
    report(stage, &outcomes, took)
}

fn under_load(
    stage: &mut Stage,
    remaining: Vec<Endpoint>,
    progress: &Progress,
) -> Result<(Vec<Outcome>, Duration)> {
    stage.service.endpoints = remaining;
    let stage = &*stage;
    let loads = loads(stage, progress);
    thread::scope(|scope| {
        let running: Vec<_> = loads.iter().map(|load| scope.spawn(|| load.run())).collect();
        let took = change(stage, progress, &loads);
        progress.ended.store(true, Ordering::Relaxed);
        let outcomes = running
            .into_iter()
            .map(|thread| thread.join().expect("a client does not panic"))
            .collect();
        Ok((outcomes, took?))
    })
}

fn loads<'s>(stage: &'s Stage, progress: &'s Progress) -> Vec<Load<'s>> {
    let topology = &stage.world.topology;
    let inside = &topology.nodes[1].pods[1];
    let targets = Family::ALL.map(|family| {
        [
            (inside, stage.cluster_ip(family)),
            (&topology.client, stage.node_port(family)),
        ]
    });
    let load = |(client, target)| Load {
        client,
        target,
        progress,
        answered: Default::default(),
    };
    targets.into_iter().flatten().map(load).collect()
}

fn change(stage: &Stage, progress: &Progress, loads: &[Load<'_>]) -> Result<Duration> {
    everyone_got_answers(loads, 0)?;
    progress.phase.store(1, Ordering::Relaxed);
    let began = Instant::now();
    stage.publish()?;
    let took = began.elapsed();
    progress.phase.store(2, Ordering::Relaxed);
    everyone_got_answers(loads, 2)?;
    Ok(took)
}

fn everyone_got_answers(loads: &[Load<'_>], phase: usize) -> Result<()> {
    wait::until("the requests", Duration::from_secs(10), || {
        let slowest = loads
            .iter()
            .map(|load| load.answered[phase].load(Ordering::Relaxed))
            .min();
        // A signal ends the wait as success does, and the next line notices it.
        ensure!(
            signals::check().is_err() || slowest >= Some(REQUESTS),
            "the slowest client got {slowest:?}"
        );
        Ok(())
    })?;
    signals::check()
}

impl Load<'_> {
    fn run(&self) -> Outcome {
        let mut outcome = Outcome::default();
        while !self.progress.ended.load(Ordering::Relaxed) {
            // Read before the request: one that began before the change may still meet the old list.
            let phase = self.progress.phase.load(Ordering::Relaxed);
            match get(Client::new(&self.client.ns), self.target) {
                Ok(page) => outcome.answers[phase].push(page.answer),
                Err(error) => outcome
                    .failures
                    .push(format!("{} → {}: {error}", self.client.name, self.target)),
            }
            self.answered[phase].fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }
}

fn report(stage: &Stage, outcomes: &[Outcome], took: Duration) -> Result<()> {
    println!(
        "\n  edited {}",
        stage.world.manifests.path(&stage.service.name).display()
    );
    println!("  seen in the maps of both nodes after {} ms", took.as_millis());
    let names = stage.endpoints().map(|pod| format!("{:>9}", pod.name)).concat();
    println!(
        "\n  {}",
        paint::dim(&format!("{:15} {:>9}{names}", "", "requests"))
    );
    let mut late = 0;
    for (phase, label) in PHASES.iter().enumerate() {
        let answers: Vec<Answer> = outcomes
            .iter()
            .flat_map(|outcome| &outcome.answers[phase])
            .cloned()
            .collect();
        let counts = count(stage, &answers);
        let whole = counts.iter().sum();
        let shares: String = counts
            .iter()
            .map(|part| format!("{:>9}", percent(*part, whole)))
            .collect();
        println!("  {label:15} {whole:>9}{shares}");
        late = counts[2];
    }
    let failures: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.failures).collect();
    ensure!(
        failures.is_empty(),
        "{} requests failed, the first: {}",
        failures.len(),
        failures[0]
    );
    ensure!(late == 0, "nginx-c was chosen {late} times after it had left");
    println!("\n  {}", paint::green("no request failed"));
    Ok(())
}
