//! A few hundred requests of each kind: who answers, and whom does it see?

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use harness::{
    topology::Host,
    traffic::{Answer, Client, get},
};
use proxy_agent::model::Family;

use crate::{paint, signals, stage::Stage};

/// Requests per row.
const REQUESTS: u32 = 300;

/// χ² with two degrees of freedom exceeds this once in three million fair rows.
const SUSPICIOUS: f64 = 30.0;

/// One kind of request.
struct Row<'s> {
    client: &'s Host,
    label: &'static str,
    target: SocketAddr,
}

/// Sends the requests and prints a line for each kind.
pub(crate) fn print(stage: &Stage) -> Result<()> {
    println!(
        "\n{}",
        paint::heading(&format!(
            "Who answers, and whom does it see?  {REQUESTS} HTTP requests a line"
        ))
    );
    println!();
    print_head(stage);
    for family in Family::ALL {
        for row in rows(stage, family) {
            let answers = row.request()?;
            println!("{}", row.render(stage, &answers));
            row.judge(stage, &answers)?;
        }
    }
    Ok(())
}

fn print_head(stage: &Stage) {
    let names: String = stage.endpoints().map(|pod| format!("{:>9}", pod.name)).concat();
    println!(
        "  {}",
        paint::dim(&format!("{:15} {:20}{names}   the server sees", "from", "to"))
    );
    let expected = format!("{:>9}", "33.3 %").repeat(3);
    println!(
        "  {}",
        paint::dim(&format!("{:15} {:20}{expected}", "", "expected"))
    );
}

fn rows(stage: &Stage, family: Family) -> [Row<'_>; 3] {
    let topology = &stage.world.topology;
    let [node, _] = &topology.nodes;
    [
        Row {
            client: &node.pods[2],
            label: "pod shell-1",
            target: stage.cluster_ip(family),
        },
        Row {
            client: &topology.client,
            label: "client outside",
            target: stage.node_port(family),
        },
        Row {
            client: &node.pods[0],
            label: "pod nginx-a ●",
            target: stage.cluster_ip(family),
        },
    ]
}

impl Row<'_> {
    fn request(&self) -> Result<Vec<Answer>> {
        (0..REQUESTS)
            .map(|_| {
                signals::check()?;
                let page = get(Client::new(&self.client.ns), self.target);
                let page = page.with_context(|| format!("{} → {}", self.label, self.target))?;
                Ok(page.answer)
            })
            .collect()
    }

    fn render(&self, stage: &Stage, answers: &[Answer]) -> String {
        let counts = count(stage, answers);
        let shares: String = counts
            .iter()
            .map(|count| format!("{:>9}", percent(*count, REQUESTS)))
            .collect();
        let shares = if chi_square(&counts) < SUSPICIOUS {
            paint::green(&shares)
        } else {
            paint::red(&shares)
        };
        format!(
            "  {:15} {:20}{shares}   {}",
            self.label,
            self.target.to_string(),
            self.seen(stage, answers)
        )
    }

    /// Whoever runs the demo as a check must not have to read it.
    fn judge(&self, stage: &Stage, answers: &[Answer]) -> Result<()> {
        let (label, target) = (self.label, self.target);
        let shares = count(stage, answers);
        ensure!(
            chi_square(&shares) < SUSPICIOUS,
            "{label} → {target}: {shares:?} are no equal shares"
        );
        let family = Family::of(target.ip());
        let node = stage.world.topology.nodes[0].host.ip(family);
        for answer in answers {
            let masqueraded = target.ip() == node || answer.server == self.client.name;
            let expected = if masqueraded { node } else { self.client.ip(family) };
            let (server, seen) = (&answer.server, answer.client.ip());
            ensure!(
                seen == expected,
                "{label} → {target}: {server} saw {seen} instead of {expected}"
            );
        }
        Ok(())
    }

    /// Whom the servers saw, in words.
    fn seen(&self, stage: &Stage, answers: &[Answer]) -> String {
        let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
        for answer in answers {
            let host = stage
                .hosts()
                .find(|host| Family::ALL.iter().any(|f| host.ip(*f) == answer.client.ip()));
            let name = host.map_or("someone else", |host| host.name.as_str());
            *seen.entry(name).or_insert(true) &= answer.server == self.client.name;
        }
        let words = seen.iter().map(
            |(name, only_itself)| match (*name == self.client.name, only_itself) {
                (true, _) => format!("{name} itself"),
                (false, true) => format!("{name} (hairpin)"),
                (false, false) => format!("{name} (masqueraded)"),
            },
        );
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Answers per endpoint, in the order of the endpoints.
pub(crate) fn count(stage: &Stage, answers: &[Answer]) -> [u32; 3] {
    stage.endpoints().map(|pod| {
        answers
            .iter()
            .map(|answer| u32::from(answer.server == pod.name))
            .sum()
    })
}

/// `33.3 %`.
pub(crate) fn percent(part: u32, whole: u32) -> String {
    format!("{:.1} %", 100.0 * f64::from(part) / f64::from(whole.max(1)))
}

fn chi_square(counts: &[u32; 3]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / 3.0;
    counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_with_noise_are_fine_and_a_forgotten_endpoint_is_not() {
        assert!(chi_square(&[112, 92, 96]) < SUSPICIOUS);
        assert!(chi_square(&[150, 150, 0]) > SUSPICIOUS);
        assert!(chi_square(&[150, 75, 75]) > SUSPICIOUS);
    }

    #[test]
    fn a_share_of_nothing_is_zero() {
        assert_eq!(percent(0, 0), "0.0 %");
        assert_eq!(percent(1, 3), "33.3 %");
    }
}
