//! The table of flows, by real sockets: agents on two nodes, every Service of the table at once, clients in parallel.
//!
//! What is left alone has to arrive somewhere: behind the node here is a host that has all virtual IPs and would answer for them, and so
//! would the nodes for their own addresses. It also shows that silence is silence.

mod stage;

use std::{io::ErrorKind, net::IpAddr, sync::Mutex, thread, time::Duration};

use harness::{
    flows::{self, Case, Endpoint, Flow, Outcome, Report, Source, address},
    topology::Host,
    traffic::{Client, PATIENCE},
};
use proxy_agent::model::Family;

use self::stage::{By, Stage, host, owner};

/// Less than the second after which a SYN is sent again: a refusal must be the answer to the first.
const AT_ONCE: Duration = Duration::from_millis(900);
/// REJECT answers a SYN by an ICMP error, which is as good as lost if the socket is still busy with sending: then the next one is answered.
const AT_ONCE_BY_ICMP: Duration = Duration::from_millis(2_900);
/// Whoever answers at all has done so by then.
const SILENCE: Duration = Duration::from_millis(400);
/// An endpoint that is one of four is missed by all but once in 10^7.
const MOST_TRIES: usize = 60;
/// Fewer tries than this would not show an endpoint that should not be there.
const TRIES: usize = 4;
/// Most of the time clients wait.
const CLIENTS: usize = 12;

#[test]
fn real_sockets_meet_what_the_table_says() {
    let flows = flows::table().unwrap();
    let mut report = Report::new("real sockets");
    let cases = report.on_devices(&flows);
    play(&flows, cases, By::Devices, report);
}

#[test]
fn real_sockets_meet_what_the_table_says_when_they_are_translated_themselves() {
    let flows = flows::table().unwrap();
    let cases = Case::all(&flows).collect();
    play(
        &flows,
        cases,
        By::Sockets,
        Report::new("real sockets, at connect"),
    );
}

#[test]
fn real_sockets_meet_what_the_table_says_by_iptables_rules_too() {
    let flows = flows::table().unwrap();
    let cases = Case::all(&flows).collect();
    play(&flows, cases, By::Rules, Report::new("real sockets, iptables"));
}

fn play(flows: &[Flow], cases: Vec<Case<'_>>, by: By, mut report: Report) {
    let stage = Stage::build(&cases, by).unwrap();
    stage.publish(&flows::services(flows)).unwrap();
    for (case, seen) in stage.ask_all(cases) {
        let in_its_words = match by {
            By::Devices => seen,
            By::Sockets => flows::but_for_hairpin(case, seen),
            By::Rules => flows::but_for_output(case, seen),
        };
        report.sampled(case, &in_its_words);
    }
    report.finish();
}

impl Stage {
    fn ask_all<'f>(&self, cases: Vec<Case<'f>>) -> Vec<(Case<'f>, Outcome)> {
        let (waiting, seen) = (Mutex::new(cases), Mutex::new(Vec::new()));
        let next = || waiting.lock().unwrap().pop();
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while let Some(case) = next() {
                        let outcome = self.sample(case);
                        seen.lock().unwrap().push((case, outcome));
                    }
                });
            }
        });
        seen.into_inner().unwrap()
    }

    /// Asks until every endpoint that there shall be has answered, and often enough to meet one that there shall not be.
    fn sample(&self, case: Case<'_>) -> Outcome {
        let mut seen = self.ask(case);
        let tries = match &case.flow.expected {
            Outcome::Any(_) => TRIES,
            Outcome::One(_) => 3 * TRIES,
            _ => 1,
        };
        for tried in 1..MOST_TRIES {
            let is_whole = case.flow.is_met_by(&seen);
            if (tried >= tries && is_whole) || !matches!(seen, Outcome::Any(_)) {
                break;
            }
            seen = seen.and(self.ask(case));
        }
        seen
    }

    fn ask(&self, Case { flow, variant }: Case<'_>) -> Outcome {
        let patience = match flow.expected {
            Outcome::Silence => SILENCE,
            Outcome::Refused if self.by == By::Rules => AT_ONCE_BY_ICMP,
            Outcome::Refused => AT_ONCE,
            _ => PATIENCE,
        };
        let client = host(&self.world.topology, flow.client.name());
        let answer = Client::new(&client.ns)
            .patience(patience)
            .ask(flow.protocol(variant), flow.target(variant));
        match answer {
            Ok(answer) => self.answered(flow, client, &answer.server, answer.client.ip()),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => Outcome::Refused,
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Outcome::Silence,
                // What a rule in OUTPUT stops, its sender is told so, be it dropped or refused.
                ErrorKind::PermissionDenied if flow.client == flows::Client::Node => {
                    flow.expected.clone().stopped()
                }
                _ => Outcome::Odd(error.to_string()),
            },
        }
    }

    fn answered(&self, flow: &Flow, client: &Host, server: &str, seen: IpAddr) -> Outcome {
        let family = Family::of(seen);
        let is_decider = client.name == flow.decider().name();
        let source = if seen == client.ip(family) {
            // Nobody can see whether a node's address has taken the place of itself.
            let is_masqueraded = is_decider && flow.expected.is_masqueraded();
            Some(if is_masqueraded {
                Source::Masqueraded
            } else {
                Source::Kept
            })
        } else {
            (seen == address(flow.decider().name(), family)).then_some(Source::Masqueraded)
        };
        let endpoint = Endpoint::ALL.into_iter().find(|at| at.pod() == server);
        match (endpoint, source) {
            (Some(endpoint), Some(source)) => Outcome::at(endpoint, source),
            (None, Some(Source::Kept))
                if server == owner(flow, &self.world.topology, &self.stranger).name =>
            {
                Outcome::LeftAlone
            }
            _ => Outcome::Odd(format!("{server} sees {seen}")),
        }
    }
}
