//! Through the real API server: what is measured is everything from a write there to the map.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::{Agent, Source, TcAttach},
    apiserver::{self, ApiServer, Client},
    scratch::Scratch,
    topology::Topology,
    wait,
};
use serde_json::json;

use super::{Plan, row, watch::Watched};
use crate::{
    cluster::writer::{self, Writer},
    figures::Figure,
    process,
    progress::progress,
    stats::{median, p99},
};

/// How long the first pass may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than the agent's shortest time between passes, so that it is at rest.
const PAUSE: Duration = Duration::from_millis(120);
/// What the other writer waits between two changes.
const NOISE: Duration = Duration::from_millis(100);

/// The rows; `None` if there is no API server to build.
pub(super) fn measure(plan: Plan) -> Result<Option<Vec<Figure>>> {
    let Some(binaries) = apiserver::find("through the API server") else {
        return Ok(None);
    };
    progress("API server: starting");
    let topology = Topology::build()?;
    let scratch = Scratch::create()?;
    let [one, two] = &topology.nodes;
    let server = ApiServer::start(&binaries, &two.host, scratch.path())?;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": one.host.name}});
    server.admin().apply(&node)?;
    let filled = Instant::now();
    writer::fill(server.admin(), 0..plan.api_services)?;
    let filled = filled.elapsed();

    progress("API server: starting the agent");
    let source = Source::Kubeconfig(server.agent_kubeconfig().to_owned());
    let start = Instant::now();
    let agent = Agent::start_from(source, &one.host, &scratch, TcAttach::Auto)?;
    let rows_of = |what, value, unit| row(what, plan.api_services, value, unit);
    let complete = complete(&agent, start, plan.api_services)?;
    let agents = agent.process().context("the agent has ended")?;
    let mut rows = vec![
        rows_of("filling the API server (not ours)", filled.as_secs_f64(), "s"),
        rows_of(
            "agent: process start to maps complete",
            complete.as_secs_f64(),
            "s",
        ),
        rows_of("agent: processor time of it", processor_time(agents)?, "s"),
    ];
    rows.extend(latencies(plan, server.admin(), &agent)?);
    let peak = process::peak_memory(agents)?;
    rows.push(rows_of("agent: peak memory", peak, "MiB"));
    Ok(Some(rows))
}

/// From `start` until the agent says that its first pass is done; what the map holds has to agree.
fn complete(agent: &Agent, start: Instant, services: u32) -> Result<Duration> {
    wait::until("the first pass", PATIENCE, || {
        ensure!(agent.log().contains(" synced "), "not yet");
        Ok(())
    })?;
    let took = start.elapsed();
    let last = Watched::new(agent, services - 1)?;
    ensure!(last.list()?.is_some(), "the last Service is not in the map");
    Ok(took)
}

fn latencies(plan: Plan, admin: &Client, agent: &Agent) -> Result<Vec<Figure>> {
    progress("API server: changes of one endpoint");
    let quiet = changes(plan, admin, agent, 1_000_000)?;
    progress("API server: changes of one endpoint beside another writer");
    let is_over = AtomicBool::new(false);
    let busy = thread::scope(|scope| {
        let noise = scope.spawn(|| make_noise(plan, admin, &is_over));
        let busy = changes(plan, admin, agent, 2_000_000);
        is_over.store(true, Ordering::Relaxed);
        noise
            .join()
            .map_err(|_| anyhow::anyhow!("the other writer panicked"))??;
        busy
    })?;
    let row = |what, times: &[f64]| -> Result<Figure> {
        let middle = median(times).context("no change")?;
        Ok(row(what, plan.api_services, middle, "ms").with_p99(p99(times)))
    };
    Ok(vec![
        row("API: the write itself (not ours)", &quiet.writes)?,
        row("API: answer to the write until map written", &quiet.after_answers)?,
        row("API: write sent until map written", &quiet.all)?,
        row(
            "API: the same beside 10 changes a second, from the answer",
            &busy.after_answers,
        )?,
        row(
            "API: the same beside 10 changes a second, from the sending",
            &busy.all,
        )?,
    ])
}

/// Milliseconds of each change.
#[derive(Default)]
struct Times {
    /// From sending the write to its answer.
    writes: Vec<f64>,
    /// From the answer to the map; 0 if the map was first.
    after_answers: Vec<f64>,
    /// From sending the write to the map.
    all: Vec<f64>,
}

fn changes(plan: Plan, admin: &Client, agent: &Agent, fresh: u32) -> Result<Times> {
    let rounds = plan.rounds.div_ceil(2);
    admin.session(async |client| {
        let mut writer = Writer::new(client, fresh);
        let mut times = Times::default();
        for round in 0..rounds {
            let service = round * (plan.api_services / rounds).max(1) % plan.api_services;
            let watched = Watched::new(agent, service)?.wait_for_change()?;
            let sent = Instant::now();
            writer.change(service).await?;
            let answered = Instant::now();
            let seen = watched.join()?;
            times.writes.push(millis(answered.duration_since(sent)));
            times.all.push(millis(seen.duration_since(sent)));
            times
                .after_answers
                .push(millis(seen.saturating_duration_since(answered)));
            tokio::time::sleep(PAUSE).await;
        }
        Ok(times)
    })
}

/// Changes Services that nobody watches.
fn make_noise(plan: Plan, admin: &Client, is_over: &AtomicBool) -> Result<()> {
    admin.session(async |client| {
        let mut writer = Writer::new(client, 3_000_000);
        let mut service = 1;
        while !is_over.load(Ordering::Relaxed) {
            writer.change(service).await?;
            // Odd numbers, while the others are multiples of an even one.
            service = (service + 2) % plan.api_services;
            tokio::time::sleep(NOISE).await;
        }
        Ok(())
    })
}

/// Seconds that a process has spent, in the kernel too.
fn processor_time(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no /proc/PID/stat")?;
    let ticks: Vec<u32> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // USER_HZ is 100 on every architecture that Kubernetes runs on.
    Ok(f64::from(ticks.iter().sum::<u32>()) / 100.0)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
